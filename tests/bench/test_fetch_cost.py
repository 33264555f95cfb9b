"""The extra cost of FETCH over reading by reference: the same file, the same three programs, in turn; total CPU time, medians of three."""

import signal
import statistics
import subprocess
import time

import pytest

from bench.measure import CREDENTIALS, GIB, children_cpu, read_once
from bench.report import Section
from support.box import BUILD, Box, random_file
from support.site import Site

pytestmark = pytest.mark.bench
RUNS = 3


class Sink:
    env = CREDENTIALS

    def __init__(self):
        self.child = subprocess.Popen([BUILD / "bench" / "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{self.child.stdout.readline().strip()}"

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)


# how the programs are connected: arguments of Site, and the most CPU-s/GiB beyond reading by reference (None: not required)
WAYS = {"ipc": ({}, 0.25), "tcp without keys": ({"tcp": True}, 0.25), "tcp with keys (CURVE)": ({"keys": True}, None)}


def upload(sink, src, site_options, root):
    """Seconds and CPU time of consumer, uploader and producer, without the sink."""
    with Box() as box:
        before = children_cpu()
        site = Site(box, store=sink, **site_options)
        site.uploader(root=root, slots=8)
        began = time.monotonic()
        site.upload(src, "s3://bucket/key", seconds=300)
        seconds = time.monotonic() - began
        for child in (*site.uploaders, site.consumer):
            child.send_signal(signal.SIGTERM)
            assert child.wait(20) == 0
        fetched = {r.get("via") for r in box.records("chunk")}
        assert fetched == ({None} if root else {"fetch"})
        return seconds, children_cpu() - before


@pytest.mark.parametrize("way", WAYS)
def test_cost_of_fetching(tmp_path, way, say):
    gib, (options, most) = 2, WAYS[way]
    src = random_file(tmp_path / "src.bin", gib * GIB)
    read_once(src)
    sink = Sink()
    local, fetched = [], []
    for _ in range(RUNS):
        local.append(upload(sink, src, options, tmp_path))
        fetched.append(upload(sink, src, options, None))
    sink.close()
    rows = {}
    for name, runs in (("chunklift, by reference", local), ("chunklift, fetched", fetched)):
        seconds, cpu = (statistics.median(x[i] for x in runs) / gib for i in (0, 1))
        rows[name] = (cpu, 1 / seconds)
    beyond = rows["chunklift, fetched"][0] - rows["chunklift, by reference"][0]
    section = Section(f"A file of 2 GiB fetched from its producer by {way}", "test_fetch_cost.py", [("CPU-s/GiB", ".3f"), ("GiB/s", ".2f")], rows, [], [f"Medians of {RUNS}."])
    if most:
        section.verdicts.append((beyond <= most, f"{beyond:.2f} CPU-s/GiB beyond reading by reference (required {most})"))
    else:
        section.notes.append(f"{beyond:.2f} CPU-s/GiB beyond reading by reference.")
    say(section)
