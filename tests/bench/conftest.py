"""The sink: an S3 server that drops all bytes (sink.c)."""

import subprocess

import pytest

from support.box import BUILD


@pytest.fixture
def start_sink():
    """Starts sinks with these arguments; returns the URL of each."""
    children = []

    def start(*args):
        children.append(subprocess.Popen([BUILD / "bench" / "sink", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return f"http://127.0.0.1:{children[-1].stdout.readline().strip()}"

    yield start
    for child in children:
        child.stdin.close()
        child.wait(10)


@pytest.fixture
def sink(start_sink):
    return start_sink()
