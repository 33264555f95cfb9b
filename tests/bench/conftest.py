"""The sink: an S3 server that drops all bytes (sink.c)."""

import subprocess

import pytest

from support.box import BUILD


@pytest.fixture
def sink():
    child = subprocess.Popen([BUILD / "bench" / "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
    child.stdin.close()
    child.wait(10)
