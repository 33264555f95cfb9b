"""Runs without a user in front of them: a limit of failures, the last lines, log files."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess

from support.box import random_file, wait_for

MIB = 1 << 20


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


def test_a_log_file_has_the_lines_of_all_programs(box):
    """Without a terminal nothing is left on stderr; every line has its time and the file is appended to."""
    src, out = tree(box, 3)
    log = box.dir / "log"
    log.write_text("before\n")
    os.chmod(log, 0o600)
    done = box.cp("-r", "-v", "--log-file", log, src, out)
    box.gone()
    lines = log.read_text().splitlines()
    assert done.stderr == "" and lines.pop(0) == "before" and log.stat().st_mode & 0o777 == 0o600
    assert not (box.journal / "consumer.log").exists()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z chunklift"
    assert all(re.match(stamp, line) for line in lines if not line.startswith("journal: "))
    text = "\n".join(lines)
    assert ": put 0 of " in text and "chunklift-consumer: " in text and ": uploaded to " in text and ": 3 files uploaded" in text
    fresh = box.dir / "fresh"
    box.cp("-r", "--log-file", fresh, src, out, preexec_fn=lambda: os.umask(0o022))
    assert fresh.stat().st_mode & 0o777 == 0o640


def test_a_log_file_that_was_moved_is_opened_again(box):
    """After SIGHUP all programs of the command write to a new file, and nothing more comes to the old one."""
    source = random_file(box.dir / "f", 64 * MIB)
    log, old = box.dir / "log", box.dir / "log.1"
    child = box.start_cp("-v", "--log-file", log, "--bwlimit", "8MiB", "--chunk-size", "1MiB", source, box.dir / "out")
    wait_for(lambda: len(box.records("chunk")) > 2 if (box.journal / "journal.jsonl").exists() else None, what="chunks")
    log.rename(old)
    child.send_signal(signal.SIGHUP)
    wait_for(lambda: log.exists() and "chunk " in log.read_text(), what="a new file")
    size = old.stat().st_size
    box.run("set", "--journal", box.journal, "--bwlimit", "none")
    assert child.wait(60) == 0 and child.log.read_text() == ""
    box.gone()
    assert "chunklift-consumer: set by " in log.read_text() and ": 1 file uploaded" in log.read_text()
    assert "set by " not in old.read_text()[size:]


def test_a_consumer_that_another_command_started_follows_its_log(box):
    """The command that named the log file is over. Nothing sends SIGHUP to the consumer that it left behind."""
    log, old = box.dir / "log", box.dir / "log.1"
    first, second = random_file(box.dir / "a", 32 * MIB), random_file(box.dir / "b", 64 * MIB)
    few = ("--chunk-size", "256KiB", "--slots", "2", "--uploaders", "1")  # under way at a time, so that the owner ends soon
    owner = box.start_cp("--log-file", log, "--bwlimit", "1MiB", *few, first, box.dir / "out-a")
    wait_for(lambda: len(box.records("chunk")) > 2 if (box.journal / "journal.jsonl").exists() else None, what="chunks")
    other = box.start_cp(*few, second, box.dir / "out-b")
    wait_for(lambda: any(r["dest"].endswith("out-b") for r in box.records("begin")), what="the second upload begins")
    owner.send_signal(signal.SIGINT)
    assert owner.wait(60) == 128 + signal.SIGINT
    log.rename(old)
    log.touch()

    rates = iter(range(1024, 9999))  # equal lines would be left out

    def is_followed():
        box.run("set", "--journal", box.journal, "--bwlimit", f"{next(rates)}KiB")
        return "chunklift-consumer: set by " in log.read_text()

    wait_for(is_followed, every=0.2, what="the consumer writes to the new file")
    box.run("set", "--journal", box.journal, "--bwlimit", "none")
    assert other.wait(60) == 0
    box.gone()


def test_a_log_file_that_cannot_be_opened(box):
    """One line, exit status 2, nothing was started."""
    at = f"ipc://{box.dir}/run/c"
    log = box.dir / "no" / "log"
    for args in (["cp", "a", "b"], ["producer", "a", "b"], ["uploader", "--consumer", at, "--allow", "/x"], ["consumer", "--bind", at]):
        done = box.run(*args, "--log-file", log, status=2)
        assert done.stderr == f"chunklift: --log-file {log}: cannot be opened for writing: No such file or directory; name another file\n", args
    assert not box.processes()


def test_a_log_file_is_no_pipe(box):
    """A reader that stops would stop the program."""
    pipe = box.dir / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert f"--log-file {pipe}: cannot be opened for writing: " in box.run("cp", "--log-file", pipe, "a", "b", status=2).stderr
    os.close(reader)


def read_to_end(terminal):
    """What was written to it. It comes in pieces."""
    data = b""
    try:
        while piece := os.read(terminal, 65536):
            data += piece
    except OSError:  # EIO: no process has the other end open
        pass
    return data.decode()


def test_progress_stays_on_the_terminal_beside_a_log_file(box):
    main, other = pty.openpty()
    src, out = tree(box, 2)
    child = subprocess.Popen(box.command("cp", "-r", "--journal", box.journal, "--log-file", box.dir / "log", src, out), env={**box.env, "TERM": "xterm"},
                             stdin=subprocess.DEVNULL, stderr=other, cwd=box.dir)
    os.close(other)
    assert child.wait(60) == 0
    assert ": 2 files uploaded (20 B)" in read_to_end(main) and ": 2 files uploaded (20 B)" in (box.dir / "log").read_text()
    os.close(main)


def test_lines_of_progress_without_a_terminal(box):
    """--stats sets their interval, and 0 turns them off."""
    source = random_file(box.dir / "f", 2 * MIB)
    shown = [box.cp("--force", "--bwlimit", "4MiB", "--chunk-size", "64KiB", "--stats", every, source, box.dir / "out").stderr.count(", ETA ")
             for every in ("50ms", "0")]
    assert shown[0] > 3 and shown[1] == 0
    box.cp("--stats", "soon", source, box.dir / "out", status=2)


def test_the_report_of_a_run(box):
    """It has the counts and each failed file, after failures too, and replaces that of an earlier run."""
    src, out = tree(box, 5, blocked=2)
    report = box.dir / "report.json"
    report.write_text("old")
    box.cp("-r", "--report", report, src, out, status=1)
    said = json.loads(report.read_text())
    assert (said["event"], said["result"], said["status"], said["files_done"], said["files_failed"]) == ("report", "failed", 1, 3, 2)
    assert [(f["path"], f["class"]) for f in said["failed"]] == [(f"{src}/f000", "source"), (f"{src}/f001", "source")]
    assert "its destination is a directory" in said["failed"][0]["error"] and said["dest"] == f"file://{out}" and said["bytes_sent"] == 30
    box.gone()
    assert said["journal_id"] == box.records("epoch")[0]["journal"] and said["journal_seq"] == box.records("put")[-1]["seq"]
    box.cp("-r", "--max-errors", "1", "--report", report, src, out, status=1)
    assert json.loads(report.read_text())["result"] == "stopped" and not list(box.dir.glob("report.json?*"))


def test_a_report_that_cannot_be_written(box):
    os.mkfifo(box.dir / "pipe")
    for path in (box.dir / "no" / "report", box.dir, box.dir / "pipe"):
        done = box.run("cp", "--report", path, "a", "b", status=2)
        assert done.stderr.startswith(f"chunklift: --report {path}: cannot be written: ") and done.stderr.count("\n") == 1
