"""`chunklift set` and --bwlimit with real processes: a running transfer applies the change at once, keeps its budget and loses no data."""

import json
import os
import signal
import time

import pytest

from servers.throttle import ThrottlingStore
from support.box import check_chain, check_one_record_each, random_file, sha256_of, wait_for

MIB = 1 << 20


def settings(box, *args):
    return json.loads(box.run("set", "--journal", box.journal, "--json", *args).stdout)


def status(box, event):
    out = box.run("status", "--journal", box.journal, "--json", status=None).stdout
    return [e for e in map(json.loads, out.splitlines()) if e["event"] == event]


def uploaders(box):
    return [u for u in status(box, "uploader") if u["silent_ms"] < 3000]


def in_order(box):
    check_chain(box.journal)
    check_one_record_each(box.records())


@pytest.fixture
def store():
    with ThrottlingStore() as s:
        yield s


def start_s3(box, store, size, *args, chunk="5MiB"):
    src = random_file(box.dir / "src" / "f", size)
    return box.start_cp("--no-progress", "--chunk-size", chunk, "--endpoint-url", store.endpoint, *args, src, "s3://bucket/f", env=store.env)


def test_nobody_serves(box):
    done = box.run("set", "--journal", box.journal, "--slots", 3, status=3)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and "no consumer serves" in done.stderr
    box.journal.mkdir()
    box.run("set", "--journal", box.journal, status=3)
    for wrong in (["--bwlimit", "10"], ["--bwlimit", "fast"], ["--slots", "x"], ["--slots", "99999"], ["--uploaders", "65"], ["more"]):
        box.run("set", "--journal", box.journal, *wrong, status=2)


@pytest.mark.fleet
def test_a_dead_consumer_does_not_answer(box):
    box.journal.mkdir()
    (box.journal / "consumer").write_text(f"ipc://{box.dir}/run/nobody\n4194000\n")
    assert len(box.run("set", "--journal", box.journal, status=3).stderr.splitlines()) == 1


def test_slots_and_uploaders_change_while_it_runs(box):
    src = random_file(box.dir / "src" / "f", 24 * MIB)
    cp = box.start_cp("--no-progress", "--no-second-lease", "--chunk-size", "256KiB", "--bwlimit", "8MiB", src, f"{box.dir}/out/f")
    wait_for(lambda: box.journal.joinpath("consumer").exists() and len(uploaders(box)) == 2, what="two uploaders run")
    wait_for(lambda: settings(box)["bwlimit"] == 8 * MIB, what="the budget of its start")
    before = {u["worker"] for u in uploaders(box)}
    assert settings(box, "--slots", 3, "--uploaders", 4)["slots"] == 3
    wait_for(lambda: [u["slots"] for u in uploaders(box)] == [3] * 4, 10, "four uploaders with three slots each")
    wait_for(lambda: all(u["active"] for u in uploaders(box)), 10, "all are at work")
    assert settings(box, "--uploaders", 1)["uploaders"] == 1
    wait_for(lambda: len(uploaders(box)) == 1, 10, "three have left")
    assert {u["worker"] for u in uploaders(box)} <= before  # the newest uploaders leave first
    settings(box, "--slots", 0, "--uploaders", 0, "--bwlimit", "none")
    assert cp.wait(30) == 0, cp.log.read_text()
    log = cp.log.read_text()
    assert "; 0 B resent" in log and "started again" not in log, log
    assert sha256_of(src) == sha256_of(box.dir / "out" / "f")
    in_order(box)


@pytest.mark.fleet
@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_the_fleet_keeps_to_its_budget(box, store, kind):
    rate, seconds = 4 * MIB, 10
    if kind == "s3":
        cp = start_s3(box, store, 96 * MIB, "--bwlimit", rate, "--uploaders", 3)
        sent = lambda: store.bytes_between(0, time.monotonic())  # noqa: E731
    else:
        src = random_file(box.dir / "src" / "f", 96 * MIB)
        cp = box.start_cp("--no-progress", "--chunk-size", "1MiB", "--bwlimit", rate, "--uploaders", 3, src, f"{box.dir}/out/f")
        sent = lambda: sum(u["sent_bytes"] for u in uploaders(box))  # noqa: E731
    wait_for(lambda: box.journal.joinpath("consumer").exists() and sum(u["active"] > 0 for u in uploaders(box)) == 3, what="all send")
    first, begin = sent(), time.monotonic()
    time.sleep(seconds)
    moved, passed = sent() - first, time.monotonic() - begin
    print(f"{kind}: {moved / passed / rate:.1%} of the budget over {passed:.1f} s")
    assert 0.85 * rate * passed <= moved <= 1.05 * rate * passed + 0.3 * rate * (kind == "directory")  # heartbeats arrive once a second
    limits = [u["bwlimit"] for u in uploaders(box)]
    assert 0.98 * rate <= sum(limits) <= rate, limits
    cpu = sum(sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) for pid in box.processes("chunklift-uploader"))
    print(f"{cpu / os.sysconf('SC_CLK_TCK'):.2f} s of CPU in all uploaders")
    settings(box, "--bwlimit", "none")
    assert cp.wait(30) == 0, cp.log.read_text()
    in_order(box)


def test_joiners_leavers_and_the_dead(box, store):
    rate = 2 * MIB
    cp = start_s3(box, store, 120 * MIB, "--bwlimit", rate, "--uploaders", 2, "--slots", 2)
    wait_for(lambda: box.journal.joinpath("consumer").exists() and sum(u["active"] > 0 for u in uploaders(box)) == 2, what="both send")

    def shares(count):
        limits = [u["bwlimit"] for u in uploaders(box)]
        return len(limits) == count and min(limits) > rate / count * 0.8 and sum(limits) <= rate * 1.01

    src, before, began = box.dir / "src", len(store.took), time.monotonic()
    joiner = box.start("uploader", "--journal", box.journal, "--root", src, "--allow", "s3://bucket/", "--endpoint-url", store.endpoint,
                       env=store.env)
    wait_for(lambda: len(store.took) > before, 10, "the joiner works")
    assert time.monotonic() - began < 5  # takes 1 s on an idle machine
    print(f"a joiner works after {time.monotonic() - began:.2f} s")
    wait_for(lambda: shares(3), 10, "a third for each")
    print(f"and has its part after {time.monotonic() - began:.2f} s")
    began = time.monotonic()
    os.kill(joiner.pid, signal.SIGKILL)
    wait_for(lambda: shares(2), 10, "half for each")
    print(f"the part of a dead one is given to the others after {time.monotonic() - began:.2f} s")
    settings(box, "--bwlimit", "none")
    assert cp.wait(30) == 0, cp.log.read_text()
    in_order(box)


@pytest.mark.fleet
def test_slowness_ends_no_lease(box, store):
    """At 1 KiB a second for each transfer a chunk takes several lease durations, and no chunk is sent twice."""
    src = random_file(box.dir / "src" / "f", 20 * MIB)
    cp = box.start_cp("--no-progress", "--chunk-size", "5MiB", "--lease", "1s", "--bwlimit", "16KiB", "--uploaders", 4, "--slots", 4,
                      "--endpoint-url", store.endpoint, src, "s3://bucket/f", env=store.env)
    wait_for(lambda: box.journal.joinpath("consumer").exists() and sum(u["active"] for u in uploaders(box)) == 4, what="all chunks are sent")
    began = time.monotonic()
    time.sleep(5)
    assert sum(u["active"] for u in uploaders(box)) == 4
    sent = store.bytes_between(began, time.monotonic())
    assert 0.7 * 5 * 16384 <= sent <= 1.3 * 5 * 16384, sent
    settings(box, "--bwlimit", "none")
    assert cp.wait(30) == 0, cp.log.read_text()
    assert "; 0 B resent" in cp.log.read_text(), cp.log.read_text()
    assert len(store.took) == 6  # begin, four parts, finish


@pytest.mark.fleet
def test_a_killed_consumer_forgets_nothing(box, store):
    rate = 2 * MIB
    cp = start_s3(box, store, 24 * MIB, "--bwlimit", rate, "--lease", "2s")
    wait_for(lambda: box.journal.joinpath("consumer").exists() and all(u["active"] for u in uploaders(box)) and len(uploaders(box)) == 2,
             what="both send")
    settings(box, "--slots", 2)
    began = time.monotonic()
    box.kill_all("chunklift-consumer")
    wait_for(lambda: len(uploaders(box)) == 2, 10, "both are back")
    assert settings(box)["bwlimit"] == rate and settings(box)["slots"] == 2
    time.sleep(max(0, 3 - (time.monotonic() - began)))
    sent, passed = store.bytes_between(began, time.monotonic()), time.monotonic() - began
    print(f"over the crash: {sent / passed / rate:.1%} of the budget")
    assert sent <= 1.1 * rate * passed
    settings(box, "--bwlimit", "none")
    assert cp.wait(30) == 0, cp.log.read_text()
    assert not box.journal.joinpath("set").exists()  # a clean exit of a consumer that cp started discards its settings
    in_order(box)


def test_a_standing_consumer_keeps_it(box):
    at = f"ipc://{box.dir}/run/consumer"

    def serve():
        child = box.start("consumer", "--journal", box.journal, "--bind", at)
        wait_for((box.journal / "consumer").exists, what="it serves")
        return child

    consumer = serve()
    assert "bwlimit    5 MiB/s" in box.run("set", "--consumer", at, "--bwlimit", "5MiB/s").stdout
    consumer.terminate()
    assert consumer.wait(10) == 0
    consumer = serve()
    assert settings(box)["bwlimit"] == 5 * MIB
    consumer.terminate()
    assert consumer.wait(10) == 0


@pytest.mark.fleet
def test_an_uploader_has_a_limit_of_its_own(box, store):
    src = random_file(box.dir / "src" / "f", 10 * MIB)
    consumer = box.start("consumer", "--journal", box.journal)
    wait_for((box.journal / "consumer").exists, what="it serves")
    box.start("uploader", "--journal", box.journal, "--root", src.parent, "--allow", "s3://bucket/", "--endpoint-url", store.endpoint,
              "--bwlimit", "4MiB", env=store.env)
    producer = box.start("producer", "--journal", box.journal, "--chunk-size", "5MiB", "--endpoint-url", store.endpoint, src, "s3://bucket/f")
    assert producer.wait(30) == 0, producer.log.read_text()
    moving = [t for t, _ in store.bytes]
    assert moving[-1] - moving[0] > 10 / 4 * 0.9
    assert [u["bwlimit"] for u in uploaders(box)] == [4 * MIB]
    consumer.terminate()
