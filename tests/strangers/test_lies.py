"""A trusted key that lies within its role cannot change the uploads of other keys."""

import pytest

from strangers import wire
from strangers.test_keys import Fleet
from strangers.wire import Dealer
from support.box import random_file, sha256_of, wait_for

RECORDED, REFUSED = 1, 2


@pytest.fixture
def fleet(box):
    return Fleet(box)


def uploads(fleet):
    """{destination: id} of the planned uploads, as a reader sees them."""
    with Dealer(fleet.at, **fleet.reader_host.client(fleet.consumer_host)) as d:
        d.join(wire.READER)
        kind, state = d.ask(wire.STATUS, {})
    assert kind == wire.STATE
    return {u[3].decode(): u[1] for u in state.get(6, [])}


def test_results_without_a_lease(fleet):
    """False results of a trusted uploader (done, failed, another file done) for a small file that waits for a lease are not recorded."""
    liar = fleet.keys.make("liar", "uploader")
    fleet.keys.reread(fleet.consumer.child)
    producer = fleet.start_producer("file", 1000)
    dest = f"file://{fleet.out}/file"
    wait_for(lambda: dest in uploads(fleet), what="the file is planned")
    upload = uploads(fleet)[dest]
    source, target = {2: str(fleet.box.dir / "src" / "file").encode(), 3: 1000, 4: 1, 5: 1, 6: 1}, {1: dest.encode()}
    done = {"_8": 1000, "_9": 1000, "_10": 7, "_15": source, "_16": target}
    lies = [wire.result(wire.PUT_JOB, upload, **done), wire.result(wire.PUT_JOB, b"n" * 16, **done),
            wire.result(wire.PUT_JOB, upload, 2, _3=3, _4=b"denied"), wire.result(wire.BEGIN_JOB, upload, 4, _5=b"handle")]
    with Dealer(fleet.at, **liar.client(fleet.consumer_host)) as d:
        d.join(wire.UPLOADER)
        kind, ack = d.ask(wire.COMPLETE, {1: lies})
    assert kind == wire.ACK and [a[3] for a in ack[1]] == [REFUSED] * len(lies)
    assert {r["ev"] for r in fleet.box.records()} <= {"epoch"}
    fleet.start_uploader()
    fleet.ended(producer, "file")
    fleet.check()


def test_anothers_destination(fleet):
    """A producer that plans a file for a destination already in use by another key fails, and the first file arrives."""
    other_jobs = fleet.jobs + "1"
    thief = fleet.keys.make("thief", "producer", other_jobs)
    fleet.keys.reread(fleet.consumer.child)
    producer = fleet.start_producer("file", 100_000)
    wait_for(lambda: f"file://{fleet.out}/file" in uploads(fleet), what="the file is planned")
    source = random_file(fleet.box.dir / "src" / "other", 1000)
    done = fleet.box.run("producer", "--consumer", fleet.at, *thief.options, "--no-progress", source, fleet.out / "file", status=1)
    assert "a producer with another key uploads to this destination" in done.stderr
    fleet.start_uploader()
    fleet.ended(producer, "file")
    assert sha256_of(fleet.out / "file") == sha256_of(fleet.box.dir / "src" / "file")
    fleet.check()


def test_limits_are_an_operators(fleet):
    operator = fleet.keys.make("operator", "operator")
    fleet.keys.reread(fleet.consumer.child)
    for host in (fleet.producer_host, fleet.reader_host):
        said = fleet.read("set", "--bwlimit", "1KiB", host=host, status=3).stderr
        assert "operator" in said or "does not have the role" in said
    assert "none" in fleet.read("set").stdout
    source = random_file(fleet.box.dir / "src" / "file", 1000)
    cp = ["cp", "--consumer", fleet.at, "--jobs", fleet.jobs, *fleet.producer_host.options, "--no-progress", "--bwlimit", "1KiB"]
    said = fleet.box.run(*cp, source, fleet.out / "file", status=3).stderr
    assert "--bwlimit" in said and "role 'operator'" in said
    fleet.read("set", "--bwlimit", "50MiB", host=operator)
    assert "50" in fleet.read("set").stdout
    assert "file" not in fleet.read("status", host=operator).stderr  # an operator key may also read
