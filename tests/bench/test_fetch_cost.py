"""The extra cost of FETCH over reading by reference: the same file, the same three programs, in turn; total CPU time, medians of three."""

import signal
import statistics
import subprocess
import time

import pytest

from bench.test_cost import CREDENTIALS, GIB, MIB, children_cpu
from support.box import BUILD, Box, random_file
from support.site import Site

pytestmark = pytest.mark.bench
BEYOND_MAX = 0.45  # CPU-s/GiB


class Sink:
    env = CREDENTIALS

    def __init__(self):
        self.child = subprocess.Popen([BUILD / "bench" / "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{self.child.stdout.readline().strip()}"

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)


def upload(sink, src, tcp, root):
    """Seconds and CPU time of consumer, uploader and producer, without the sink."""
    with Box() as box:
        before = children_cpu()
        site = Site(box, tcp=tcp, store=sink)
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


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_cost_of_fetching(tmp_path, tcp, capsys):
    size = 2 * GIB
    src = random_file(tmp_path / "src.bin", size)
    with open(src, "rb") as f:  # into the page cache
        while f.read(16 * MIB):
            pass
    sink = Sink()
    local, fetched = [], []
    for _ in range(3):
        local.append(upload(sink, src, tcp, tmp_path))
        fetched.append(upload(sink, src, tcp, None))
    sink.close()
    gib = size / GIB
    l_s, l_cpu = (statistics.median(x[i] for x in local) / gib for i in (0, 1))
    f_s, f_cpu = (statistics.median(x[i] for x in fetched) / gib for i in (0, 1))
    with capsys.disabled():
        print(f"\n{gib:.0f} GiB, 8 MiB chunks, 8 transfers, data by {'tcp' if tcp else 'ipc'} without keys, medians of 3:")
        print(f"  by reference {1 / l_s:5.2f} GiB/s  {l_cpu:.3f} CPU-s/GiB")
        print(f"  fetched      {1 / f_s:5.2f} GiB/s  {f_cpu:.3f} CPU-s/GiB")
        print(f"  {'met' if f_cpu - l_cpu <= BEYOND_MAX else 'NOT MET':8}{f_cpu - l_cpu:.3f} CPU-s/GiB beyond reading by reference, at most {BEYOND_MAX}")
