"""Producer, consumer, uploaders and store on hosts of their own, with nothing shared but the network."""

import pytest

from servers.ceph import CephRgw
from servers.sink import Sink
from support import hosts as support_hosts
from support.apart import Apart, cannot
from support.box import random_file, sha256_of, wait_for
from support.hosts import Hosts

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture(autouse=True)
def can_make_hosts():
    if reason := support_hosts.missing():
        pytest.skip(reason)


def test_five_hosts(box, capsys):
    with Hosts(box, "store", "consumer", "producer", "u1", "u2", "reader") as hosts, CephRgw(hosts["store"]) as store:
        src = random_file(box.dir / "src" / "big", GIB)
        with Apart(box, hosts, store) as apart:
            for u in ("u1", "u2"):
                apart.uploader(u)
            apart.producer(src, "s3://bucket/big")
            said = apart.ends_well("producer", 120)
            apart.stop_all()
        with capsys.disabled():
            print(said)
