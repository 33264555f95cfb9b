"""The sink (sink.c), an S3 server that drops all bytes, and the figures of the run."""

import subprocess

import pytest

from bench.report import Figures
from support.box import BUILD, ROOT


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


@pytest.fixture(scope="session")
def all_figures():
    return Figures(ROOT / "build" / "bench.json")


@pytest.fixture
def say(capsys, all_figures):
    """Prints a section, and adds it to the figures of the run."""

    def say(section):
        with capsys.disabled():
            print(section.text())
        all_figures.add(section)

    return say
