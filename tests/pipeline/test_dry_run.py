"""--dry-run: a run then does as the dry run said, and nothing is sent, recorded or changed by the dry run."""

import fcntl
import json
import os
import subprocess
import time

import pytest

from servers.memory_store import CUT, MemoryStore
from support.box import free_port, random_file, wait_for

MIB = 1 << 20
SMALL = "65536"  # bytes per chunk in a local directory


def tree(box):
    src = box.dir / "src"
    for number, size in enumerate((0, 1, 65536, 65537, 300_000)):
        random_file(src / f"f{number}", size, seed=number)
    random_file(src / "sub" / "line\nbreak", 500, seed=9)
    return src


def contents(*tops):
    """Every entry below the directories: mode, mtime, and the bytes of files."""
    found = {}
    for top in tops:
        for path in [top, *top.rglob("*")] if top.exists() else []:
            st = path.lstat()
            found[str(path)] = (st.st_mode, st.st_ino, st.st_mtime_ns, path.read_bytes() if path.is_file() else None)
    return found


def settled(store):
    """Whether a second has passed without a request, as a function."""
    seen = [-1, 0]

    def is_settled():
        if len(store.requests) != seen[0]:
            seen[:] = [len(store.requests), time.monotonic()]
        return time.monotonic() - seen[1] > 1

    return is_settled


def dry(box, *args, status=0, program=("cp",), **kw):
    """({name in the source tree: event}, totals)"""
    done = box.run(*program, "--journal", box.journal, "--dry-run", "--json", *args, status=status, **kw)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "totals" and events[-1]["status"] == status
    return {os.path.relpath(e["src"], box.dir / "src"): e for e in events if e["event"].startswith("would-")}, events[-1]


def kinds(said):
    return {name: e["event"].removeprefix("would-") for name, e in said.items()}


def real(box, *args, **kw):
    """{name: the action of a run}"""
    events = [json.loads(line) for line in box.cp("--json", *args, **kw).stdout.splitlines()]
    names = {"file_done": "upload", "file_skipped": "skip"}
    return {os.path.relpath(e["path"], box.dir / "src"): "resume" if e.get("resumed") else names[e["event"]] for e in events if e["event"] in names}


def test_without_a_journal_everything_is_uploaded_and_none_is_made(box):
    src = tree(box)
    before = contents(box.dir)
    done = box.cp("-n", "-r", src, f"{box.dir}/out/")
    box.gone()
    assert sorted(done.stdout.splitlines()) == sorted(
        f"upload: {src}/{name} to file://{box.dir}/out/{name}" for name in ("f0", "f1", "f2", "f3", "f4", "sub/line\\nbreak"))
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"file://{box.dir}/out/: 6 files to upload (421") and last.endswith(" KiB), 0 unchanged, 0 failed; 0 requests; nothing was sent or recorded")
    after = contents(box.dir)
    run = {name for name in after if name.startswith(f"{box.dir}/run")}
    assert {name for name in after if name not in run} == {name for name in before if name not in run}
    assert not [name for name in run if "reader" in name or "jobs" in name]


def test_a_run_does_what_was_said(box):
    src, out = tree(box), f"{box.dir}/out/"
    args = ("--chunk-size", SMALL, "-r", src, out)

    def compare(expected):
        box.gone()
        before = contents(box.journal, box.dir / "out", src)
        said, totals = dry(box, *args)
        assert contents(box.journal, box.dir / "out", src) == before
        assert kinds(said) == expected
        assert totals["upload_files"] + totals["resume_files"] + totals["skip_files"] == len(expected)
        assert totals["upload_bytes"] == sum(e["size"] for e in said.values() if e["event"] == "would-upload")
        assert real(box, *args) == expected

    names = ["f0", "f1", "f2", "f3", "f4", "sub/line\nbreak"]
    compare(dict.fromkeys(names, "upload"))
    compare(dict.fromkeys(names, "skip"))
    random_file(src / "new", 10)
    random_file(src / "f4", 200_000, seed=99)
    (box.dir / "out" / "f1").unlink()
    (box.dir / "out" / "f3").write_bytes(b"another size")
    os.chmod(src / "f2", 0o600)  # another change time: the content decides
    compare({**dict.fromkeys(names, "skip"), "new": "upload", "f4": "upload", "f1": "upload", "f3": "upload"})
    (box.dir / "out" / "f0").unlink()
    (src / "f0").unlink()
    said, _ = dry(box, "--force", *args)
    assert set(kinds(said).values()) == {"upload"} and len(said) == 6


def test_what_was_compared_is_not_recorded(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    for path in src.glob("f*"):
        os.utime(path, ns=(1, path.stat().st_mtime_ns))  # another change time
    box.gone()
    before = contents(box.journal)
    said, totals = dry(box, "-r", src, f"{box.dir}/out/")
    assert set(kinds(said).values()) == {"skip"} and totals["skip_files"] == 6
    assert contents(box.journal) == before


def test_after_a_kill_the_rest_is_sent(box):
    """The chunks that are said to be recorded are not sent again, and the requests are those that were said."""
    src = random_file(box.dir / "src" / "f", 22 * MIB)
    args = ("--integrity", "none", "--chunk-size", "5MiB", "-r", src.parent, "s3://bucket/p/")
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, *args)
        store.before = lambda request: CUT if request.kind == "chunk" and request.part > 2 else None
        child = box.start_cp(*args, env=store.env)
        wait_for(lambda: len(box.records("chunk")) == 2, what="two chunks are recorded")
        box.kill_all()
        child.wait()
        store.before = None
        wait_for(settled(store), what="no request of the killed uploader is left")
        store.requests.clear()
        box.gone()
        before = contents(box.journal)
        said, totals = dry(box, *args, env=store.env)
        text = box.cp("-n", *args, env=store.env)
        assert store.requests == [] and contents(box.journal) == before
        assert said["f"]["event"] == "would-resume" and (said["f"]["chunks_done"], said["f"]["chunks"]) == (2, 5)
        assert totals["resume_files"] == 1 and totals["resume_bytes"] == 12 * MIB and totals["requests"] == 3 + 1
        assert text.stdout == f"resume (2 of 5 chunks): {src} to s3://bucket/p/f\n"
        assert "0 files to upload (0 B), 1 to resume (12 MiB left), 0 unchanged, 0 failed; 4 requests" in text.stderr
        assert real(box, *args, env=store.env) == {"f": "resume"}
        assert len([r for r in store.requests if r.kind in ("put", "begin", "chunk", "finish", "abort")]) == 4


def test_requests_are_counted(box):
    src = box.dir / "src"
    for name, size in (("empty", 0), ("small", 100), ("large", 11 * MIB)):
        random_file(src / name, size)
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, "--integrity", "none", "--chunk-size", "5MiB", "-r", src, "s3://bucket/p/")
        said, totals = dry(box, *args, env=store.env)
        assert store.requests == []
        assert {name: e["requests"] for name, e in said.items()} == {"empty": 1, "small": 1, "large": 1 + 3 + 1}
        box.cp(*args, env=store.env)
        assert len([r for r in store.requests if r.kind in ("put", "begin", "chunk", "finish")]) == totals["requests"] == 7


@pytest.fixture
def consumer(box):
    child = box.start("--journal", box.journal, program="chunklift-consumer")
    wait_for(lambda: (box.journal / "consumer").exists(), what="the consumer serves")
    return child, (box.journal / "consumer").read_text().split()[0]


@pytest.mark.parametrize("program, names", [(("cp",), True), (("cp",), False), (("producer",), True), (("producer",), False)])
def test_a_running_consumer_is_asked(box, consumer, program, names):
    """names: by --consumer. A producer of its own does not look into the directory: it may be another host's."""
    src, (child, endpoint) = tree(box), consumer
    extra = ("--consumer", endpoint) if names else ()
    box.cp("-r", src, f"{box.dir}/out/")
    (box.dir / "out" / "f4").unlink()
    random_file(src / "new", 10)
    before = (box.journal / "journal.jsonl").read_bytes()
    said, _ = dry(box, *extra, "-r", src, f"{box.dir}/out/", program=program)
    uploads = {name for name, kind in kinds(said).items() if kind == "upload"}
    assert uploads == ({"new", "f4"} if program == ("cp",) else {"new"})
    assert (box.journal / "journal.jsonl").read_bytes() == before and child.poll() is None
    status = [json.loads(line) for line in box.run("status", "--json", "--journal", box.journal).stdout.splitlines()]
    assert status and not [s for s in status if s["event"] == "upload"]


def test_a_producer_needs_no_consumer(box):
    src = tree(box)
    said, _ = dry(box, "-r", src, f"{box.dir}/out/", program=("producer",))
    assert set(kinds(said).values()) == {"upload"} and not box.journal.exists()


def test_a_consumer_that_is_just_ending_is_not_waited_for(box):
    """The lock is held, and there is no answer. When it is free, the journal is read."""
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    with open(box.journal / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = box.start_cp("-n", "-r", src, f"{box.dir}/out/")
        wait_for(lambda: [p for p in (box.dir / "run").rglob("jobs-*")], what="it has begun")
        assert child.poll() is None
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert child.wait(30) == 0
    assert child.log.read_text().count("skip (journal): ") == 6


@pytest.mark.parametrize("case", ["missing source", "the same name twice", "a bad list", "a key that is not UTF-8", "too many failures"])
def test_failures_are_those_of_a_run(box, case):
    random_file(box.dir / "a" / "x" / "f", 10)
    random_file(box.dir / "b" / "x" / "f", 20)
    random_file(box.dir / os.fsdecode(b"c/\xff"), 10)
    (box.dir / "list").write_text("f\nmissing\n../f\n")
    args = {
        "missing source": ("-r", box.dir / "a", box.dir / "none", f"{box.dir}/out/"),
        "the same name twice": ("-r", box.dir / "a" / "x", box.dir / "b" / "x", f"{box.dir}/out/"),
        "a bad list": ("--files-from", box.dir / "list", box.dir / "a" / "x", f"{box.dir}/out/"),
        "a key that is not UTF-8": ("-r", box.dir / "c", "s3://bucket/p/"),
        "too many failures": ("--max-errors", "1", box.dir / "none", box.dir / "neither", f"{box.dir}/out/"),
    }[case]
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, *args)
        said = box.cp("-n", *args, env=store.env, status=1)
        assert not box.journal.exists()
        done = box.cp(*args, env=store.env, status=1)
    errors = [[line for line in d.stderr.splitlines() if line.startswith("chunklift: ")] for d in (said, done)]
    assert errors[0] == errors[1] and errors[0]


def test_options_of_a_run_have_no_effect(box):
    """A command can be tried as it is: its limit, report and addresses are not used."""
    src = tree(box)
    (box.dir / "report").write_text("of the last run")
    port = free_port()
    child = box.start("--journal", box.journal, program="chunklift-consumer")
    wait_for(lambda: (box.journal / "consumer").exists(), what="the consumer serves")
    before = contents(box.journal)
    done = box.cp("-n", "--bwlimit", "1MiB", "--report", box.dir / "report", "--jobs", f"tcp://127.0.0.1:{port}", "--insecure", "-r", src, f"{box.dir}/out/")
    assert len(done.stdout.splitlines()) == 6 and child.poll() is None
    assert (box.dir / "report").read_text() == "of the last run" and contents(box.journal) == before


def test_a_damaged_journal_is_reported(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    box.gone()
    journal = box.journal / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"damaged\n", *lines[2:]]))
    before = contents(box.journal)
    done = box.cp("-n", "-r", src, f"{box.dir}/out/", status=3)
    assert done.stdout == "" and done.stderr.startswith(f"chunklift: {journal}:2: ") and len(done.stderr.splitlines()) == 1
    assert contents(box.journal) == before


def test_a_journal_that_is_no_directory_is_reported(box):
    src = random_file(box.dir / "f", 10)
    done = box.run("cp", "-n", "--journal", src, src, box.dir / "out", status=3)
    assert done.stderr == f"chunklift: {src}: the journal cannot be read: Not a directory; name another directory with --journal\n"


def test_a_torn_tail_stays(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    box.gone()
    with open(box.journal / "journal.jsonl", "ab") as file:
        file.write(b'{"seq":')
    before = contents(box.journal)
    said, _ = dry(box, "-r", src, f"{box.dir}/out/")
    assert set(kinds(said).values()) == {"skip"} and contents(box.journal) == before


def test_a_reader_of_the_lines_may_leave(box):
    src = box.dir / "src"
    src.mkdir()
    for number in range(3000):
        (src / f"a-file-with-a-longer-name-{number}").write_bytes(b"x")
    child = subprocess.Popen(box.command("cp", "-n", "-q", "--journal", box.journal, "-r", src, f"{box.dir}/out/"), env=box.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline().startswith(b"upload: ")
    child.stdout.close()
    assert (child.wait(60), child.stderr.read()) == (0, b"")
    child.stderr.close()
    box.gone()
