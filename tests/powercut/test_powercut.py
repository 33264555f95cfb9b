"""The power fails while records are being synced: whatever was acknowledged is found when it is back.

The journal, the destination, or both lie on an ext4 in a file, and the shutdown ioctl makes of it what a power cut leaves: nothing that the
file system did not write out because somebody asked for a sync. What was acknowledged is known outside of it. Moments come from a
generator (CHUNKLIFT_SEED repeats its choices, not the machine's timing); CHUNKLIFT_CUTS says how many cuts a test makes.
"""

import json
import os
import random
import threading
import time

import pytest

from support import mounts
from support.box import BUILD, check_chain, journal_lines, wait_for
from support.completer import Completer, Lost, compare

MIB = 1 << 20
# How much the file system does by itself, without being asked: anything between very little and all the time.
WAYS = ["commit=60", "commit=1", "data=writeback,commit=60", "data=writeback,commit=1"]
NO_SYNC = {"LD_PRELOAD": str(BUILD / "faults" / "nosync.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}


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


# a consumer, and a client that knows what was acknowledged -----------------------------------------------------------------------


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
        self.endpoint = f"ipc://{self.box.dir}/run/{self.journal.name}-{self.starts}"  # a dead one's socket file stays
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
        """The client goes on until the power was cut and the consumer is no more; the active file has so many bytes by then."""
        active = self.journal / "journal.jsonl"

        def ready():
            return active.exists() and active.stat().st_size >= active_bytes

        self.tail = self.box.start("journal", "tail", "-n", "0", "--follow", "--consumer", self.endpoint)
        before, cut = len(self.client.acked), threading.Timer(self.rng.uniform(0.03, 0.3), self.disk.cut)
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
        while self.consumer.poll() is None:  # what it still acknowledges counts
            self.client.turn(0.01)
            assert time.monotonic() < end + 20, "the consumer goes on without a disk"
        self.client.turn(0.01, more=False)
        if self.consumer.returncode != -9:
            said = self.consumer.log.read_text()
            assert self.consumer.returncode == 3 and "nothing more is acknowledged" in said, said
            self.fell += 1
        self.tail.kill()
        self.tail.wait()

    def check(self):
        """Before anything else is done: what is on the disk is what was acknowledged, and what a reader saw."""
        self.box.run("journal", "verify", self.journal)
        check_chain(self.journal)
        count = compare(self.journal, self.client)
        lines = set(journal_lines(self.journal))
        seen = [line for line in self.tail.log.read_bytes().split(b"\n")[:-1] if line.startswith(b"{")]
        lost = [line for line in seen if line not in lines]
        if lost:
            raise Lost(f"{len(lost)} of {len(seen)} records that a reader was given are lost: {lost[0]}")
        return count, len(seen)

    def end(self):
        """What is left is acknowledged now, and the consumer ends as if nothing had been."""
        self.client.settle()
        self.consumer.terminate()
        assert self.consumer.wait(20) == 0, self.consumer.log.read_text()
        if self.tail:
            self.check()


def cut_consumers(box, disk, cuts, each, active_bytes=0, **client):
    """`cuts` cuts, with a new journal after `each` of them; returns how many records were acknowledged."""
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
    cut_consumers(box, disk, how_many(6), 6)


@pytest.mark.powercut
def test_acknowledged_records_survive_many_cuts(box, disk):
    cut_consumers(box, disk, how_many(60), 6)


@pytest.mark.powercut
def test_acknowledged_records_survive_while_files_are_sealed(box, disk):
    """Long lines bring the active file to 64 MiB again and again."""
    cut_consumers(box, disk, how_many(6), 3, active_bytes=60 * MIB, etag=1024, outstanding=12)


def test_lost_records_are_found(box, disk):
    """The check itself: a consumer whose syncs do nothing loses acknowledged records, and they are missed."""
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
