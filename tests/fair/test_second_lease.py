"""Rule 12: a second uploader gets a lease on the jobs of a slow or stopped host; the first result counts, and no byte is written after the end."""

import os
import signal
import time

import pytest

from fair.site import MIB, Site, events
from support.box import random_file, wait_for

KIB = 1 << 10


def upload(site, megabytes, name="f"):
    source = random_file(site.source / name, megabytes * MIB)
    return source, site.producer(source, site.out / name)


def ended(producer, seconds=60):
    assert producer.wait(seconds) == 0, producer.log.read_text()
    summary = events(producer, "summary")[-1]
    return time.monotonic() - producer.began, summary


@pytest.mark.fair
def test_a_slow_uploader_is_not_waited_for(box):
    site = Site(box)
    site.uploader(2, 16 * MIB)
    slow = site.uploader(2, 64 * KIB)  # 16 s per chunk, 32 s for its first two
    source, producer = upload(site, 32)
    wait_for(lambda: any(u["second"] for u in site.status()["upload"]), 30, "status shows a second lease")
    seconds, summary = ended(producer)
    site.check(source, "f")
    given = events(producer, "second_lease")
    by_slow = sum(r["worker"].endswith(f"/{slow.pid}") for r in site.records("chunk"))
    assert given and not any(e["worker"].endswith(f"/{slow.pid}") for e in given)
    assert len(events(site.consumer, "second-lease")) == len(given)
    assert 0 < summary["bytes_hedged"] <= summary["bytes_twice"] < len(given) * MIB
    assert seconds < 16
    print(f"32 chunks, one uploader 256 times slower: {seconds:.1f} s, {len(given)} second leases, {summary['bytes_twice']} bytes sent twice, "
          f"{by_slow} chunks by the slow one")
    site.end()


def stop_in_the_last_chunks(site, uploader, chunks):
    """Stops the uploader while it holds leases and no other job is left."""
    wait_for(lambda: len(site.records("chunk")) >= chunks - 6, 60, "the last chunks")
    uploader.signal(signal.SIGSTOP)
    return time.monotonic()


def test_a_stopped_uploader_delays_the_end_by_a_lease_at_most(box):
    """The upload ends after the stopped uploader's lease, because a write may be in progress; once resumed, that uploader writes no byte."""
    lease = 2
    site = Site(box, "--lease", f"{lease}s")
    site.uploader(2, 4 * MIB)
    stopped = site.uploader(2, 4 * MIB)
    source, producer = upload(site, 14)
    stop_at = stop_in_the_last_chunks(site, stopped, 14)
    ended(producer)
    delay = time.monotonic() - stop_at
    given = events(producer, "second_lease")
    inode = os.stat(site.out / "f")
    stopped.signal(signal.SIGCONT)
    wait_for(lambda: all(u["silent_ms"] < 1000 for u in site.status()["uploader"]), 20, "it is awake")
    site.end()
    assert os.stat(site.out / "f").st_mtime_ns == inode.st_mtime_ns, "it wrote after the end"
    site.check(source, "f")
    assert given and delay < lease + 1 + 2
    print(f"stopped {delay:.1f} s before the end, with a lease of {lease} s; {len(given)} second leases")


@pytest.mark.fair
def test_switched_off_it_is_waited_for(box):
    site = Site(box, "--no-second-lease")
    site.uploader(2, 16 * MIB)
    site.uploader(2, 256 * KIB)
    source, producer = upload(site, 16)
    seconds, summary = ended(producer)
    site.check(source, "f")
    assert not events(producer, "second_lease") and summary["bytes_twice"] == 0
    assert seconds > 4  # a chunk of the slow uploader
    site.end()


@pytest.mark.fair
@pytest.mark.parametrize("who", ["first", "second"])
def test_a_holder_of_the_pair_dies(box, who):
    site = Site(box, "--lease", "4s")
    fast = site.uploader(2, 16 * MIB)
    slow = site.uploader(2, 128 * KIB)  # 8 s per chunk
    source, producer = upload(site, 16)
    wait_for(lambda: len(site.records("chunk")) >= 10, 30, "the last chunks")
    fast.rate(128 * KIB)  # makes the second leases slow too
    wait_for(lambda: events(producer, "second_lease"), 60, "a second lease")
    dies, stays = (slow, fast) if who == "first" else (fast, slow)
    dies.signal(signal.SIGKILL)
    stays.rate(16 * MIB)
    ended(producer)
    site.check(source, "f")
    site.end()


@pytest.mark.fair
def test_the_consumer_dies_while_two_hold_a_chunk(box):
    site = Site(box, "--lease", "4s")
    fast = site.uploader(2, 16 * MIB)
    slow = site.uploader(2, 128 * KIB)  # 8 s per chunk
    source, producer = upload(site, 16)
    wait_for(lambda: len(site.records("chunk")) >= 10, 30, "the last chunks")
    fast.rate(128 * KIB)
    wait_for(lambda: events(producer, "second_lease"), 60, "a second lease")
    site.consumer.send_signal(signal.SIGKILL)
    site.consumer.wait(10)
    os.unlink(site.at.removeprefix("ipc://"))
    site.consumer = box.start("consumer", "--journal", box.journal, "--bind", site.at, "--json", "--lease", "4s")
    slow.rate(16 * MIB)
    fast.rate(16 * MIB)
    ended(producer)
    site.check(source, "f")
    site.end()
