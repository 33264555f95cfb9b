"""After SIGTERM an uploader finishes its transfers, and other uploaders get its remaining leases at once."""

import os
import signal
import time

import pytest

from fair.site import MIB, Site, events
from support.box import random_file, wait_for

KIB = 1 << 10


def by(records, uploader):
    return [r for r in records if r["worker"].endswith(f"/{uploader.pid}")]


def busy(site, uploader):
    """True if all slots of the uploader run transfers."""
    return any(u["worker"].endswith(f"/{uploader.pid}") and u["active"] == 2 for u in site.status()["uploader"])


def test_a_drained_uploader_leaves_at_once_what_it_did_not_begin(box):
    """A drained uploader returns its unstarted jobs at once, so the upload ends long before a lease of 30 s could expire."""
    site = Site(box, "--lease", "30s", "--no-second-lease")
    leaves = site.uploader(2, 1 * MIB)
    source = random_file(site.source / "f", 12 * MIB)
    producer = site.producer(source, site.out / "f")
    wait_for(lambda: busy(site, leaves), 20, "it works")
    stays = site.uploader(2, 16 * MIB)
    wait_for(lambda: by(site.records("chunk"), stays), 20, "the other one works too")
    began = time.monotonic()
    leaves.signal(signal.SIGTERM)
    assert leaves.child.wait(20) == 0, leaves.child.log.read_text()
    drained = time.monotonic() - began
    assert producer.wait(20) == 0, producer.log.read_text()
    ended = time.monotonic() - began
    site.check(source, "f")
    summary = events(producer, "summary")[-1]
    assert summary["bytes_twice"] == 0  # the journal has all chunks that were in flight
    assert by(site.records("chunk"), leaves)
    print(f"drained in {drained:.1f} s with chunks of 2 s; the upload ended {ended:.1f} s after the signal")
    assert ended < 15
    site.end()


@pytest.mark.fair
def test_the_second_signal_stops_at_once(box):
    site = Site(box, "--lease", "30s")
    leaves = site.uploader(2, 128 * KIB)
    source = random_file(site.source / "f", 8 * MIB)
    producer = site.producer(source, site.out / "f")
    wait_for(lambda: busy(site, leaves), 20, "it works")
    site.uploader(2, 16 * MIB)
    leaves.signal(signal.SIGTERM)
    wait_for(lambda: "finishing" in leaves.child.log.read_text(), 10, "it says what it finishes")
    began = time.monotonic()
    leaves.signal(signal.SIGTERM)
    assert leaves.child.wait(10) == 128 + signal.SIGTERM
    assert producer.wait(20) == 0, producer.log.read_text()
    print(f"stopped, and all done by the other one {time.monotonic() - began:.1f} s later")
    site.check(source, "f")
    site.end()


@pytest.mark.fair
def test_all_come_and_go(box):
    """While uploaders are drained and started continuously, no byte is sent twice and no lease expires."""
    site = Site(box, "--lease", "30s")
    source = random_file(site.source / "f", 48 * MIB)
    producer = site.producer(source, site.out / "f", "--chunk-size", "256KiB")
    gone = 0
    fleet = [site.uploader(2, 4 * MIB) for _ in range(2)]
    end = time.monotonic() + 60
    while producer.poll() is None and time.monotonic() < end:
        before = len(site.records("chunk"))
        wait_for(lambda: len(site.records("chunk")) >= before + 8 or producer.poll() is not None, 20, "work goes on")
        fleet.append(site.uploader(2, 4 * MIB))
        oldest = fleet.pop(0)
        oldest.signal(signal.SIGTERM)
        assert oldest.child.wait(20) == 0, oldest.child.log.read_text()
        gone += 1
    assert producer.wait(30) == 0, producer.log.read_text()
    site.check(source, "f")
    assert events(producer, "summary")[-1]["bytes_twice"] == 0
    assert not events(site.consumer, "lease-expired")
    print(f"{gone} uploaders drained during one upload: nothing sent twice")
    site.end()
