"""After a power cut during syncs of records, every acknowledged record is there.

The journal, the destination, or both are on an ext4 in a file. The shutdown ioctl leaves it as a power cut does: without all data that the
file system has not written for a sync. The test keeps the acknowledged records outside of it. Moments come from a
generator (CHUNKLIFT_SEED repeats its choices, not the machine's timing); CHUNKLIFT_CUTS is the number of cuts of a test.
"""

import json
import os
import random
import shutil
import threading
import time
from datetime import datetime, timezone

import pytest

from support import mounts
from support.box import (check_chain, check_one_record_each, journal_lines, preloaded, random_file, read_journal, valid_records,
                         wait_for)
from support.completer import Completer, Lost, compare

MIB = 1 << 20
# Mount options: how much the file system writes without a sync, from very little to all the time.
WAYS = ["commit=60", "commit=1", "data=writeback,commit=60", "data=writeback,commit=1"]
NO_SYNC = preloaded("nosync")


@pytest.fixture(scope="module")
def power(tmp_path_factory):
    reason = mounts.can_cut(tmp_path_factory.mktemp("power"))
    if reason:
        pytest.skip(reason)


@pytest.fixture
def disk(box, power):
    with mounts.Ext4(box.dir / "disk.img", box.dir / "disk", 320, WAYS[0]) as fs:
        yield fs
        box.kill_all()
        wait_for(lambda: not box.processes(), what="processes end")


def generator():
    seed = int(os.environ.get("CHUNKLIFT_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"CHUNKLIFT_SEED={seed}")
    return random.Random(seed)


def how_many(cuts):
    return int(os.environ.get("CHUNKLIFT_CUTS", 0)) or cuts


# a consumer, and a client that knows the acknowledged records --------------------------------------------------------------------


class Load:
    """One journal, its consumer, a client with many COMPLETEs outstanding, and a reader of the journal's tail."""

    def __init__(self, box, disk, rng, name, **client):
        self.box, self.disk, self.rng = box, disk, rng
        self.journal = disk.path / name
        self.endpoint, self.starts = None, 0
        self.client = Completer(rng, **client)
        self.consumer = self.tail = None
        self.fell = 0

    def start(self, env=None):
        self.starts += 1
        self.endpoint = f"ipc://{self.box.dir}/run/{self.journal.name}-{self.starts}"  # the socket file of a killed consumer stays
        self.consumer = self.box.start("--journal", self.journal, "--bind", self.endpoint, "--lease", "1s", program="chunklift-consumer",
                                       env=env)
        self.client.connect(self.endpoint)
        end = time.monotonic() + 30
        while self.client.uploader.welcome is None:
            self.client.turn(0.02, more=False)
            assert self.consumer.poll() is None, self.consumer.log.read_text()
            assert time.monotonic() < end, "no consumer within 30 s"

    def close(self):
        for child in (self.consumer, self.tail):
            if child and child.poll() is None:
                child.kill()
                child.wait()
        self.client.close()

    def run_until_cut(self, active_bytes=0):
        """Runs the client until the power is cut and the consumer has ended; the active file has at least this size then."""
        active = self.journal / "journal.jsonl"

        def ready():
            return active.exists() and active.stat().st_size >= active_bytes

        self.tail = self.box.start("journal", "tail", "-n", "0", "--follow", "--consumer", self.endpoint)
        before, cut = len(self.client.acked), threading.Timer(self.rng.uniform(0.03, 0.3), self.cut)
        end = time.monotonic() + 20
        while len(self.client.acked) == before or (active_bytes and not ready()):
            self.client.turn(0.02)
            assert time.monotonic() < end, "not under way within 20 s"
        cut.start()
        while cut.is_alive():
            self.client.turn(0.01)
        cut.join()
        if self.rng.random() < 0.5:
            self.consumer.kill()
        while self.consumer.poll() is None:
            self.client.turn(0.01)
            assert time.monotonic() < end + 20, "the consumer goes on without a disk"
        self.client.turn(0.01, more=False)
        if self.consumer.returncode != -9:
            said = self.consumer.log.read_text()
            assert self.consumer.returncode == 3 and "nothing more is acknowledged" in said, said
            self.fell += 1
        self.tail.kill()
        self.tail.wait()

    def cut(self):
        self.seen = self.tail.log.read_bytes()
        self.client.in_doubt = True
        self.disk.cut()

    def check(self):
        """Before any other access the disk has all acknowledged records, and all that a reader has received."""
        self.box.run("journal", "verify", self.journal)
        check_chain(self.journal)
        count = compare(self.journal, self.client)
        lines = set(journal_lines(self.journal))
        seen = [line for line in self.seen.split(b"\n")[:-1] if line.startswith(b"{")]
        lost = [line for line in seen if line not in lines]
        if lost:
            raise Lost(f"{len(lost)} of {len(seen)} records that a reader was given are lost: {lost[0]}")
        return count, len(seen)

    def end(self):
        """The client completes the rest, and the consumer ends cleanly."""
        self.client.settle()
        self.consumer.terminate()
        assert self.consumer.wait(20) == 0, self.consumer.log.read_text()
        if self.tail:
            self.check()


def cut_consumers(box, disk, cuts, each, active_bytes=0, **client):
    """`cuts` cuts, with a new journal after `each` of them; returns the number of acknowledged records."""
    rng = generator()
    acked = seen = fell = rotated = 0
    for first in range(0, cuts, each):
        load = Load(box, disk, rng, f"journal-{first}", **client)
        try:
            load.start()
            for _ in range(first, min(first + each, cuts)):
                load.run_until_cut(active_bytes)
                disk.again(rng.choice(WAYS))
                load.start()
                seen += load.check()[1]
            load.end()
            acked += len(load.client.acked)
            fell += load.fell
            rotated += len(list(load.journal.glob("journal.*.jsonl")))
        finally:
            load.close()
        box.run("journal", "verify", load.journal)
        for file in load.journal.iterdir():
            file.unlink()
    print(f"{disk.cuts} cuts survived, {acked} acknowledged records checked, {seen} seen by a reader, "
          f"{fell} consumers said that the disk failed, {rotated} files sealed")
    return acked


def test_acknowledged_records_survive(box, disk):
    cut_consumers(box, disk, how_many(4), 2)


@pytest.mark.powercut
def test_acknowledged_records_survive_many_cuts(box, disk):
    cut_consumers(box, disk, how_many(60), 4)


@pytest.mark.powercut
def test_acknowledged_records_survive_while_files_are_sealed(box, disk):
    """Acknowledged records survive cuts while long lines often bring the active file to 64 MiB."""
    cut_consumers(box, disk, how_many(6), 3, active_bytes=60 * MIB, etag=1024, outstanding=12)


def test_lost_records_are_found(box, disk):
    """The check detects the lost records of a consumer with disabled syncs."""
    load = Load(box, disk, generator(), "journal")
    try:
        load.start()
        load.end()
        load.start(NO_SYNC)
        load.run_until_cut()
        disk.again()
        load.start()
        with pytest.raises(Lost, match="acknowledged records are lost"):
            load.check()
    finally:
        load.close()


# the journal alone, with a power cut at each of its calls in turn ---------------------------------------------------------------------


def journal_cut(box, *args, status=0):
    done = box.run(*args, program="powercut/journal_cut", status=status)
    return {word: [int(n) for n in rest] for word, *rest in map(str.split, done.stdout.splitlines())}


def cut_at(box, disk, journal, call, side):
    """After a power cut at one call, the valid lines have all acknowledged records; returns the numbers of acknowledged and kept chunks."""
    told = journal_cut(box, "write", journal, call, side)
    disk.cut()  # also without such a call
    disk.again(WAYS[call % len(WAYS)])
    records = valid_records(journal) if journal.exists() else []
    kept = sum(r["ev"] == "chunk" for r in records)
    acked, seq = told["acked"]
    assert seq <= len(records), f"cut {side} call {call}: committed up to seq {seq}, {len(records)} lines on the disk"
    assert acked <= kept, f"cut {side} call {call}: {acked} chunks acknowledged, {kept} on the disk"
    return acked, kept


def reopen(box, journal, kept):
    found = journal_cut(box, "read", journal)["found"][0]
    assert found == kept, f"{kept} chunks on the disk, {found} found"
    box.run("journal", "verify", journal)
    if found:
        check_chain(journal)


@pytest.mark.parametrize("side", ["before", pytest.param("after", marks=pytest.mark.powercut)])
def test_power_fails_at_every_call_of_the_journal(box, disk, side):
    """Acknowledged records survive a cut at each write, fdatasync, fsync and rename of creation, batches, sealing and snapshots."""
    acknowledged = cuts = 0
    calls = journal_cut(box, "write", disk.path / "whole", 0, "before")["calls"][0]
    assert len(list((disk.path / "whole").glob("journal.*.jsonl"))) > 1
    for call in range(1, calls + 1):
        journal = disk.path / f"{call}"
        acked, kept = cut_at(box, disk, journal, call, side)
        reopen(box, journal, kept)
        shutil.rmtree(journal)
        cuts, acknowledged = cuts + 1, acknowledged + acked
    print(f"{cuts} cuts survived, {acknowledged} acknowledged records checked")
    assert cuts == calls > 30


@pytest.mark.powercut
def test_power_fails_at_every_call_of_a_recovery(box, disk):
    """Acknowledged records survive a second cut at each call of the recovery of a journal with a torn last line."""
    cuts = acknowledged = torn = 0
    for first in range(4, journal_cut(box, "write", disk.path / "whole", 0, "before")["calls"][0], 3):
        for call in range(1, 15):  # later calls are not part of the recovery
            journal = disk.path / f"{first}-{call}"
            acked, _ = cut_at(box, disk, journal, first, "after")
            journal.mkdir(exist_ok=True)
            with open(journal / "journal.jsonl", "ab") as f:
                f.write(b'{"seq":')
            again, kept = cut_at(box, disk, journal, call, "before")
            assert max(acked, again) <= kept
            torn += len(list(journal.glob("torn-*")))
            reopen(box, journal, kept)
            shutil.rmtree(journal)
            cuts, acknowledged = cuts + 2, acknowledged + acked + again
    print(f"{cuts} cuts survived, {acknowledged} acknowledged records checked, {torn} torn tails kept")
    assert torn > 10


# a real cp with its journal, its destination or both on the disk that is cut ---------------------------------------------------------


def stamp(ts):
    """Seconds since 1970 of a ts."""
    return datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


class Sources:
    """One large file in many chunks, one of a few, many small ones, with their bytes for the comparison."""

    def __init__(self, root):
        self.root = root
        random_file(root / "big", 40 * MIB + 777, seed="big")
        random_file(root / "mid", 5 * MIB + 1, seed="mid")
        sizes = random.Random(7)
        for n in range(60):
            random_file(root / f"d{n % 3}" / f"s-{n}", sizes.choice((0, 1, 4096, 65536, 200_000)), seed=n)
        self.bytes = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


class Journey:
    """One `cp` of all sources, cut off several times until it succeeds."""

    def __init__(self, box, disk, sources, rng, number, journal_on_disk, dest_on_disk):
        self.box, self.disk, self.sources, self.rng = box, disk, sources, rng
        self.journal = (disk.path if journal_on_disk else box.dir) / f"journal-{number}"
        self.out = (disk.path if dest_on_disk else box.dir) / f"out-{number}"
        self.witnessed = set()  # records that cp has reported: (upload, chunk), or (upload, None) for the whole file
        self.checked = {"records": 0, "bytes": 0, "objects": 0}

    def start(self, env=None):
        return self.box.start("cp", "--journal", self.journal, "--json", "--no-progress", "-r", "--chunk-size", "256KiB", "--slots", "4",
                              "--lease", "1s", f"{self.sources.root}/", f"file://{self.out}/", env=env)

    def witness(self, child, until=None):
        for line in child.log.read_bytes().split(b"\n")[:-1]:
            if not line.startswith((b'{"event":"chunk"', b'{"event":"file_done"')):
                continue
            event = json.loads(line)
            if until is None or stamp(event["ts"]) < until:
                self.witnessed.add((event["upload"], event.get("chunk")))

    def world_ends(self):
        """Removes the records after the cut from a journal on another disk."""
        active = self.journal / "journal.jsonl"
        if self.journal.is_relative_to(self.disk.path) or not active.exists():
            return
        lines = active.read_bytes().split(b"\n")[:-1]
        active.write_bytes(b"".join(line + b"\n" for line in lines if stamp(json.loads(line)["ts"]) < self.disk.cut_time))

    def cut(self, after_s, env=None):
        """Cuts the power after cp has run for this time; the processes die at once or a little later."""
        child = self.start(env)
        time.sleep(after_s)  # the moment is the parameter of the test, not a wait for a condition
        through = child.poll() == 0
        self.disk.cut()
        if self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, 0.3))
        self.box.kill_all()
        child.wait()
        self.box.gone()
        self.witness(child, self.disk.cut_time)
        self.world_ends()
        self.disk.again(self.rng.choice(WAYS))
        return through

    def check(self):
        records = valid_records(self.journal)
        self.records_witnessed(records)
        begun = {r["upload"]: r for r in records if r["ev"] == "begin"}
        whole = {r["upload"]: r["dest"] for r in records if r["ev"] in ("finish", "put")}
        again = {(r["upload"], r["chunk"]) for r in records if r["ev"] == "redo"}
        for r in records:
            if r["ev"] == "chunk" and (r["upload"], r["chunk"]) not in again:
                self.bytes_are_there(r, self.name(begun[r["upload"]]["dest"]), r["upload"] in whole)
        for dest in whole.values():
            name = self.name(dest)
            if not (self.out / name).is_file():
                raise Lost(f"{name}: recorded as uploaded and not there")
        for path in self.out.rglob("*"):
            if path.is_file() and not path.name.startswith(".chunklift-"):
                name = str(path.relative_to(self.out))
                if path.read_bytes() != self.sources.bytes[name]:
                    raise Lost(f"{name}: under its final name and not what was sent ({path.stat().st_size} bytes of "
                               f"{len(self.sources.bytes[name])})")
                self.checked["objects"] += 1

    def name(self, dest):
        return dest.removeprefix(f"file://{self.out}/")

    def records_witnessed(self, records):
        have = {(r["upload"], r["chunk"]) for r in records if r["ev"] == "chunk"}
        have |= {(r["upload"], None) for r in records if r["ev"] in ("finish", "put")}
        lost = self.witnessed - have
        if lost:
            raise Lost(f"{len(lost)} of {len(self.witnessed)} records that cp was told of are lost: {lost}")
        self.checked["records"] += len(self.witnessed)

    def bytes_are_there(self, record, name, finished):
        """The bytes are in the temporary file, or under the final name when the file is finished."""
        temp = (self.out / name).parent / f".chunklift-{record['upload']}.part"
        path = self.out / name if finished or not temp.exists() else temp
        if not path.exists():
            raise Lost(f"{name}: chunk {record['chunk']} is recorded, and neither its temporary file nor the final one is there")
        first, end = record["offset"], record["offset"] + record["length"]
        with open(path, "rb") as f:
            f.seek(first)
            if f.read(record["length"]) != self.sources.bytes[name][first:end]:
                raise Lost(f"{name}: chunk {record['chunk']} is recorded, and {path.name} has other bytes there")
        self.checked["bytes"] += record["length"]

    def end(self):
        """Without a further cut, the next run finishes all files."""
        child = self.start()
        assert child.wait(60) == 0, child.log.read_text()
        self.box.gone()
        self.witness(child)
        self.box.run("journal", "verify", self.journal)
        check_chain(self.journal)
        records = read_journal(self.journal)
        check_one_record_each(records)
        self.check()
        there = {str(p.relative_to(self.out)) for p in self.out.rglob("*") if p.is_file()}
        assert there == set(self.sources.bytes), there ^ set(self.sources.bytes)
        ends = [r["dest"] for r in records if r["ev"] in ("finish", "put")]
        assert len(ends) == len(set(ends)) == len(there), "a file with more than one end"
        for where in (self.journal, self.out):
            shutil.rmtree(where)


PLACES = [(True, False), (False, True), (True, True)]


def cut_cps(box, disk, cuts):
    rng, sources = generator(), Sources(box.dir / "src")
    journeys = objects = records = sent = 0
    seconds = 0.0
    while disk.cuts < cuts or not journeys:
        j = Journey(box, disk, sources, rng, journeys, *PLACES[journeys % 3])
        if not seconds:
            warm, began = Journey(box, disk, sources, rng, "warm", True, True), time.monotonic()
            warm.end()
            seconds = time.monotonic() - began
        for _ in range(min(5, cuts - disk.cuts)):
            through = j.cut(rng.uniform(0.02, seconds))
            j.check()
            if through:
                break
        j.end()
        journeys += 1
        records, objects, sent = records + j.checked["records"], objects + j.checked["objects"], sent + j.checked["bytes"]
    print(f"{disk.cuts} cuts survived in {journeys} uploads, {records} acknowledged records, {sent // MIB} MiB of recorded chunks and "
          f"{objects} objects checked")


def test_objects_survive(box, disk):
    cut_cps(box, disk, how_many(3))


@pytest.mark.powercut
def test_objects_survive_many_cuts(box, disk):
    cut_cps(box, disk, how_many(45))


def test_lost_bytes_are_found(box, disk):
    """The check detects the lost bytes of uploaders with disabled syncs."""
    rng, sources = generator(), Sources(box.dir / "src")
    j = Journey(box, disk, sources, rng, 0, False, True)
    child = j.start(NO_SYNC)
    assert child.wait(60) == 0, child.log.read_text()
    box.gone()
    j.check()  # all bytes are there before the cut
    disk.cut()
    disk.again()
    with pytest.raises(Lost, match="recorded"):
        j.check()
