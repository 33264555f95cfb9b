"""One run of one way to mark chunks: starts it in its own directory, kills the given processes, and reads the kept marks afterwards with code
independent of the programs: from the owner's log, or the consumer's journal."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import crcmod.predefined

from support.box import BUILD, check_one_record_each, read_journal, wait_for

MEMORY = Path("/dev/shm")
SEEDS_PAUSE_US, SEEDS_HOLD_US = 100_000, 10_000  # 0–100 ms before a mark, 0–10 ms between its get and its set
TIMEOUT = 120


@dataclass(frozen=True)
class Way:
    name: str
    program: str
    args: tuple = ()
    one_question: bool = False  # a mark is one request, so many can be in flight, and one sync can cover many
    durable: str = "group"
    rewrites: bool = True  # a worker reads, changes and writes a list

    @property
    def is_queue(self):
        return self.program == "cure5_queue"


BUG = Way("bug", "bug", durable="each")
CURES = (
    Way("1 atomic owner", "cure1_atomic", one_question=True, rewrites=False),
    Way("2 compare and set", "cure2_optimistic"),
    Way("3 lock, tried again", "cure3_lock", durable="each"),
    Way("3 lock, fair", "cure3_lock", ("--fair",), durable="each"),
    Way("4 key per chunk", "cure4_keys", one_question=True, rewrites=False),
    Way("4 key per group", "cure4_keys", ("--group",)),
    Way("5 queue", "cure5_queue", one_question=True, rewrites=False),
)
CLAIMING = Way("5 queue, claims", "cure5_queue", ("--claim",), one_question=True, rewrites=False)
WAYS = {way.name: way for way in (BUG, *CURES, CLAIMING)}


def way(name):
    return WAYS[name]


# kept marks -------------------------------------------------------------------------------------------------------------


crc32c = crcmod.predefined.mkCrcFun("crc-32c")


def kept_in_log(path):
    """Marks in the lists of an owner's log: entries (crc, kind, key, count, version) and marks, up to the first incomplete one."""
    data, at, lists = Path(path).read_bytes(), 0, {}
    head = struct.Struct("=IIIIQ")
    while at + head.size <= len(data):
        crc, kind, key, count, _ = head.unpack_from(data, at)
        end = at + head.size + 4 * count
        if end > len(data) or crc32c(data[at + 4:end]) != crc:
            break
        marks = struct.unpack_from(f"={count}I", data, at + head.size)
        lists[key] = [*marks] if kind == 1 else [*lists.get(key, []), *marks]
        at = end
    return {mark for marks in lists.values() for mark in marks}


def kept_in_journal(directory):
    records = read_journal(directory)
    check_one_record_each(records)
    return {r["chunk"] for r in records if r["ev"] == "chunk"}


def syncs_of_journal(directory):
    """The number of syncs for the marks: batch is +1 for each fdatasync; those before the first chunk do not count."""
    records = read_journal(directory)
    chunks = [r["batch"] for r in records if r["ev"] == "chunk"]
    return chunks[-1] - chunks[0] + 1 if chunks else 0


def acknowledged(directory):
    return {i for i, byte in enumerate((directory / "acked").read_bytes()) if byte}


# runs -------------------------------------------------------------------------------------------------------------------


class Consumer:
    """A real consumer, on its own journal."""

    def __init__(self, box, at, journal, lease="10s"):
        self.box, self.journal, self.lease = box, journal, lease
        self.endpoint = f"ipc://{at}/consumer"
        self.child = None

    def start(self):
        said = open(self.journal.parent / "consumer.log", "ab")
        self.child = subprocess.Popen([BUILD / "chunklift-consumer", "--journal", self.journal, "--bind", self.endpoint, "--quiet", "--lease", self.lease],
                                      env=self.box.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        said.close()
        wait_for(self.serves, what="the consumer serves")

    def serves(self):
        assert self.child.poll() is None, (self.journal.parent / "consumer.log").read_text()
        try:
            return int((self.journal / "consumer").read_text().split("\n")[1]) == self.child.pid
        except (OSError, IndexError, ValueError):
            return False

    def cpu_us(self):
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")

    def kill(self):
        self.child.kill()
        self.child.wait(10)

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise


def memory_is_missing():
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return f"{MEMORY} is not there"
    kind = next((line.split()[2] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(MEMORY)), "")
    return "" if kind == "tmpfs" else f"{MEMORY} is no tmpfs"


@contextlib.contextmanager
def places(box, in_memory):
    """A directory for sockets and log, and one for the consumer's journal, in memory or on the same disk."""
    with tempfile.TemporaryDirectory(dir=box.dir, prefix="r") as where, contextlib.ExitStack() as stack:
        where = Path(where)
        journal = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY, prefix="cl-"))) if in_memory else where
        yield where, journal / "journal"


def run(box, way, seed, *, marks=30, workers=3, window=1, sync="none", pause_us=0, hold_us=0, lease_ms=300, kill_owner_at=0, die=None,
        work_us=0, slow_worker=0):
    """die: (worker, its mark, point). Returns the program's account; computes `lost` here when a log or a journal exists."""
    with places(box, way.is_queue and sync == "none") as (where, journal), contextlib.ExitStack() as stack:
        command = [BUILD / "race" / way.program, *way.args, "--dir", where, "--seed", seed, "--marks", marks, "--workers", workers, "--window", window,
                   "--sync", sync, "--pause-us", pause_us, "--hold-us", hold_us, "--lease-ms", lease_ms, "--work-us", work_us, "--slow-worker", slow_worker]
        command += ["--tell", kill_owner_at, "--restart"] if kill_owner_at else []
        command += ["--die", ":".join(map(str, die))] if die else []
        consumer = None
        if way.is_queue:
            consumer = Consumer(box, where, journal)
            consumer.start()
            stack.callback(consumer.stop)
            command += ["--consumer", consumer.endpoint]
        child = subprocess.Popen([str(c) for c in command], env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if kill_owner_at:
            said = child.stdout.readline().split()
            assert said[:1] == ["owner"], f"{way.name}, seed {seed}: {said} {child.communicate()[1]}"
            if consumer:
                consumer.kill()
                consumer.start()
            else:
                os.kill(int(said[1]), signal.SIGKILL)
        try:
            out, err = child.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        assert child.returncode == 0, f"{way.name}, seed {seed}: {err}"
        account = json.loads(out)
        acked = acknowledged(where)
        assert len(acked) == account["acked"]
        if consumer:
            kept = kept_in_journal(journal)
            account["cpu_us"] += consumer.cpu_us()
            account.update(lost=sorted(acked - kept)[:40], lost_count=len(acked - kept), syncs=syncs_of_journal(journal), kept_unacked=len(kept - acked))
        elif sync != "none" and marks <= 5000:
            assert account["lost_count"] == len(acked - kept_in_log(where / "log")), f"{way.name}: two readers of one log differ"
    return {**account, "way": way.name, "sync": sync}


def run_as_seed(box, way, seed, sync="none"):
    """30 marks in 3 loops with the pauses of the seed."""
    return run(box, way, seed, sync=sync, pause_us=SEEDS_PAUSE_US, hold_us=SEEDS_HOLD_US if way.rewrites else 0)
