"""After a network partition heals, the objects are correct, every chunk has one record, and few bytes are sent twice."""

import time

import pytest

from servers.ceph import CephRgw
from support.apart import Apart
from support.box import random_file, wait_for
from support.hosts import Hosts

pytestmark = pytest.mark.hosts
MIB = 1 << 20
CHUNK = 5 * MIB
APART_S = 20
SLOTS = 4
FRAMES = 1514 / 1448  # bytes on the wire for each byte of a stream, at most
# Chunks that may be sent twice (docs/PROTOCOL.md, section 5): those in flight at the program that lost its lease or its source
TWICE = {"u1": SLOTS, "consumer": 2 * SLOTS, "producer": {"reference": 0, "fetch": 2 * SLOTS}}


@pytest.mark.parametrize("who", ["u1", "producer", "consumer"])
def test_a_partition_heals(box, strongest, who, capsys):
    with Hosts(box, "store", "consumer", "producer", "u1", "u2", "reader") as hosts, CephRgw(hosts["store"]) as store:
        src = random_file(box.dir / "src" / "big", 180 * MIB)
        with Apart(box, hosts, store, *strongest) as apart:
            for u in ("u1", "u2"):
                hosts[u].limit("40mbit")
                apart.uploader(u, slots=SLOTS)
            received = hosts["store"].received()
            apart.producer(src, "s3://bucket/big")
            wait_for(lambda: apart.recorded() >= 8, 30, "some chunks are recorded")
            hosts[who].partition()
            before = apart.recorded()
            time.sleep(APART_S)
            during = apart.recorded() - before
            hosts[who].heal()
            healed = time.monotonic()
            before = apart.recorded() if who != "u1" else len(apart.by_worker().get("u1", []))
            wait_for(lambda: (apart.recorded() if who != "u1" else len(apart.by_worker().get("u1", []))) > before, 60, "it goes on after the partition")
            back = time.monotonic() - healed
            apart.ends_well("producer", 120)
            total = time.monotonic() - healed
            received = hosts["store"].received() - received
            apart.stop_all()
        apart.checked("s3://bucket/big", sent_at_most=2)
        twice = apart.sent_twice("s3://bucket/big")
        allowed = TWICE[who] if who != "producer" else TWICE[who][strongest[0]]
        with capsys.disabled():
            print(f"\n{' '.join(strongest)}: {who} apart for {APART_S} s: {during} chunks recorded meanwhile, the next {back:.1f} s after it healed, the end "
                  f"{total:.1f} s; {twice} chunks sent twice as a whole (at most {allowed}), {received / MIB:.0f} MiB came to the store for 180 MiB")
        assert twice <= allowed
        assert received <= (180 * MIB + allowed * CHUNK) * FRAMES + MIB  # plus headers and replies
        if who == "u1":
            assert during >= 8  # the other hosts go on


def test_losses_and_delay(box, strongest, capsys):
    with Hosts(box, "store", "consumer", "producer", "u1", "u2", "reader", delay_ms=0) as hosts, CephRgw(hosts["store"]) as store:
        src = random_file(box.dir / "src" / "big", 40 * MIB)
        for i in range(300):
            random_file(box.dir / "src" / "tree" / f"{i % 10}" / f"{i}", 1000 + i, seed=i)
        with Apart(box, hosts, store, *strongest) as apart:
            hosts.delay(25)
            hosts.lose(2)
            for u in ("u1", "u2"):
                apart.uploader(u, slots=SLOTS)
            began = time.monotonic()
            apart.producer("-r", src, src.parent / "tree", "s3://bucket/all/")
            apart.ends_well("producer", 150)
            took = time.monotonic() - began
            hosts.lose(0)
            hosts.delay(0)
            apart.stop_all()
        said = apart.checked("s3://bucket/all/", sent_at_most=2)
        twice = apart.sent_twice("s3://bucket/all/")
        with capsys.disabled():
            print(f"\n{' '.join(strongest)}: 50 ms from host to host and 2 % of all packets lost: 40 MiB and 300 small files in {took:.1f} s, {twice} sent twice; {said}")
        assert twice <= 8
