"""The cost of slow, late or stopped hosts for the other hosts. Ideal times are sums of the wires' rates."""

import os
import signal
import time

import pytest

from servers.sink import Sink
from support.apart import Apart, sparse_file
from support.box import check_one_record_each, wait_for
from support.hosts import Hosts

pytestmark = pytest.mark.hosts
MB = 1_000_000
CHUNK = 5 << 20
GOODPUT = 11.8  # MB/s of a wire of 100 Mbit/s
LEASE_S = 3
SLOTS = 4


class Fleet:
    """A sink, a producer, a consumer, and uploader hosts with wires of 100 Mbit/s."""

    def __init__(self, box, way, megabytes, *uploaders):
        self.box, self.megabytes = box, megabytes
        self.hosts = Hosts(box, "store", "consumer", "producer", *uploaders)
        self.store = Sink(self.hosts["store"])
        self.apart = Apart(box, self.hosts, self.store, *way, lease=f"{LEASE_S}s")
        self.src = sparse_file(self.apart.sources / "big", megabytes * MB)
        for u in uploaders:
            self.hosts[u].limit("100mbit")

    def __enter__(self):
        self.apart.start_consumer()
        return self

    def __exit__(self, *exc):
        self.apart.__exit__()
        self.store.__exit__()
        self.hosts.close()

    def begin(self, *uploaders):
        """Starts the uploaders and returns when each has work."""
        for u in uploaders:
            self.apart.uploader(u, slots=SLOTS)
        before = {u: self.hosts[u].sent() for u in uploaders}
        self.apart.producer(self.src, "s3://bucket/big")
        wait_for(lambda: all(self.hosts[u].sent() > before[u] + 100_000 for u in uploaders), 20, "every host has work")

    def half_way(self):
        half = self.megabytes * MB // CHUNK // 2
        wait_for(lambda: self.apart.recorded() >= half, 60, "half of it is recorded")
        return self.megabytes - self.apart.recorded() * CHUNK / MB  # MB not recorded yet, work in flight included

    def ends(self, seconds=120):
        self.apart.ends_well("producer", seconds)
        check_one_record_each(self.box.records())


def test_a_slow_host_costs_little(box, strongest, capsys):
    with Fleet(box, strongest, 740, "u1", "u2", "u3", "u4") as fleet:
        fleet.hosts["u4"].limit("10mbit")
        ideal = fleet.megabytes / (3.1 * GOODPUT)
        fleet.begin("u1", "u2", "u3", "u4")
        began = time.monotonic()
        fleet.ends()
        took = time.monotonic() - began
        with capsys.disabled():
            print(f"\n{' '.join(strongest)}: three hosts of 100 Mbit/s and one of 10: {took:.1f} s, ideal {ideal:.1f} s (×{took / ideal:.2f}); chunks "
                  f"{ {u: len(r) for u, r in fleet.apart.by_worker().items()} }")
        assert took <= 1.15 * ideal


def test_a_late_host_has_its_share_within_two_seconds(box, strongest, capsys):
    with Fleet(box, strongest, 480, "u1", "u2", "u3") as fleet:
        fleet.begin("u1", "u2")
        fleet.half_way()
        fleet.apart.uploader("u3", slots=SLOTS)
        joined = time.monotonic()
        rates = []
        while time.monotonic() < joined + 3:
            before, at = fleet.hosts["u3"].sent(), time.monotonic()
            time.sleep(0.5)
            rates.append(((time.monotonic() - joined), (fleet.hosts["u3"].sent() - before) / MB / (time.monotonic() - at)))
        fleet.ends()
        with capsys.disabled():
            print(f"\n{' '.join(strongest)}: a host that joins sends, MB/s: " + ", ".join(f"{rate:.1f} after {t:.1f} s" for t, rate in rates))
        assert [rate for t, rate in rates if t > 2][0] >= 0.85 * GOODPUT


def test_a_stopped_host_delays_the_end_by_a_lease_and_a_chunk(box, strongest, capsys):
    with Fleet(box, strongest, 480, "u1", "u2", "u3") as fleet:
        fleet.begin("u1", "u2", "u3")
        left = fleet.half_way()
        os.kill(fleet.apart.children["u3"].pid, signal.SIGSTOP)
        stopped = time.monotonic()
        fleet.ends()
        took = time.monotonic() - stopped
        ideal = left / (2 * GOODPUT)
        chunk = SLOTS * CHUNK / MB / GOODPUT  # a chunk that shares its wire with others
        with capsys.disabled():
            print(f"\n{' '.join(strongest)}: one of three hosts stopped at half: {took:.1f} s to the end, the other two alone {ideal:.1f} s: {took - ideal:.1f} s "
                  f"more; lease and chunk {LEASE_S + chunk:.1f} s")
        os.kill(fleet.apart.children["u3"].pid, signal.SIGCONT)
        fleet.apart.stop("u1", "u2", "u3")  # the stopped host has no work after it resumes, and logs no lost job
        check_one_record_each(box.records())
        assert took < 30  # it is stopped all this time
        assert took - ideal <= LEASE_S + chunk
