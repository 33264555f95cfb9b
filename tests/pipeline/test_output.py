"""A failed write to stdout is an error in every program that prints."""

import json
import os
import signal
import subprocess

import pytest

from support.box import random_file, wait_for

PRINTING = [
    ["--help"], ["--version"], ["cp", "--help"], ["cp", "--version"], ["producer", "--help"], ["uploader", "--version"], ["consumer", "--help"],
    ["keygen", "--help"], ["set", "--help"], ["journal", "--help"], ["journal", "show", "--version"], ["status"], ["status", "--json"],
    ["journal", "show"], ["journal", "tail"], ["journal", "export"], ["journal", "verify"], ["journal", "verify", "--json"], ["journal", "retire"],
]


@pytest.fixture
def filled(box):
    box.env["XDG_STATE_HOME"] = str(box.dir / "state")  # the default journal, so that no command needs an option
    box.run("cp", "--no-progress", random_file(box.dir / "a", 10), box.dir / "b")
    box.gone()
    return box


def closed():
    os.close(1)


def run(box, args, **kw):
    return subprocess.run(box.command(*args), env=box.env, cwd=box.dir, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, **kw)


def test_a_full_device_and_a_closed_stdout(filled):
    for args in PRINTING:
        with open("/dev/full", "wb") as full:
            done = run(filled, args, stdout=full)
        assert done.returncode == 3 and "standard output: No space left on device" in done.stderr, (args, done)
        done = run(filled, args, preexec_fn=closed)
        assert done.returncode == 3 and "standard output: Bad file descriptor" in done.stderr, (args, done)


def test_a_reader_that_goes_away_ends_a_command_quietly(filled):
    for args in PRINTING:
        read, write = os.pipe()
        os.close(read)
        done = run(filled, args, stdout=write)
        os.close(write)
        assert done.returncode in (0, 128 + signal.SIGPIPE, -signal.SIGPIPE) and done.stderr == "", (args, done)


@pytest.mark.parametrize("kind", ["full", "closed", "pipe"])
def test_events_that_are_lost_are_an_error_and_the_upload_goes_on(box, kind):
    source = random_file(box.dir / "a", 1000)
    read, write = os.pipe()
    os.close(read)
    with open("/dev/full", "wb") as full:
        where = {"full": {"stdout": full}, "pipe": {"stdout": write}, "closed": {"preexec_fn": closed}}[kind]
        done = run(box, ["cp", "--json", "--journal", box.journal, source, box.dir / "b"], **where)
    os.close(write)
    assert done.returncode == 3 and done.stderr.count("standard output: ") == 1 and "events are lost" in done.stderr, done.stderr
    assert (box.dir / "b").read_bytes() == source.read_bytes()
    box.gone()
    assert [r["ev"] for r in box.records()][-1] == "stop" and all(json.dumps(r) for r in box.records())


def test_services_say_it_too(box):
    """Services also log a failed write, and they continue to run."""
    at = f"ipc://{box.dir}/run/c"
    children = []
    with open("/dev/full", "wb") as full:
        for args in (["consumer", "--journal", box.journal, "--bind", at, "--json"], ["uploader", "--consumer", at, "--allow", f"{box.dir}/out/", "--json"]):
            children.append(subprocess.Popen(box.command(*args), env=box.env, cwd=box.dir, stdout=full, stderr=subprocess.PIPE, text=True))
            wait_for((box.journal / "consumer").exists, what="the consumer serves")
    source = random_file(box.dir / "a", 1000)
    box.run("producer", "--consumer", at, source, f"{box.dir}/out/a")
    for child in reversed(children):
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=30)[1]
        assert child.returncode == 3 and said.count("events are lost") == 1, said
