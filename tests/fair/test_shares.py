"""Several producers share one consumer and its uploaders: each producer with work gets an equal share at once, and one without work gets none."""

import datetime
import time

import pytest

from fair.site import MIB, Site, events
from support.box import random_file, wait_for

KIB = 1 << 10
EVEN = 0.15  # deviation from the mean: each uploader takes turns, so the counts differ by the jobs claimed ahead. Measured: 0 to 5 %


def seconds_of(record):
    return datetime.datetime.fromisoformat(record["ts"].replace("Z", "+00:00")).timestamp()


class Race:
    """The times of each producer's records."""

    def __init__(self, site):
        records = site.records()
        name = {r["upload"]: r["src"].rsplit("/", 1)[1] for r in records if r["ev"] == "begin"}
        self.times = {n: [] for n in name.values()}
        for r in records:
            if r["ev"] == "chunk":
                self.times[name[r["upload"]]].append(seconds_of(r))
        self.puts = [seconds_of(r) for r in records if r["ev"] == "put"]

    def between(self, begin, end):
        return {n: sum(begin <= t <= end for t in times) for n, times in sorted(self.times.items())}

    def while_all_work(self):
        return self.between(max(t[0] for t in self.times.values()), min(t[-1] for t in self.times.values()))


def race(site, count, megabytes, late=0):
    """Runs `count` producers of equal files; the last one starts `late` seconds later."""
    sources = [random_file(site.source / f"f{i}", megabytes * MIB, seed=i) for i in range(count)]
    children, began = [], 0
    for i, source in enumerate(sources):
        if i == count - 1:
            time.sleep(late)
        began = time.time()
        children.append(site.producer(source, site.out / source.name, "--chunk-size", "256KiB"))
    for child in children:
        assert child.wait(120) == 0, child.log.read_text()
    for source in sources:
        site.check(source, source.name)
    return Race(site), began


def told(counts):
    mean = sum(counts.values()) / len(counts)
    off = max(abs(n / mean - 1) for n in counts.values())
    print(f"{len(counts)} producers, jobs while all had work: {list(counts.values())}, at most {100 * off:.0f} % off the mean")
    return off


@pytest.mark.fair
def test_two_producers_share_evenly(box):
    site = Site(box)
    for _ in range(2):
        site.uploader(4, 16 * MIB)
    r, _ = race(site, 2, 20)
    assert told(r.while_all_work()) <= EVEN
    site.end()


@pytest.mark.fair
def test_eight_producers_share_evenly(box):
    site = Site(box)
    for _ in range(2):
        site.uploader(4, 16 * MIB)
    r, _ = race(site, 8, 24)
    assert told(r.while_all_work()) <= EVEN
    site.end()


@pytest.mark.fair
def test_a_late_producer_has_its_share_within_two_seconds(box):
    site = Site(box)
    for _ in range(2):
        site.uploader(4, 8 * MIB)
    r, began = race(site, 2, 64, late=2)
    first = r.times["f1"][0] - began
    counts = r.between(began + 2, began + 4)
    print(f"a late producer: first record {first:.2f} s after its start, 2 to 4 s after it {list(counts.values())}")
    assert first < 2
    assert told(counts) <= EVEN
    site.end()


@pytest.mark.fair
def test_small_files_beside_a_large_one(box):
    """Small files and a large file upload at the same time without a wait for each other."""
    site = Site(box)
    for _ in range(2):
        site.uploader(4, 16 * MIB)
    for i in range(3000):
        random_file(site.source / "tree" / str(i % 50) / str(i), 4096, seed=i)
    source = random_file(site.source / "large", 64 * MIB)
    children = [site.producer(site.source / "tree", f"{site.out}/tree/", "-r"), site.producer(source, site.out / "large")]
    for child in children:
        assert child.wait(120) == 0, child.log.read_text()
    r = Race(site)
    chunks = r.times["large"]
    begin, end = max(chunks[0], r.puts[0]), min(chunks[-1], r.puts[-1])
    rates = sum(begin <= t <= end for t in chunks) / (end - begin), sum(begin <= t <= end for t in r.puts) / (end - begin)
    print(f"both at work for {end - begin:.1f} s: {rates[0]:.0f} chunks of 1 MiB and {rates[1]:.0f} small files a second")
    assert rates[0] >= 3 and rates[1] >= 10
    site.check(source, "large")
    site.end()


@pytest.mark.fair
def test_a_producer_without_work_takes_nothing(box):
    """A producer without an uploader that may write to its destination takes no slot from another producer."""
    site = Site(box)
    site.uploader(4, 0)
    source = random_file(site.source / "f", 64 * MIB)
    idle = site.producer(source, box.dir / "elsewhere" / "idle", "--retry-for", "60s")
    wait_for(lambda: "no connected uploader can serve it: not under an --allow" in idle.log.read_text(), 20, "it waits")
    began = time.monotonic()
    child = site.producer(source, site.out / "f")
    assert child.wait(60) == 0
    print(f"64 MiB beside a producer that waits: {time.monotonic() - began:.1f} s")
    site.check(source, "f")
    assert idle.poll() is None and not events(idle, "second_lease")
    assert all(u["leases"] == 0 for u in site.status()["upload"])
    idle.kill()
    site.end()


@pytest.mark.fair
def test_a_late_uploader_works_at_once(box):
    site = Site(box)
    site.uploader(2, 2 * MIB)
    source = random_file(site.source / "f", 24 * MIB)
    child = site.producer(source, site.out / "f")
    wait_for(lambda: len(site.records("chunk")) >= 3, 30, "work is under way")
    late = site.uploader(2, 2 * MIB)
    wait_for(lambda: events(site.consumer, "joined")[-1]["worker"].endswith(f"/{late.pid}"), 20, "it joined")
    joined = time.time()
    wait_for(lambda: any(u["worker"].endswith(f"/{late.pid}") and u["active"] for u in site.status()["uploader"]), 20, "it works")
    print(f"a late uploader: at work {time.time() - joined:.2f} s after it joined")
    assert time.time() - joined < 3
    assert child.wait(60) == 0
    by = [r["worker"].endswith(f"/{late.pid}") for r in site.records("chunk")]
    share = sum(by[5:]) / len(by[5:])
    print(f"its share afterwards: {100 * share:.0f} %")
    assert 0.3 <= share <= 0.7
    site.check(source, "f")
    site.end()
