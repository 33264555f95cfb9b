"""Runs without a user in front of them: a limit of failures, and the last lines."""

import json
import shlex

from support.box import random_file


def tree(box, files, blocked=0):
    """src/ with `files` files; the destinations of the first `blocked` ones are directories, so that these files fail."""
    for i in range(files):
        random_file(box.dir / "src" / f"f{i:03}", 10, seed=i)
    for i in range(blocked):
        (box.dir / "out" / f"f{i:03}").mkdir(parents=True)
    return box.dir / "src", f"{box.dir}/out/"


def failed(box, *args):
    return box.run("journal", "show", "--failed", *args, "--journal", box.journal)


def test_a_limit_of_failures_ends_the_run(box):
    """After --max-errors failures nothing more is looked for or sent, the last lines say so, and the same command continues."""
    src, out = tree(box, 600, blocked=500)
    done = box.cp("-r", "--max-errors", "3", src, out, status=1)
    lines = done.stderr.splitlines()
    assert "chunklift: 3 files failed, as many as --max-errors allows; no other file begins" in lines
    assert lines[-2] == "chunklift: stopped after 3 failed files (--max-errors); remove the cause, then the same command continues"
    assert ", 3 failed" in lines[-1] and "not all files were looked at" in lines[-1]
    assert failed(box).stdout.splitlines()[-1] == "3 failed files"
    for name in (box.dir / "out").iterdir():
        if name.is_dir():
            name.rmdir()
    assert "600 files uploaded" in box.cp("-r", "--max-errors", "3", src, out).stderr
    assert failed(box).stdout == "no file whose newest result is a failure\n"


def test_a_limit_that_is_not_reached(box):
    src, out = tree(box, 10, blocked=3)
    for limit in ("0", "4"):
        done = box.cp("-r", "--max-errors", limit, src, out, status=1)
        assert "stopped after" not in done.stderr and ", 3 failed in" in done.stderr
    box.cp("--max-errors", "-1", src, out, status=2)


def test_failed_files_are_listed_again(box):
    """The end lists 20 failed files and names the command that lists all, which works as it is printed."""
    src, out = tree(box, 40, blocked=25)
    box.journal = box.dir / "my journal"
    lines = box.cp("-r", src, out, status=1).stderr.splitlines()
    at = lines.index("25 files failed:")
    assert [line.split(":")[0] for line in lines[at + 1 : at + 21]] == [f"  {src}/f{i:03}" for i in range(20)]
    more, command = lines[at + 21].split("; this lists all: chunklift ")
    assert more == "  and 5 more"
    shown = box.run(*shlex.split(command)).stdout.splitlines()
    assert len(shown) == 26 and shown[-1] == "25 failed files" and all("  source  " in line for line in shown[:-1])
    objects = [json.loads(line) for line in failed(box, "--json").stdout.splitlines()]
    assert len(objects) == 25 and {o["class"] for o in objects} == {"source"} and objects[0]["src"] == f"{src}/f000"
    assert failed(box, f"{src}/f003").stdout.splitlines()[-1] == "1 failed file"


def test_the_last_line_is_the_result(box):
    src, out = tree(box, 12)
    assert box.cp("-r", src, out).stderr.splitlines()[-1].startswith(f"file://{out}: 12 files uploaded (120 B), 0 unchanged, 0 failed in ")
    last = box.cp("-r", src, out).stderr.splitlines()[-1]
    assert "0 files uploaded (0 B), 12 unchanged, 0 failed in " in last and last.endswith("; 0 B resent")
