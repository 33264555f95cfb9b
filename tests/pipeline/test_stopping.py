"""In every program the first SIGINT or SIGTERM finishes only the transfers in flight, and every wait is bounded."""

import os
import re
import signal
import time

import pytest

from fair.site import MIB, Site
from support.box import no_signal_waits, preloaded, random_file, wait_for

KIB = 1 << 10


def slow(box, rate):
    """The environment in which writes under out/ are limited to this rate in bytes per second."""
    (box.dir / "rate").write_text(f"{rate}\n")
    return {**preloaded("slow_disk"), "SLOW_DISK": f"{box.dir / 'out'}:{box.dir / 'rate'}"}


def chunks(box):
    return len(box.records("chunk")) if (box.journal / "journal.jsonl").exists() else 0


def finishing(text):
    """The number of transfers that the log line announces to finish."""
    said = re.findall(r"^chunklift: finishing (\d+) transfers? \(.* left\); again to stop now$", text, re.M)
    assert len(said) == 1, text
    return int(said[0])


def test_a_stopped_producer_begins_nothing_more(box):
    """A stopped producer begins no transfer: offers in transit and leases of queued jobs are given back."""
    site = Site(box)
    for _ in range(2):
        site.uploader(2, 2 * MIB)
    source = random_file(site.source / "f", 24 * MIB)
    producer = box.start("producer", "--consumer", site.at, "--chunk-size", "256KiB", source, site.out / "f")
    wait_for(lambda: chunks(box) > 16, what="work goes on")
    before = chunks(box)
    producer.send_signal(signal.SIGINT)
    assert producer.wait(20) == 128 + signal.SIGINT, producer.log.read_text()
    at_end = chunks(box)
    in_flight = finishing(producer.log.read_text())
    assert in_flight <= 4  # of 2 uploaders with 2 slots each
    assert at_end - before <= 16  # some ended while the signal was in transit
    assert "interrupted; the same command resumes the upload" in producer.log.read_text()
    assert not any(u["active"] for u in site.status()["uploader"])
    for u in site.uploaders:
        u.rate(256 * MIB)
    again = site.producer(source, site.out / "f", "--chunk-size", "256KiB")
    assert again.wait(60) == 0, again.log.read_text()
    site.check(source, "f")
    site.end()


def test_cp_says_the_same(box):
    (box.dir / "out").mkdir()
    source = random_file(box.dir / "f", 48 * MIB)
    child = box.start_cp("--chunk-size", "256KiB", "--slots", "2", source, box.dir / "out" / "f", env=slow(box, 4 * MIB))
    wait_for(lambda: chunks(box) > 8, what="work goes on")
    before = chunks(box)
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 128 + signal.SIGTERM, child.log.read_text()
    assert finishing(child.log.read_text()) <= 4 and chunks(box) - before <= 24


def test_another_producer_of_the_same_file_goes_on(box):
    site = Site(box)
    site.uploader(2, 4 * MIB)
    source = random_file(site.source / "f", 8 * MIB)
    stops, stays = (site.producer(source, site.out / "f", "--chunk-size", "256KiB") for _ in range(2))
    wait_for(lambda: chunks(box) > 8, what="work goes on")
    stops.send_signal(signal.SIGINT)
    assert stops.wait(20) == 128 + signal.SIGINT, stops.log.read_text()
    assert stays.wait(60) == 0, stays.log.read_text()
    site.check(source, "f")
    site.end()


def test_an_uploader_whose_consumer_is_away_ends_after_drain_for(box):
    """An uploader without a consumer ends after --drain-for and reports the number of unacknowledged results."""
    site = Site(box)
    uploader = site.uploader(2, 1 * MIB, "--drain-for", "1500ms")
    source = random_file(site.source / "f", 12 * MIB)
    producer = site.producer(source, site.out / "f")
    wait_for(lambda: chunks(box) >= 1, what="work goes on")
    os.kill(site.consumer.pid, signal.SIGKILL)
    uploader.rate(64 * MIB)  # transfers in flight end now, and no consumer acknowledges the results
    began = time.monotonic()
    uploader.signal(signal.SIGTERM)
    assert uploader.child.wait(20) == 3, uploader.child.log.read_text()
    took = time.monotonic() - began
    text = uploader.child.log.read_text()
    assert re.search(r"\d+ results? (was|were) not acknowledged within 1\.5 s of --drain-for", text), text
    assert "not acknowledged: chunk" in text
    assert 1 < took < 8
    producer.kill()
    producer.wait(20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ignored_at_start_stays_ignored(box, number):
    (box.dir / "out").mkdir()
    source = random_file(box.dir / "f", 4 * MIB)
    child = box.start_cp("--chunk-size", "256KiB", "--slots", "1", source, box.dir / "out" / "f", env=slow(box, 2 * MIB),
                         preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    wait_for(lambda: chunks(box) > 2, what="work goes on")
    child.send_signal(number)
    assert child.wait(60) == 0, child.log.read_text()
    assert chunks(box) == 16


def test_a_second_signal_ends_what_hangs_in_the_source(box):
    """A second signal ends a main thread that hangs in a system call: for an argument before the run, or for a file of the tree."""
    site = Site(box)
    (site.source / "tree").mkdir()
    random_file(site.source / "tree" / "hung", 10)
    programs = {}
    for name, args in {"argument": ["cp", "--journal", box.dir / "j1", site.source / "tree" / "hung", box.dir / "b1"],
                       "tree": ["cp", "--journal", box.dir / "j2", "-r", site.source / "tree", f"{box.dir}/b2/"],
                       "producer": ["producer", "--consumer", site.at, "-r", site.source / "tree", f"{box.dir}/b3/"]}.items():
        said = box.dir / f"said-{name}"
        programs[name] = box.start(*args, env={**preloaded("hung_source"), "HUNG_NAME": "hung", "HUNG_SAID": said})
        wait_for(said.exists, what=f"{name} hangs")
    began = time.monotonic()
    for _ in range(2):
        for child in programs.values():
            wait_for(lambda c=child: no_signal_waits(c), what="it took the signal before")
            child.send_signal(signal.SIGINT)
    for name, child in programs.items():
        assert child.wait(20) == 128 + signal.SIGINT, name
        assert "a file system does not answer; ended at once; the same command continues from here" in child.log.read_text()
    assert time.monotonic() - began < 10
    site.end()
