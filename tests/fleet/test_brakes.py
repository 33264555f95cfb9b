"""A fleet finds a store's request rate limit together and stays near it."""

import pytest

from fleet.test_set import status
from servers.throttle import ThrottlingStore
from support.box import wait_for

SETTLED = 3  # seconds after the first request


def upload_many(box, store, count, *consumer_options, uploaders=4):
    src = box.dir / "src"
    src.mkdir()
    for i in range(count):
        (src / f"{i:05}").write_bytes(b"x" * 100)
    consumer = box.start("consumer", "--journal", box.journal, *consumer_options)
    wait_for((box.journal / "consumer").exists, what="it serves")
    cp = box.start_cp("--quiet", "--uploaders", uploaders, "--slots", 8, "-r", "--endpoint-url", store.endpoint, src, "s3://bucket/x/",
                      env=store.env)
    return consumer, cp


def measure(store, name):
    begin, end = store.took[0] + SETTLED, store.took[-1] - 0.5
    took, refused = (sum(begin <= t < end for t in times) for times in (store.took, store.refused))
    rate, share = took / (end - begin) / store.rate, refused / max(1, took + refused)
    print(f"{name}: {rate:.0%} of what the store takes, {share:.1%} of the requests refused ({took} and {refused} in {end - begin:.1f} s)")
    return rate, share


@pytest.mark.fleet
def test_four_uploaders_find_the_stores_limit(box):
    with ThrottlingStore(120) as store:
        consumer, cp = upload_many(box, store, 720)
        seen = wait_for(lambda: status(box, "brake"), what="status shows the brake")[0]
        assert seen["endpoint"] == store.endpoint and seen["refused"] > 0 and seen["requests_per_1000s"] > 0
        assert "the store refused" in box.run("status", "--journal", box.journal).stdout
        assert cp.wait(60) == 0, cp.log.read_text()
        rate, refused = measure(store, "shared brake")
        assert rate >= 0.8 and refused <= 0.1
        assert len(box.records("put")) == 720
        log = consumer.log.read_text()
        assert log.count("the store asks for fewer requests") == 1 and log.count(store.endpoint) == 1, log
        consumer.terminate()


@pytest.mark.fleet
@pytest.mark.parametrize("rate", [120])
def test_each_for_itself_does_worse(box, rate):
    """Without the shared brake a fleet fails the thresholds of the test above."""
    with ThrottlingStore(rate) as store:
        consumer, cp = upload_many(box, store, rate * 6, "--no-shared-brakes")
        assert cp.wait(120) == 0, cp.log.read_text()
        took, refused = measure(store, f"each for itself, {rate} a second")
        assert took < 0.8 or refused > 0.1
        assert "the store asks" not in consumer.log.read_text()
        consumer.terminate()


@pytest.mark.fleet
@pytest.mark.parametrize("rate", [30, 400])
def test_other_limits(box, rate):
    with ThrottlingStore(rate) as store:
        consumer, cp = upload_many(box, store, rate * 9)
        assert cp.wait(120) == 0, cp.log.read_text()
        took, refused = measure(store, f"shared brake, {rate} a second")
        assert took >= 0.8 and refused <= 0.1
        consumer.terminate()


@pytest.mark.fleet
def test_it_ends_when_the_store_takes_all_again(box):
    with ThrottlingStore(100) as store:
        consumer, cp = upload_many(box, store, 300)
        wait_for(lambda: status(box, "brake"), what="the brake is on")
        store.rate = None
        assert cp.wait(60) == 0, cp.log.read_text()
        wait_for(lambda: not status(box, "brake"), 30, "the brake is off")
        wait_for(lambda: "the brake is off" in consumer.log.read_text(), 10, "it is said")
        consumer.terminate()


@pytest.mark.fleet
def test_a_pause_that_one_hears_of_holds_for_all(box):
    """After one uploader receives Retry-After: 2, no uploader sends a request for 2 s."""
    with ThrottlingStore(5, retry_after=2) as store:
        consumer, cp = upload_many(box, store, 12, uploaders=2)
        first = wait_for(lambda: store.refused, what="the first refusal")[0]
        assert cp.wait(60) == 0, cp.log.read_text()
        early = [t for t in store.took + store.refused if first + 0.5 < t < first + 1.9]
        assert not early, [t - first for t in early]
        consumer.terminate()
