"""Standard input as the source: one object, in bounded memory, that appears only when the input has ended."""

import hashlib
import json
import os
import pty
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from servers.memory_store import MemoryStore
from support.box import check_chain, check_one_record_each, random_file, sha256_of, wait_for
from support.site import Site

MIB = 1 << 20


class Piped:
    """A command that reads standard input from this process."""

    def __init__(self, box, *args, env=None, stdin=subprocess.PIPE):
        self.log = box.dir / f"piped-{len(box.outputs)}.log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(box.command(*args), env={**box.env, **(env or {})}, cwd=box.dir, stdin=stdin, stdout=log, stderr=log)
        box.outputs.append((args, None, self.log, ""))
        self.pid = self.child.pid

    def write(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def end(self, status=0, seconds=120):
        if self.child.stdin:
            self.child.stdin.close()
        assert self.child.wait(seconds) == status, self.said()
        return self.said()

    def said(self):
        return self.log.read_text(errors="replace")


def piped(box, *args, **kw):
    return Piped(box, "cp", "--no-progress", "--journal", box.journal, *args, **kw)


def send(box, source, *args, status=0, **kw):
    with open(source, "rb") as stdin:
        return piped(box, *args, stdin=stdin, **kw).end(status)


def give(child, source, pause_after=()):
    """Writes the file into the command's standard input; calls pause_after[offset] at these offsets."""
    with open(source, "rb") as f:
        while piece := f.read(MIB):
            child.write(piece)
            if f.tell() in pause_after:
                pause_after[f.tell()]()


def chunks(box):
    return len(box.records("chunk")) if (box.journal / "journal.jsonl").exists() else 0


def no_object(box, name="out/x"):
    """Nothing under the final name, and no temporary file."""
    assert not (box.dir / name).exists() and not [p for p in (box.dir / name).parent.glob(".*") if p.is_file()]


@pytest.fixture
def out(box):
    (box.dir / "out").mkdir()
    return box.dir / "out" / "x"


# ---- arrival ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3 * 65536, 5 * MIB + 3])
def test_sizes_around_chunks(box, out, size):
    source = random_file(box.dir / "src", size)
    child = piped(box, "--chunk-size", "64KiB", "-", out)
    give(child, source)
    child.end()
    assert sha256_of(out) == sha256_of(source)
    check_one_record_each(box.records())
    check_chain(box.journal)
    small = box.records("put")
    assert (len(small) == 1) == (size <= 65536)
    last = (small or box.records("finish"))[-1]
    assert last["size"] == size
    named = (small or box.records("begin"))[-1]
    assert (named["src"], named["source"]) == ("/dev/stdin", "stdin")
    assert not [r for r in box.records() if r["ev"] in ("chunk", "put") and r.get("via") != "fetch"]


def test_input_that_comes_slowly_arrives_before_its_end(box, out):
    """Chunks are sent while the input goes on, and the object is not there before its end."""
    source = random_file(box.dir / "src", 4 * 65536 + 5)
    child = piped(box, "--chunk-size", "64KiB", "-", out)
    child.write(source.read_bytes()[: 3 * 65536])
    wait_for(lambda: chunks(box) == 2, what="the chunks that another one follows are recorded")
    assert not out.exists() and child.child.poll() is None
    begin = box.records("begin")[0]
    assert (begin["size"], begin["chunks"], begin["grow"]) == (0, 524288, 65536)
    child.write(source.read_bytes()[3 * 65536 :])
    child.end()
    assert sha256_of(out) == sha256_of(source)
    assert [r["total"] for r in box.records("chunk") if "total" in r] == [4 * 65536 + 5]
    check_one_record_each(box.records())


def test_zeros_at_the_end_of_chunks_arrive(box, out):
    """They are not written where they are holes, and the end of the last ones has to be there nevertheless."""
    child = piped(box, "--chunk-size", "128KiB", "-", out)
    for piece in (bytes(256 << 10), b"x" * 65536, bytes(200 << 10)):
        child.write(piece)
    child.end()
    assert out.read_bytes() == bytes(256 << 10) + b"x" * 65536 + bytes(200 << 10)


def test_a_regular_file_is_read_as_well(box, out):
    source = random_file(box.dir / "src", 20 * MIB)
    said = send(box, source, "-", out)
    assert sha256_of(out) == sha256_of(source)
    assert "1 file uploaded (20 MiB)" in said


def test_the_object_in_a_store(box, rgw):
    """Multipart with growing chunks and one request; content type by the name, mtime of the start, and read back by another client."""
    began = time.time()
    for name, size in (("x.json", 10), ("y.tar", 30 * MIB + 1)):
        source = random_file(box.dir / name, size)
        child = piped(box, "--endpoint-url", rgw.endpoint, "--chunk-size", "5MiB", "-", f"s3://bucket/stdin/{name}", env=rgw.env)
        give(child, source)
        child.end()
        rgw.get_object(f"stdin/{name}", box.dir / "back")
        assert sha256_of(box.dir / "back") == sha256_of(source)
        head = rgw.s3.head_object(Bucket="bucket", Key=f"stdin/{name}")
        assert head["ContentType"] == {"x.json": "application/json", "y.tar": "application/x-tar"}[name]
        assert began - 1 < float(head["Metadata"]["mtime"]) < time.time()
    assert len(box.records("chunk")) == 7
    assert not [u for u in rgw.open_uploads("bucket") if u["Key"].startswith("stdin/")]
    compared = box.run("verify", "--journal", box.journal, "--read", env=rgw.env)
    assert "2 objects compared" in compared.stdout + compared.stderr


def test_a_producer_and_uploaders_elsewhere(box, out):
    """A standalone producer serves the bytes to uploaders that have no file; one of them is killed."""
    site = Site(box, tcp=True, lease="1s")
    for _ in range(2):
        site.uploader(slots=2)
    source = random_file(box.dir / "src", 40 * MIB + 9)
    child = Piped(box, "producer", "--no-progress", "--consumer", site.at, "--jobs", site.jobs, "--insecure", "--chunk-size", "1MiB", "-", out)
    give(child, source, {12 * MIB: site.uploaders[0].kill})
    child.end()
    assert sha256_of(out) == sha256_of(source)
    check_one_record_each(box.records())


# ---- ends that are no ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 3 * 65536])
def test_an_expected_size_that_is_right(box, out, size):
    source = random_file(box.dir / "src", size)
    child = piped(box, "--chunk-size", "64KiB", "--expect-size", size, "-", out)
    give(child, source)
    child.end()
    assert sha256_of(out) == sha256_of(source)


@pytest.mark.parametrize("size, expected, line", [
    (10, 11, "ended after 10 of the 11 bytes of --expect-size"),
    (10, 9, "is longer than the 9 bytes of --expect-size"),
    (1, 0, "is longer than the 0 bytes of --expect-size"),
    (3 * MIB, 3 * MIB + 1, "ended after 3145728 of the 3145729 bytes of --expect-size"),
    (3 * MIB, 3 * MIB - 1, "is longer than the 3145727 bytes of --expect-size"),
])
def test_an_expected_size_that_is_wrong_leaves_no_object(box, out, size, expected, line):
    source = random_file(box.dir / "src", size)
    child = piped(box, "--chunk-size", "64KiB", "--expect-size", expected, "-", out)
    try:
        give(child, source)
        said = child.end(1)
    except BrokenPipeError:  # it ended before it read all
        child.child.stdin = None
        said = child.end(1)
    assert f"chunklift: /dev/stdin: {line}\n" in said, said
    no_object(box)
    assert [r["error"] for r in box.records("fail")] == [line] and not box.records("finish") and not box.records("put")
    assert len(box.records("abort")) == len(box.records("begin"))
    assert line in box.run("journal", "show", "--failed", "--journal", box.journal).stdout


def test_a_read_error_leaves_no_object(box, out):
    """The first page of a process cannot be read."""
    with open("/proc/self/mem", "rb") as stdin:
        said = piped(box, "-", out, stdin=stdin).end(1)
    assert "chunklift: /dev/stdin: cannot be read: Input/output error\n" in said
    no_object(box)
    assert [r["class"] for r in box.records("fail")] == ["source"] and not box.records("put")


def test_a_terminal_is_refused(box, out):
    ours, theirs = pty.openpty()
    child = subprocess.Popen([*box.command("cp", "--journal", box.journal, "-", out)], env=box.env, cwd=box.dir, stdin=theirs, stderr=subprocess.PIPE)
    _, said = child.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert child.returncode == 2 and b"chunklift: -: standard input is a terminal; connect it to a pipe or a file\n" == said


def test_a_producer_that_dies_without_an_expected_size_is_an_end(box, out):
    """It cannot be known: the end of a pipe says nothing about its writer. The manual page tells so."""
    command = " ".join(map(str, box.command("cp", "--no-progress", "--journal", box.journal, "-", out)))
    done = subprocess.run(["bash", "-c", f"set -o pipefail; (printf abc; kill -9 $BASHPID) | {command}"], env=box.env, cwd=box.dir, capture_output=True, timeout=60)
    assert done.returncode == 128 + 9 and out.read_bytes() == b"abc"
    command = command.replace(" - ", " --expect-size 6 - ").replace(str(out), f"{out}2")
    done = subprocess.run(["bash", "-c", f"(printf abc; kill -9 $BASHPID) | {command}"], env=box.env, cwd=box.dir, capture_output=True, timeout=60)
    assert done.returncode == 1 and not Path(f"{out}2").exists()


# ---- kills and stops -------------------------------------------------------------------------------------------------


def test_uploaders_and_the_consumer_are_killed(box, out):
    """The chunks that have no record are still in the producer. The object is identical, and each chunk has one record."""
    source = random_file(box.dir / "src", 64 * MIB + 1)

    def kill(program):
        return lambda: box.kill_all(program)

    child = piped(box, "--chunk-size", "1MiB", "--lease", "1s", "-", out)
    give(child, source, {10 * MIB: kill("chunklift-uploader"), 20 * MIB: kill("chunklift-consumer"), 30 * MIB: kill("chunklift-uploader"),
                         40 * MIB: kill("chunklift-consumer"), 64 * MIB: kill("chunklift-uploader")})
    child.end()
    assert sha256_of(out) == sha256_of(source)
    check_one_record_each(box.records())
    check_chain(box.journal)
    assert len(box.records("epoch")) >= 3


@pytest.mark.parametrize("sent", [10, 6 * MIB])
def test_the_first_interrupt_keeps_nothing(box, out, sent):
    child = piped(box, "--chunk-size", "1MiB", "--lease", "1s", "-", out)
    child.write(bytes(sent))
    wait_for(lambda: chunks(box) >= (3 if sent > MIB else 0) and (box.journal / "consumer").exists(), what="work goes on")
    child.child.send_signal(signal.SIGINT)
    said = child.end(128 + signal.SIGINT, 60)
    assert "stopping; what was sent of standard input is removed; again to stop now" in said
    assert "interrupted; standard input is not resumed: the same command begins a new upload" in said
    no_object(box)
    assert len(box.records("abort")) == len(box.records("begin"))


def test_a_hangup_is_no_end_of_the_input(box, out):
    """A session that ends closes the pipe too, because it ends the writer. With a log file, SIGHUP has another meaning for other sources."""
    child = piped(box, "--log-file", box.dir / "log", "--chunk-size", "1MiB", "-", out)
    child.write(bytes(3 * MIB))
    wait_for(lambda: chunks(box) >= 1, what="a chunk is recorded")
    child.child.send_signal(signal.SIGHUP)
    child.end(128 + signal.SIGHUP, 60)
    no_object(box)
    assert not box.records("finish")


def test_a_killed_run_is_not_resumed(box, out):
    """The next one begins again, and aborts the unfinished upload."""
    source = random_file(box.dir / "src", 6 * MIB)
    child = piped(box, "--chunk-size", "1MiB", "-", out)
    child.write(source.read_bytes())
    wait_for(lambda: chunks(box) >= 5, what="chunks are recorded")
    box.kill_all()
    child.child.wait()
    left = box.records("begin")[0]["upload"]
    child = piped(box, "--chunk-size", "1MiB", "-", out)
    give(child, source)
    child.end()
    assert sha256_of(out) == sha256_of(source)
    assert {r["upload"] for r in box.records("begin")} > {left}
    assert [(r["upload"], r["reason"]) for r in box.records("abort")] == [(left, "superseded")]
    assert sorted(os.listdir(out.parent)) == ["x"]


def test_its_file_has_the_bits_that_the_umask_allows(box, out):
    before = os.umask(0o027)
    try:
        send(box, random_file(box.dir / "src", 1000), "-", out)
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_an_empty_file_is_not_as_large_as_it_was(box):
    """--size-only compares with the size that the object got in the end."""
    empty = box.dir / "empty"
    empty.touch()
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, "--integrity", "none")
        child = piped(box, *args, "--chunk-size", "5MiB", "-", "s3://bucket/k", env=store.env)
        child.write(bytes(11 * MIB))
        child.end()
        assert "1 file uploaded" in box.cp("--size-only", *args, empty, "s3://bucket/k", env=store.env).stderr
        assert store.objects["k"]["body"] == b""


def test_an_upload_in_a_store_is_aborted(box, rgw):
    child = piped(box, "--endpoint-url", rgw.endpoint, "--chunk-size", "5MiB", "--expect-size", "1GiB", "-", "s3://bucket/stdin-stop", env=rgw.env)
    child.write(bytes(21 * MIB))
    wait_for(lambda: chunks(box) >= 2, seconds=60, what="parts are recorded")
    assert [u for u in rgw.open_uploads("bucket") if u["Key"] == "stdin-stop"]
    child.end(1)
    assert not [u for u in rgw.open_uploads("bucket") if u["Key"] == "stdin-stop"]
    assert not rgw.s3.list_objects(Bucket="bucket", Prefix="stdin-stop").get("Contents")


# ---- memory ----------------------------------------------------------------------------------------------------------


def pss_kib(box):
    total = 0
    for pid in box.processes():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total


def test_memory_is_bounded(box, out):
    """256 MiB through a pipe as fast as they are taken: the memory of all programs stays bounded (not judged under a sanitizer)."""
    child = piped(box, "-", out)
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(0.05):
            peak[0] = max(peak[0], pss_kib(box))

    watcher = threading.Thread(target=watch)
    watcher.start()
    digest, piece = hashlib.sha256(), os.urandom(MIB)
    for _ in range(256):
        child.write(piece)
        digest.update(piece)
    child.end()
    over.set()
    watcher.join()
    assert sha256_of(out) == digest.hexdigest()
    if "ASAN_OPTIONS" not in os.environ:
        assert peak[0] < 64 << 10, f"{peak[0] >> 10} MiB"


# ---- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, line", [
    (["-r", "-", "OUT"], "-: standard input becomes one object; leave out -r"),
    (["-", "f", "OUT/"], "-: standard input is the only source of its command; upload the others with another one"),
    (["--files-from", "list", "-", "OUT"], "-: standard input becomes one object; leave out --files-from"),
    (["--exclude", "*.o", "-", "OUT"], "-: standard input has no files to select; leave out the filters"),
    (["--max-size", "1G", "-", "OUT"], "-: standard input has no files to select; leave out the filters"),
    (["--dry-run", "-", "OUT"], "-: standard input can be read only once; leave out --dry-run"),
    (["--ignore-existing", "-", "OUT"], "-: standard input is always sent; leave out --size-only, --checksum, --check-dest and --ignore-existing"),
    (["-", "OUT/"], "OUT/: standard input needs the full name of its object; add a name to DEST"),
    (["-", "."], ".: standard input needs the full name of its object; add a name to DEST"),
    (["-", "s3://bucket"], "s3://bucket: standard input needs the full name of its object; add a name to DEST"),
    (["-", "s3://bucket/p/"], "s3://bucket/p/: standard input needs the full name of its object; add a name to DEST"),
    (["--expect-size", "5", "f", "OUT"], "--expect-size: it is the size of standard input; use it with SRC -"),
    (["--expect-size", "60TiB", "-", "s3://bucket/x"], "--expect-size: this destination takes objects of up to 48.8 TiB"),
    (["--expect-size", "many", "-", "OUT"], "--expect-size many: not a size; use for example 8MiB"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_standard_input_is_not(box, args, line):
    (box.dir / "f").write_text("f")
    (box.dir / "list").write_text("f\n")
    done = box.cp(*args, status=2)
    assert done.stderr == f"chunklift: {line}\n"
    assert not (box.dir / "OUT").exists() and not box.journal.exists()


def test_closed_standard_input_is_said(box):
    done = subprocess.run(["sh", "-c", f"exec {' '.join(map(str, box.command('cp', '-', 'OUT')))} <&-"], env=box.env, cwd=box.dir, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr == "chunklift: -: standard input is closed; connect it to a pipe or a file\n"


def test_a_file_named_dash_is_written_with_its_directory(box, out):
    (box.dir / "-").write_text("dash")
    box.cp("./-", out)
    assert out.read_text() == "dash"


def test_progress_has_no_percent_without_a_size(box, out):
    child = Piped(box, "cp", "--journal", box.journal, "--stats", "100ms", "-", out)
    child.write(bytes(10 * MIB))
    wait_for(lambda: "MiB, " in child.said(), what="a line of progress")
    line = next(line for line in child.said().splitlines() if "MiB, " in line)
    assert "%" not in line and "ETA" not in line and "files" not in line
    child.end()
    child = Piped(box, "cp", "--journal", box.journal, "--stats", "100ms", "--expect-size", 40 * MIB, "-", out)
    child.write(bytes(10 * MIB))
    wait_for(lambda: "of 40 MiB" in child.said() and "%" in child.said(), what="a line with a percentage")
    child.end(1)


def test_status_and_show_of_an_upload_without_a_size(box, out):
    child = piped(box, "--chunk-size", "1MiB", "-", out)
    child.write(bytes(5 * MIB))
    wait_for(lambda: chunks(box) == 4, what="chunks are recorded")
    assert "4 MiB so far  /dev/stdin" in box.run("status", "--journal", box.journal).stdout
    shown = [json.loads(line) for line in box.run("journal", "show", "--json", "--journal", box.journal).stdout.splitlines()]
    assert [(u["size"], u["done_bytes"], u["chunks"], u["chunks_done"]) for u in shown] == [(0, 4 * MIB, 0, 4)]
    assert "4 chunks so far" in box.run("journal", "show", "--journal", box.journal).stdout
    child.end()
    assert "5 chunks" in box.run("journal", "show", "--journal", box.journal).stdout
