"""Hosts with a round trip of 20 ms between every two have nearly the throughput of hosts without latency."""

import pytest

from servers.sink import Sink
from support.apart import Apart, sparse_file
from support.box import random_file
from support.hosts import Hosts

pytestmark = pytest.mark.hosts
MB = 1_000_000


def throughput(box, way, name, make, args, slots, delay_ms, rate):
    """MB/s from the producer's start to its end."""
    box.journal = box.dir / f"journal-{name}-{delay_ms}"
    with Hosts(box, "store", "consumer", "producer", "u1", "u2", delay_ms=delay_ms) as hosts, Sink(hosts["store"]) as store:
        with Apart(box, hosts, store, *way) as apart:
            src, size = make(apart.sources)
            for u in ("u1", "u2"):
                hosts[u].limit(rate)
                apart.uploader(u, slots=slots)
            apart.producer(*args, src, f"s3://bucket/{name}/", chunk="8MiB")
            apart.ends_well("producer", 120)
            seconds = apart.seconds()
            apart.stop_all()
    return size / MB / seconds, seconds


def large(sources):
    return sparse_file(sources / "large", 640 * MB), 640 * MB


def tree(count, size):
    def make(sources):
        root = sources / f"tree-{size}"
        for i in range(count):
            if not root.joinpath(f"{i % 50}", f"{i}").exists():
                random_file(root / f"{i % 50}" / f"{i}", size, seed=i)
        return root, count * size
    return make


WORK = {  # a small object spends most of its time on the wait for its reply: the slots limit the objects per second, not the wire

    "chunks of 8 MiB": ("large", large, [], 8, "200mbit"),
    "files of 64 KiB": ("middle", tree(3500, 64 << 10), ["-r"], 32, "100mbit"),
    "files of 4 KiB": ("small", tree(12000, 4 << 10), ["-r"], 64, "20mbit"),
}


@pytest.mark.parametrize("what", WORK)
def test_distance_costs_little(box, strongest, what, capsys):
    name, make, args, slots, rate = WORK[what]
    near, near_s = throughput(box, strongest, name, make, args, slots, 0, rate)
    far, far_s = throughput(box, strongest, name, make, args, slots, 5, rate)  # four wires per round trip
    with capsys.disabled():
        print(f"\n{' '.join(strongest)}, {what}, two hosts of {rate}: {near:.1f} MB/s in {near_s:.1f} s, {far:.1f} MB/s in {far_s:.1f} s over 20 ms "
              f"(×{far / near:.2f})")
    assert far >= 0.9 * near
