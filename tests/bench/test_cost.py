"""The cost of chunklift against a plain signed libcurl loop in the same run: medians of three, interleaved. An upload error fails the test. The
figures are printed with their targets but not asserted: machines are noisy."""

import os
import resource
import statistics
import subprocess
import threading
import time

import pytest

from support.box import BUILD, random_file

GIB = 1 << 30
MIB = 1 << 20
pytestmark = pytest.mark.bench
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}


class PeakMemory(threading.Thread):
    """Samples the sum of the processes' proportional set sizes (PSS)."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.peak, self.stop = box, 0, threading.Event()

    def run(self):
        while not self.stop.wait(0.1):
            total = 0
            for pid in self.box.processes():
                try:
                    with open(f"/proc/{pid}/smaps_rollup") as f:
                        total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
                except (OSError, StopIteration):
                    pass
            self.peak = max(self.peak, total)


def children_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def run_baseline(url, src):
    out = subprocess.run([BUILD / "bench" / "baseline", f"{url}/bucket/key", src, str(8 * MIB), "8"], check=True, capture_output=True, text=True,
                         env={**os.environ, **CREDENTIALS}).stdout.split()
    return float(out[1]), float(out[2])


def run_chunklift(box, url, src, uploaders, integrity):
    """Seconds of the upload and CPU time of all its processes. cp waits for its child, the consumer, so the figures include it."""
    before = children_cpu()
    began = time.monotonic()
    done = box.run("cp", "--journal", box.dir / "journal", "--force", "--quiet", "--uploaders", uploaders, "--slots", 8 // uploaders, "--endpoint-url", url,
                   "--integrity", integrity, src, "s3://bucket/key", env=CREDENTIALS)
    seconds = time.monotonic() - began
    assert done.returncode == 0
    return seconds, children_cpu() - before


# way: (uploaders, --integrity, most CPU and least rate as multiples of the loop's)
WAYS = {"1 uploader, no checksum": (1, "none", 0.95, 1.15), "2 uploaders, no checksum": (2, "none", 0.95, 1.15), "1 uploader, CRC32C": (1, "crc32c", 1.15, 1.0)}


@pytest.mark.parametrize("way", WAYS)
def test_cpu_rate_and_memory(box, start_sink, way, capsys):
    """The loop has no checksum. A sink refuses one probe, so each run with CRC32C has a new one."""
    size, (uploaders, integrity, most_cpu, least_rate) = 4 * GIB, WAYS[way]
    src = random_file(box.dir / "src.bin", size)
    with open(src, "rb") as f:  # into the page cache
        while f.read(16 * MIB):
            pass
    base, ours = [], []
    for _ in range(3):
        sink = start_sink("-c")
        base.append(run_baseline(sink, src))
        ours.append(run_chunklift(box, sink, src, uploaders, integrity))
    memory = PeakMemory(box)
    memory.start()
    run_chunklift(box, start_sink("-c"), src, uploaders, integrity)
    memory.stop.set()
    memory.join()
    gib = size / GIB
    b_s, b_cpu = (statistics.median(x[i] for x in base) / gib for i in (0, 1))
    o_s, o_cpu = (statistics.median(x[i] for x in ours) / gib for i in (0, 1))
    with capsys.disabled():
        print(f"\n4 GiB, 8 MiB chunks, 8 transfers, {way}, medians of 3:")
        print(f"  plain libcurl loop  {1 / b_s:5.2f} GiB/s  {b_cpu:.3f} CPU-s/GiB")
        print(f"  chunklift           {1 / o_s:5.2f} GiB/s  {o_cpu:.3f} CPU-s/GiB  peak {memory.peak / 1024:.0f} MiB PSS (all processes)")
        print(f"  ratio               {b_s / o_s:5.2f}        {o_cpu / b_cpu:.2f}")
        for what, met in ((f"CPU at most {most_cpu} times the loop's", o_cpu <= most_cpu * b_cpu), (f"rate at least {least_rate} times the loop's", o_s <= b_s / least_rate),
                          ("at most 64 MiB", memory.peak <= 64 * 1024)):
            print(f"  {'met' if met else 'NOT MET':8}{what}")


WORK = {"10,000 x 4 KiB": (10_000, 4096), "200 x 1 MiB": (200, MIB)}


@pytest.mark.parametrize("work", WORK)
def test_many_files(box, sink, work, capsys):
    """Default settings against the plain loop, which sends the files of one directory, 8 at a time."""
    count, size = WORK[work]
    src = box.dir / "src"
    for i in range(count):
        random_file(src / f"{i:05}", size, seed=i % 50)
    loop, ours = [], []
    for i in range(5):
        began, before = time.monotonic(), children_cpu()
        subprocess.run([BUILD / "bench" / "baseline", f"{sink}/bucket", src, "0", "8"], check=True, capture_output=True, env={**os.environ, **CREDENTIALS})
        loop.append((time.monotonic() - began, children_cpu() - before))
        began, before = time.monotonic(), children_cpu()
        box.run("cp", "-r", "--quiet", "--journal", box.dir / f"journal-{i}", "--endpoint-url", sink, src, "s3://bucket/tree/", env=CREDENTIALS)
        ours.append((time.monotonic() - began, children_cpu() - before))
    (l_s, l_cpu), (o_s, o_cpu) = ([statistics.median(x[k] for x in times) for k in (0, 1)] for times in (loop, ours))
    with capsys.disabled():
        print(f"\n{work}, medians of 5, interleaved:")
        for name, s, cpu in (("plain libcurl loop", l_s, l_cpu), ("chunklift", o_s, o_cpu)):
            print(f"  {name:19} {s:.3f} s  {count / s:6.0f} files/s  {cpu / count * 1e6:4.0f} µs CPU a file")
        print(f"  ratio               {l_s / o_s:.2f} of its rate, {o_cpu / l_cpu:.2f} of its CPU")
