"""Growth of the consumer: time from exec to serving, memory per upload, and reply latency while a large state is saved. Figures are printed with
their targets but not asserted (machines are noisy). A consumer that does not start or has lost state fails the test."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from support.box import BUILD

pytestmark = pytest.mark.bench


@pytest.fixture
def say(capsys):
    def say(*words):
        with capsys.disabled():
            print(*words)
    return say


def make(box, name, **what):
    directory = box.dir / name
    began = time.monotonic()
    out = subprocess.run([BUILD / "bench" / "make_journal", directory, *(f"{k}={v}" for k, v in what.items())], check=True, capture_output=True,
                         text=True, timeout=300).stdout
    return directory, int(out.split()[0]), time.monotonic() - began


class Serving:
    """A consumer started on a directory: seconds from exec to `listening` (its socket answers from then on), and its memory in MiB."""

    def __init__(self, box, directory):
        began = time.monotonic()
        self.child = subprocess.Popen(box.command("--journal", directory, "--json", program="chunklift-consumer"), env=box.env, text=True,
                                      stdout=subprocess.PIPE)
        self.listening = json.loads(self.child.stdout.readline())
        self.seconds = time.monotonic() - began
        assert self.listening["event"] == "listening"
        proc = Path(f"/proc/{self.child.pid}")
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in (proc / "smaps_rollup").read_text().splitlines()[1:]}
        peak = next(int(line.split()[1]) for line in (proc / "status").read_text().splitlines() if line.startswith("VmHWM"))
        ticks = (proc / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
        self.cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        self.rss, self.pss, self.peak = sizes["Rss"] / 1024, sizes["Pss"] / 1024, peak / 1024

    def end(self, sig=signal.SIGTERM):
        began = time.monotonic()
        self.child.send_signal(sig)
        self.child.wait(120)
        self.child.stdout.close()
        return time.monotonic() - began


def start_and_end(box, directory, sig):
    serving = Serving(box, directory)
    serving.end(sig)
    return serving


def report(say, what, runs, target):
    seconds = statistics.median(r.seconds for r in runs)
    say(f"  {what:34} {seconds:6.2f} s ({statistics.median(r.cpu for r in runs):.2f} s CPU)  RSS {runs[-1].rss:4.0f} MiB  PSS {runs[-1].pss:4.0f} MiB  peak {runs[-1].peak:4.0f} MiB   "
        + (f"{'met' if seconds <= target else 'NOT MET'}: at most {target} s" if target else ""))


@pytest.mark.parametrize("what, target", [
    (dict(unfinished=10_000, chunks=100), 2),
    (dict(finished=10_000, chunks=100), 2),
])
def test_restart_with_a_million_chunk_records(box, say, what, target):
    directory, records, seconds = make(box, "journal", **what)
    say(f"\n{records} records ({what}), made in {seconds:.0f} s; medians of 3, from exec to serving:")
    report(say, "no snapshot", [start_and_end(box, directory, signal.SIGKILL) for _ in range(3)], target)
    start_and_end(box, directory, signal.SIGTERM)
    assert (directory / "snapshot").exists()
    report(say, "with a snapshot", [start_and_end(box, directory, signal.SIGKILL) for _ in range(3)], target)


@pytest.mark.parametrize("what", [
    dict(unfinished=1_000, finished=97_000, chunks=100, puts=2_000),
    dict(unfinished=100_000, chunks=100),  # the worst case: all uploads are unfinished
])
def test_restart_with_ten_million_records_and_a_snapshot(box, say, what):
    free = shutil.disk_usage(box.dir).free
    if free < 8 << 30:
        pytest.skip(f"{box.dir}: 8 GiB are needed, {free >> 30} GiB are free")
    directory, records, seconds = make(box, "journal", **what)
    size = sum(f.stat().st_size for f in directory.iterdir())
    say(f"\n{records} records ({what}), {size / (1 << 30):.1f} GiB, made in {seconds:.0f} s:")
    first = Serving(box, directory)
    stop = first.end()
    report(say, "no snapshot (once)", [first], None)
    say(f"  its clean stop with the snapshot    {stop:5.2f} s, snapshot {os.stat(directory / 'snapshot').st_size >> 20} MiB")
    report(say, "with the snapshot, medians of 3", [start_and_end(box, directory, signal.SIGKILL) for _ in range(3)], 3)


def memory(box, name, **what):
    directory, _, _ = make(box, name, **what)
    first = Serving(box, directory)
    first.end()
    rss = start_and_end(box, directory, signal.SIGKILL).rss  # after a start from the snapshot: excludes memory that such a start leaves in the heap
    shutil.rmtree(directory)
    return rss * (1 << 20)


def test_memory_for_each_upload(box, say):
    empty = memory(box, "empty", puts=1)
    say(f"\nconsumer with nothing: {empty / (1 << 20):.0f} MiB; for each upload, beyond that:")
    for uploads in (10_000, 100_000):
        one, many = (memory(box, "m", unfinished=uploads, chunks=n) for n in (1, 33))
        say(f"  {uploads:7} unfinished: {(one - empty) / uploads:5.0f} bytes with 1 of 2 chunks; {(many - one) / uploads / 32:4.1f} for each further chunk")
    for puts in (100_000, 1_000_000):
        say(f"  {puts:7} finished:   {(memory(box, 'm', puts=puts) - empty) / puts:5.0f} bytes")


def test_chunks_without_a_record_take_no_memory(box, say):
    """Unrecorded chunks take no memory, even in uploads of the largest announced size (524,288 chunks)."""
    uploads = 75_000
    directory, _, _ = make(box, "journal", unfinished=uploads, chunks=0, of=524_288)
    size = sum(f.stat().st_size for f in directory.iterdir())
    from_journal = Serving(box, directory)
    stop = from_journal.end()
    from_snapshot = start_and_end(box, directory, signal.SIGKILL)
    say(f"\n{uploads} uploads of 524,288 chunks, {size >> 20} MiB of journal: {from_journal.peak:.0f} MiB, from the snapshot {from_snapshot.peak:.0f} MiB, "
        f"SIGTERM {stop:.2f} s")
    assert max(from_journal.peak, from_snapshot.peak) < 200 and stop < 10


def test_nobody_waits_for_a_snapshot(box, say):
    directory, records, _ = make(box, "journal", puts=1_000_000, unfinished=100_000, chunks=10)
    out = subprocess.run([BUILD / "bench" / "rounds", directory, "1000000", "100000", "10", "2000000"], check=True, capture_output=True, text=True,
                         timeout=300).stdout
    said = dict(word.split("=") for word in out.split())
    say(f"\n1,000,000 finished and 100,000 unfinished uploads with 10 chunks, 100 completions a round, a snapshot at every rotation:\n  {out.strip()}")
    assert int(said["refused"]) == 0 and int(said["rotations"]) >= 5
    say(f"  {'met' if float(said['longest_ms']) <= 100 else 'NOT MET'}: nobody waits more than 100 ms")
