"""Two `cp` commands use one journal directory, and their processes are killed or stopped at random moments.

After any kill at any moment, the same commands succeed, every file is at the destination unchanged, every chunk has one record, and no recorded
chunk is resent. A generator chooses moments and victims: CHUNKLIFT_SEED repeats its choices (not the machine's timing), CHUNKLIFT_KILLS is
the number of kills, CHUNKLIFT_KEEP is a directory for logs and journal of a failed run.
"""

import json
import os
import random
import re
import shutil
import signal
import time
from datetime import datetime, timezone

import pytest

from support.box import check_chain, check_one_record_each, random_file, read_journal, sha256_of, wait_for

MIB = 1 << 20
CHUNK_MIB = 5  # of parts in a store
LEASE_S = 2.0
RACE_S = 0.5  # from a grant to the first byte at the store, on a busy machine
MARK = b"recorded"
END_S = 90  # for the rest of an upload after the last kill
VICTIMS = {"uploader": 45, "consumer": 25, "cp": 22, "cp and consumer": 4, "everything": 4}
BROKEN = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|CHECK failed|Assertion|stack smashing|double free|corrupted", re.I)
# Reasons for which a `cp` may give up under more kills than a real machine has; the test starts it again like a killed one.
GIVEN_UP = re.compile(r"no journal consumer can be kept running|no uploader can be kept running")
JOURNAL_NAMES = re.compile(r"journal\.jsonl|journal\.\d{20}\.jsonl|lock|runs|snapshot|consumer\.log|torn-.*")


def stamp(ts):
    """Seconds since 1970 of a record's ts."""
    return datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def words_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def slots_of(pid):
    """Maximum number of transfers an uploader has in flight."""
    words = words_of(pid)
    return int(words[words.index("--slots") + 1]) if "--slots" in words else 256  # auto: at most


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class Sources:
    """One large file, a few of middle size, many small ones; the two commands share them."""

    def __init__(self, root, big_mib, mids, smalls):
        self.root = root
        random_file(root / "a" / "big", big_mib * MIB + 12345, seed="big")
        for n in range(mids):
            random_file(root / "ab"[n % 2] / f"mid-{n}", 20 * MIB + n, seed=n)
        sizes = random.Random(7)
        for n in range(smalls):
            random_file(root / "ab"[n % 8 == 0] / "small" / f"s-{n:03}", sizes.choice((0, 1, 700, 4096, 65536, 300000)), seed=f"s{n}")
        self.sha = {f"{p.relative_to(root)}": sha256_of(p) for p in root.rglob("*") if p.is_file()}


class FileStore:
    """A local directory. Marks over recorded ranges of unfinished files show whether they are written again."""

    args, env, pace = ["--chunk-size", "512KiB", "--no-second-lease"], {}, 0.4  # the loser of two transfers may still write

    def __init__(self, box, sources):
        self.out, self.sources = box.dir / "out", sources
        self.marks = {}  # (upload, chunk): (path, offset, ts of its record, time of the mark)

    def dest(self, part, side):
        return f"file://{self.out}/{part}/{side}/"

    def mark(self, records):
        begun = {r["upload"]: r for r in records if r["ev"] == "begin" and r["dest"].endswith("/big")}
        now = time.time()
        for r in records:
            key = (r.get("upload"), r.get("chunk"))
            if r["ev"] != "chunk" or r["upload"] not in begun or key in self.marks or stamp(r["ts"]) > now - 0.1:
                continue
            final = begun[r["upload"]]["dest"].removeprefix("file://")
            try:
                with open(os.path.join(os.path.dirname(final), begun[r["upload"]]["handle"].rpartition(":")[0]), "r+b") as f:
                    f.seek(r["offset"])
                    f.write(MARK)
            except FileNotFoundError:
                continue
            self.marks[key] = (final, r["offset"], stamp(r["ts"]), now)

    def good_content(self, parts, records, excused):
        for key, (path, offset, recorded, marked) in self.marks.items():
            with open(path, "r+b") as f:
                f.seek(offset)
                kept = f.read(len(MARK)) == MARK
                with open(self.sources.root / "a" / "big", "rb") as source:
                    source.seek(offset)
                    f.seek(offset)
                    f.write(source.read(len(MARK)))
            assert kept or excused(recorded, marked), f"chunk {key} was recorded at {recorded:.3f}, marked at {marked:.3f} and written again"
        self.sent = f"{len(self.marks)} marks over recorded chunks"
        self.marks.clear()
        want = {f"{part}/{name}": sha for part in parts for name, sha in self.sources.sha.items()}
        have = {str(p.relative_to(self.out)): sha256_of(p) for p in self.out.rglob("*") if p.is_file()}
        assert set(have) - set(want) == set(), "left over at the destination"
        assert set(want) - set(have) == set(), "not at the destination"
        assert [n for n in want if want[n] != have[n]] == [], "not what was sent"

    def good_requests(self, records, in_flight, excused):
        return self.sent

    def clear(self):
        shutil.rmtree(self.out)

    def keep(self, directory):
        pass


class S3Store:
    """A bucket of a real gateway; its access log lists the requests with their times."""

    pace = 1.0
    LINE = re.compile(r'\[([^\]]+) \+0000\] "PUT /bucket/(\S+?)(?:\?partNumber=(\d+)&uploadId=(\S+))? HTTP/1.1" (\d+)')

    def __init__(self, box, sources, rgw, prefix):
        self.sources, self.rgw, self.prefix = sources, rgw, prefix
        self.down = box.dir / "down"
        self.args = ["--chunk-size", f"{CHUNK_MIB}MiB", "--endpoint-url", rgw.endpoint]
        self.env = rgw.env
        self.log = rgw.dir / "log" / "client.rgw.log"
        self.log_start = self.log.stat().st_size

    def dest(self, part, side):
        return f"s3://bucket/{self.prefix}/{part}/{side}/"

    def mark(self, records):
        pass

    def good_content(self, parts, records, excused):
        self.rgw.aws("s3", "sync", "--only-show-errors", f"s3://bucket/{self.prefix}/", str(self.down))
        want = {f"{part}/{name}": sha for part in parts for name, sha in self.sources.sha.items()}
        have = {str(p.relative_to(self.down)): sha256_of(p) for p in self.down.rglob("*") if p.is_file()}
        assert set(have) == set(want), f"objects: {sorted(set(have) ^ set(want))}"
        assert [n for n in want if want[n] != have[n]] == [], "not what was sent"
        begun = {r["upload"]: r["dest"] for r in records if r["ev"] == "begin"}
        for r in records:
            if r["ev"] == "finish" and begun[r["upload"]].startswith(f"s3://bucket/{self.prefix}/"):
                head = json.loads(self.rgw.aws("s3api", "head-object", "--bucket", "bucket", "--key", r["dest"].split("/", 3)[3]).stdout)
                assert head["Metadata"].get("chunklift-upload") == r["upload"], f"{r['dest']} is not of upload {r['upload']}"
        left = [u for u in self.rgw.open_uploads("bucket") if u["Key"].startswith(self.prefix + "/")]
        known = {r["handle"]: r["upload"] for r in records if r["ev"] == "begin"}
        assert left == [], f"multipart uploads left open: {[(u['Key'], u['UploadId'], known.get(u['UploadId'], 'unknown')) for u in left]}"

    def sendings(self):
        """[(key, part, handle, start)] of every PUT that the gateway began to answer, from its access log."""
        with open(self.log, errors="replace") as f:
            f.seek(self.log_start)
            for when, key, part, handle, _ in self.LINE.findall(f.read()):
                start = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()
                yield key, int(part or 0), handle, start

    def good_requests(self, records, in_flight, excused):
        """No recorded chunk is resent, and at most as many transfers are repeated as were in flight at the faults."""
        begun = {r["upload"]: r for r in records if r["ev"] == "begin"}
        recorded, redone = {}, set()
        for r in records:
            if r["ev"] == "chunk":
                recorded[(begun[r["upload"]]["dest"], r["chunk"] + 1, begun[r["upload"]]["handle"])] = stamp(r["ts"])
            elif r["ev"] == "redo":
                redone.add((begun[r["upload"]]["dest"], r["chunk"] + 1, begun[r["upload"]]["handle"]))
            elif r["ev"] == "put":
                recorded[(r["dest"], 0, "")] = stamp(r["ts"])
        count, late = {}, []
        for key, part, handle, start in self.sendings():
            what = (f"s3://bucket/{key}", part, handle)
            count[what] = count.get(what, 0) + 1
            if what in recorded and what not in redone and start > recorded[what] + RACE_S and not excused(recorded[what], start):
                late.append(f"{what} recorded at {recorded[what]:.3f}, sent again at {start:.3f}")
        assert not late, "\n".join(late)
        missing = [what for what in recorded if what not in count]
        assert not missing, f"recorded and never sent: {missing}"
        vain = sum(count.values()) - len(recorded)
        assert vain <= in_flight, f"{vain} requests in vain, at most {in_flight} were in flight"
        twice = sum((n - 1) * (CHUNK_MIB if part else 0) for (_, part, _), n in count.items())
        return f"{vain} of {sum(count.values())} requests without a record of their own ({in_flight} were in flight), {twice} MiB of parts sent twice"

    def clear(self):
        self.rgw.aws("s3", "rm", "--recursive", "--only-show-errors", f"s3://bucket/{self.prefix}/")
        shutil.rmtree(self.down, ignore_errors=True)

    def keep(self, directory):
        shutil.copy(self.log, directory)


class Command:
    """One `cp`; after each kill it is started again with the same arguments."""

    def __init__(self, soak, *words):
        self.soak, self.words = soak, words
        self.child, self.logs, self.start_at, self.given_up = None, [], 0.0, 0

    def start(self):
        self.child = self.soak.box.start_cp("--no-progress", "-v", "-r", "--lease", f"{LEASE_S:.0f}s", *self.soak.store.args,
                                            *self.words, env=self.soak.store.env)
        self.logs.append(self.child.log)

    def done(self):
        """Polls the command; true when it has succeeded."""
        if self.child is None:
            if time.monotonic() >= self.start_at:
                self.start()
            return False
        status = self.child.poll()
        if status is None:
            return False
        said = self.child.log.read_text(errors="replace")
        if status == -signal.SIGKILL:
            self.again()
        elif status == 3 and GIVEN_UP.search(said) and self.given_up < 5:
            self.given_up += 1
            self.soak.note(f"cp gave up: {GIVEN_UP.search(said)[0]}")
            self.again()
        else:
            assert status == 0, f"cp ended with {status}:\n{said[-3000:]}"
            return True
        return False

    def again(self):
        self.child, self.start_at = None, time.monotonic() + self.soak.random.choice((0.0, 0.0, 0.1, 0.7))


class Soak:
    def __init__(self, box, store, sources, kills):
        self.box, self.store, self.sources = box, store, sources
        seed = int(os.environ.get("CHUNKLIFT_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 31)
        self.kills_left = int(os.environ.get("CHUNKLIFT_KILLS", 0)) or kills
        self.random = random.Random(seed)
        self.faults, self.stops = [], []  # the faults, for the log; (from, to) of stopped processes
        self.stopped = {}  # pid: (its name, since, time of its SIGCONT)
        self.commands, self.next_fault, self.excuses = [], 0.0, 0
        self.in_flight = 0  # transfers that the victims may have had in flight
        print(f"CHUNKLIFT_SEED={seed} CHUNKLIFT_KILLS={self.kills_left}")

    def note(self, what):
        self.faults.append(f"{datetime.now(timezone.utc):%H:%M:%S.%f} {what}")

    # faults ---------------------------------------------------------------------------------------------------

    def find(self, victim):
        """pids of the victims: one uploader or consumer, a `cp`, or several at once."""
        if victim in ("uploader", "consumer"):
            pids = sorted(self.box.processes(f"chunklift-{victim}"))
            return [self.random.choice(pids)] if pids else []
        cps = [c.child.pid for c in self.commands if c.child and c.child.poll() is None]
        if victim == "cp":
            return [self.random.choice(cps)] if cps else []
        if victim == "cp and consumer":
            return cps[:1] + sorted(self.box.processes("chunklift-consumer"))
        return sorted(self.box.processes())

    def transfers_of(self, victim, pids):
        """Transfers of an uploader victim; of a `cp` victim's uploaders; otherwise of all, because leases may end without renewal."""
        uploaders = list(self.box.processes("chunklift-uploader"))
        if victim == "uploader":
            uploaders = [p for p in uploaders if p in pids]
        elif victim == "cp":
            uploaders = [p for p in uploaders if parent_of(p) in pids]
        return sum(map(slots_of, uploaders))

    def fault(self):
        victim = self.random.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        still = self.random.random() < 0.35
        length = self.random.uniform(0.2, 2.0)
        pids = self.find(victim)
        if not pids:
            return
        self.store.mark(self.box.records())
        self.in_flight += self.transfers_of(victim, pids)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGSTOP if still else signal.SIGKILL)
            except ProcessLookupError:
                continue
            if still and pid not in self.stopped:
                self.stopped[pid] = (victim, time.time(), time.time() + length)
        self.kills_left -= not still
        self.note(f"{'stopped for %.1f s' % length if still else 'killed'}: {victim} {pids}")

    def go_on(self, everything=False):
        for pid, (_, since, until) in list(self.stopped.items()):
            if everything or time.time() >= until:
                del self.stopped[pid]
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
                self.stops.append((since, time.time()))

    def excused(self, recorded, sent):
        """True when a lease may have ended while its holder was stopped: the next transfer then begins just before the first completion arrives."""
        found = any(end - begin > LEASE_S / 2 and recorded - LEASE_S < end < sent for begin, end in self.stops)
        self.excuses += found
        return found

    # rounds ---------------------------------------------------------------------------------------------------

    def round(self, part):
        root = self.sources.root
        self.commands = [Command(self, *more, f"{root}/{side}/", self.store.dest(part, side)) for side, more in (("a", ["--slots", "4"]), ("b", []))]
        calm = None
        while not all([c.done() for c in self.commands]):
            self.go_on(everything=self.kills_left <= 0)
            if self.kills_left > 0 and time.monotonic() >= self.next_fault:
                self.fault()
                self.next_fault = time.monotonic() + self.random.choice((0.02, 0.1, 0.2, 0.4, 0.8, 1.5)) * self.random.uniform(0.5, 1.5) * self.store.pace
            if self.kills_left <= 0 and calm is None:
                calm = time.monotonic()
            assert calm is None or time.monotonic() < calm + END_S, f"not done {END_S} s after the last kill\n{self.status()}"
            time.sleep(0.01)
        self.go_on(everything=True)

    def status(self):
        return self.box.run("status", "--journal", self.box.journal, status=None).stdout

    def run(self):
        part, began = 0, time.monotonic()
        parts = []
        while not parts or (self.kills_left > 0 and len(parts) < 100):
            part += 1
            parts.append(f"r{part}")
            self.round(parts[-1])
        assert self.kills_left <= 0, "it was over before enough was killed"
        took = time.monotonic() - began
        self.box.gone()
        self.good_end(parts)
        print(f"{len(parts)} rounds, {len(self.faults)} faults, {took:.1f} s")

    # assertions at the end ----------------------------------------------------------------------------------------

    def good_end(self, parts):
        self.no_reports()
        records = read_journal(self.box.journal)
        check_chain(self.box.journal)
        check_one_record_each(records)
        self.box.run("journal", "verify", self.box.journal)
        self.one_end_each(records, parts)
        self.store.good_content(parts, records, self.excused)
        sent = self.store.good_requests(records, self.in_flight, self.excused)
        print(f"{sent}; {self.excuses} excused by a pause")
        odd = [p.name for p in self.box.journal.iterdir() if not JOURNAL_NAMES.fullmatch(p.name)]
        if records[-1]["ev"] != "stop" and "consumer" in odd:
            odd.remove("consumer")  # tells the next command which processes may still run
        assert odd == [], f"left over in the journal directory: {odd}"
        self.nothing_to_do(records)

    def one_end_each(self, records, parts):
        """One finish or put for each file and round, and every begun upload has an end."""
        ends, begun, ended = {}, {}, set()
        for r in records:
            if r["ev"] == "begin":
                assert r["upload"] not in begun, f"upload {r['upload']} begun twice"
                begun[r["upload"]] = r["dest"]
            if r["ev"] in ("finish", "put"):
                ends.setdefault(r["dest"], []).append(r["seq"])
            if r["ev"] in ("finish", "put", "abort", "fail"):
                ended.add(r["upload"])
        assert [r for r in records if r["ev"] == "fail"] == []
        assert {d: s for d, s in ends.items() if len(s) > 1} == {}, "finished more than once"
        assert len(ends) == len(parts) * len(self.sources.sha)
        assert {u: d for u, d in begun.items() if u not in ended} == {}, "begun and never ended"

    def nothing_to_do(self, records):
        for command in self.commands:
            command.start()
            assert command.child.wait(60) == 0, command.child.log.read_text()
            assert "skipped" in command.child.log.read_text()
            self.box.gone()
        new = read_journal(self.box.journal)[len(records):]
        assert {r["ev"] for r in new} <= {"epoch", "stop"}, "the same command did something again"

    def no_reports(self):
        for log in [*self.box.dir.glob("out-*.log"), self.box.journal / "consumer.log"]:
            said = log.read_text(errors="replace")
            found = BROKEN.search(said)
            assert not found, f"{log.name}: {said[max(0, found.start() - 300):found.start() + 3000]}"

    def keep(self, name):
        print("\n".join(self.faults))
        if base := os.environ.get("CHUNKLIFT_KEEP"):
            to = os.path.join(base, f"{name}-{time.time():.0f}")
            os.makedirs(to)
            if self.box.journal.exists():
                shutil.copytree(self.box.journal, os.path.join(to, "journal"))
            for log in self.box.dir.glob("out-*.log"):
                shutil.copy(log, to)
            with open(os.path.join(to, "faults"), "w", encoding="utf-8") as f:
                f.write("\n".join(self.faults))
            if (self.box.dir / "out").exists():
                names = sorted(str(p) for p in (self.box.dir / "out").rglob("*") if p.is_file() and "/small/s-" not in str(p))
                with open(os.path.join(to, "names"), "w", encoding="utf-8") as f:
                    f.write("\n".join(names))
            self.store.keep(to)
            print(f"kept in {to}")


def soak(box, store, sources, kills, name):
    s = Soak(box, store, sources, kills)
    try:
        s.run()
    except BaseException:
        s.go_on(everything=True)
        s.keep(name)
        raise
    finally:
        s.go_on(everything=True)


def soak_into_gateway(box, rgw, sources, kills):
    store = S3Store(box, sources, rgw, f"soak-{time.time_ns()}")
    soak(box, store, sources, kills, "rgw")
    store.clear()


def test_short_soak_into_a_directory(box):
    sources = Sources(box.dir / "src", 60, 2, 40)
    soak(box, FileStore(box, sources), sources, 12, "short")


@pytest.mark.slow
def test_short_soak_into_a_gateway(box, rgw):
    soak_into_gateway(box, rgw, Sources(box.dir / "src", 60, 1, 20), 8)


@pytest.mark.soak
def test_soak_into_a_directory(box):
    sources = Sources(box.dir / "src", 200, 4, 200)
    soak(box, FileStore(box, sources), sources, 100, "file")


@pytest.mark.soak
def test_soak_into_a_gateway(box, rgw):
    soak_into_gateway(box, rgw, Sources(box.dir / "src", 100, 2, 100), 100)
