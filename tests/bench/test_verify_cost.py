"""chunklift verify over 100,000 objects in MinIO: seconds, and requests by the store's own count. The figures are printed, not asserted."""

import re
import time
import urllib.request

import pytest

from bench.report import Section
from support.box import random_file, wait_for

pytestmark = pytest.mark.bench
COUNT = 100_000


def requests(store):
    """Requests for objects since the store's start."""
    with urllib.request.urlopen(f"{store.endpoint}/minio/v2/metrics/cluster", timeout=20) as reply:
        text = reply.read().decode()
    return sum(int(float(n)) for n in re.findall(r'^minio_s3_requests_total\{[^}]*\} (\S+)$', text, re.M))


def counted(store, at_least):
    """The store's count is some seconds old: waits until it has this many."""
    wait_for(lambda: requests(store) >= at_least, 60, "the store counts its requests", 0.5)
    return requests(store)


def test_verify_of_many_objects(box, minio, say):
    for i in range(COUNT):
        random_file(box.dir / "src" / f"{i // 100:03}" / f"{i:05}", 1024, seed=i)
    box.cp("-q", "--endpoint-url", minio.endpoint, "-r", box.dir / "src", "s3://bucket/many", env=minio.env, timeout=900)
    rows, before = {}, counted(minio, COUNT)
    for name, options, each in (("chunklift verify", (), 1), ("chunklift verify --read", ("--read",), 2)):
        began = time.monotonic()
        box.run("verify", "-q", "--journal", box.journal, *options, env=minio.env, timeout=900)
        seconds, now = time.monotonic() - began, counted(minio, before + each * COUNT)
        rows[name], before = (seconds, now - before), now
    began = time.monotonic()
    box.run("verify", "-q", "--journal", box.journal, box.dir / "none", env=minio.env, status=1)
    rows["chunklift verify, reading the journal only"] = (time.monotonic() - began, 0)
    assert all(seconds > 0 for seconds, _ in rows.values())
    say(Section(f"Verify of {COUNT:,} objects of 1 KiB in MinIO", "test_verify_cost.py", [("s", ".2f"), ("requests", "d")], rows))
