"""Five hosts that share only the network: another client reads exactly the uploaded bytes."""

import pytest

from servers.ceph import CephRgw
from support.apart import WAYS, Apart
from support.box import check_one_record_each, random_file, sha256_of
from support.hosts import Hosts

pytestmark = pytest.mark.hosts
MIB = 1 << 20


def test_what_another_client_reads_is_identical(box, way, capsys):
    size = (1024 if way in (WAYS[0], WAYS[-1]) else 128) * MIB
    with Hosts(box, "store", "consumer", "producer", "u1", "u2", "reader") as hosts, CephRgw(hosts["store"]) as store:
        src = random_file(box.dir / "src" / "big", size)
        with Apart(box, hosts, store, *way) as apart:
            for u in ("u1", "u2"):
                apart.uploader(u)
            apart.producer(src, "s3://bucket/big")
            apart.ends_well("producer", 120)
            apart.stop_all()
            check_one_record_each(box.records())
        if size < 256 * MIB:  # the other client reads slowly
            apart.checked("s3://bucket/big", sent_at_most=1)
        copy = box.dir / "copy"
        hosts["reader"].run("/usr/bin/aws", "--endpoint-url", store.endpoint, "s3", "cp", "--quiet", "s3://bucket/big", copy, env=store.env)
        assert sha256_of(copy) == sha256_of(src)
        seconds, shares = apart.seconds(), {u: len(r) for u, r in apart.by_worker().items()}
        assert set(shares) == {"u1", "u2"}
        with capsys.disabled():
            print(f"\n{' '.join(way)}: {size // MIB} MiB to RGW in {seconds:.1f} s ({size / MIB / seconds:.0f} MiB/s), chunks by host {shares}, read back "
                  f"identical by awscli")
