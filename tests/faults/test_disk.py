"""On full, failing or lying disks a program logs one line, acknowledges nothing that can be lost, loses no record, and continues later.

The journal or the destination is on a tmpfs with a limit of pages or inodes, or calls of the programs fail at a chosen
moment (disk_faults.c, libfiu). A client keeps the acknowledged records in memory.
"""

import errno
import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from support import mounts
from support.box import check_chain, check_one_record_each, preloaded, random_file, read_journal, sha256_of, valid_records, wait_for
from support.completer import Completer, compare

MIB = 1 << 20
CHUNK = 64 << 10
SLOTS = 16  # of both uploaders together
MARK = b"recorded"
FULL = "no space left for the journal"


@pytest.fixture(scope="module")
def may_mount():
    reason = mounts.missing()
    if reason:
        pytest.skip(reason)


def generator():
    seed = int(os.environ.get("CHUNKLIFT_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"CHUNKLIFT_SEED={seed}")
    return random.Random(seed)


# a cp with a journal on a disk that fills up -----------------------------------------------------------------------------------------


class Upload:
    """40 MiB in 640 chunks: about 60 pages of journal."""

    def __init__(self, box, tmpfs, number):
        self.box, self.tmpfs = box, tmpfs
        self.journal, self.out = tmpfs.path / "journal", box.dir / f"out-{number}"
        self.src = box.dir / "src"
        if not self.src.exists():
            random_file(self.src, 40 * MIB)

    def start(self, *more):
        return self.box.start("cp", "--journal", self.journal, "--no-progress", "--json", "--chunk-size", CHUNK,
                              "--lease", "1s", *more, self.src, self.out)

    def good_end(self, child, *logs):
        assert child.wait(60) == 0, child.log.read_text()
        self.box.gone()
        assert sha256_of(self.out) == sha256_of(self.src)
        self.out.unlink()
        check_chain(self.journal)
        records = read_journal(self.journal)
        check_one_record_each(records)
        told = {}
        for log in (*logs, child.log):
            for line in log.read_text().splitlines():
                if line.startswith('{"event":"chunk"'):
                    event = json.loads(line)
                    told[(event["upload"], event["chunk"])] = True
        have = {(r["upload"], r["chunk"]) for r in records if r["ev"] == "chunk"}
        assert set(told) <= have, f"told as recorded and lost: {set(told) - have}"
        assert len(have) == 640 and sum(r["ev"] == "finish" for r in records) == 1

    def mark(self):
        """Writes a mark over every chunk at the destination, recorded or held by its uploader."""
        self.records_before = [r for r in valid_records(self.journal) if r["ev"] == "chunk"]
        marked, parts = [], list(self.out.parent.glob(".chunklift-*.part"))
        if not parts:
            return marked
        with open(self.src, "rb") as want, open(parts[0], "r+b") as have:
            for offset in range(0, 40 * MIB, CHUNK):
                want.seek(offset)
                have.seek(offset)
                if want.read(CHUNK) == have.read(CHUNK):
                    have.seek(offset)
                    have.write(MARK)
                    marked.append(offset)
        return marked

    def unmark(self, marked):
        """No chunk is resent, except transfers that the end of their lease cut off between the last byte and its sync."""
        again = []
        with open(self.src, "rb") as want, open(self.out, "r+b") as have:
            for offset in marked:
                have.seek(offset)
                if have.read(len(MARK)) != MARK:
                    again.append(offset // CHUNK)
                want.seek(offset)
                have.seek(offset)
                have.write(want.read(len(MARK)))
        recorded = {r["chunk"] for r in self.records_before}
        assert not recorded & set(again), f"recorded and sent again: {recorded & set(again)}"
        assert len(again) <= SLOTS, f"{len(again)} of {len(marked)} chunks were at the destination and were sent again"


def errors(child):
    return [line for line in child.log.read_text().splitlines() if not line.startswith("{")]


def full_and_on(box, number, *, pages=4000, inodes=0):
    """Returns the result: `ended` (it could not begin), `waited` (and continued by itself), or `fits`."""
    with mounts.Tmpfs(box.dir / f"tmpfs-{number}", pages, inodes) as tmpfs:
        upload = Upload(box, tmpfs, number)
        child = upload.start()
        wait_for(lambda: child.poll() is not None or any("tried again" in line for line in errors(child)), 30, "full, or done")
        if child.poll() == 0:
            upload.good_end(child)
            return "fits"
        if child.poll() is None:
            time.sleep(1.3)  # the disk stays full for longer than a lease
            assert child.poll() is None, errors(child)
            marked = upload.mark()
            said = [line for line in errors(child) if FULL in line]
            assert len(said) == 1 and said[0].startswith(f"chunklift: {upload.journal}: {FULL}"), errors(child)
            tmpfs.grow()
            assert child.wait(60) == 0, child.log.read_text()
            upload.unmark(marked)
            upload.good_end(child)
            return "waited"
        assert child.wait() == 3 and len(errors(child)) == 1, (child.returncode, errors(child))
        assert "o space left" in errors(child)[0] and str(upload.journal) in errors(child)[0], errors(child)
        box.gone()
        tmpfs.grow()
        upload.good_end(upload.start(), child.log)
        return "ended"


def report(what, ends):
    counts = {end: ends.count(end) for end in sorted(set(ends))}
    print(f"{len(ends)} {what}: " + ", ".join(f"{count} {end}" for end, count in counts.items()))


FEW_PAGES = [1, 2, 3, 4, 20]


@pytest.mark.parametrize("positions", [FEW_PAGES, pytest.param(range(5, 46), marks=pytest.mark.crash)], ids=["few", "all"])
def test_journal_on_a_full_disk(box, may_mount, positions):
    """cp ends or waits at each limit of pages (ENOSPC for the lock, the first file, DIR/consumer or a batch), and succeeds with more."""
    ends = [full_and_on(box, pages, pages=pages) for pages in positions]
    report("full disks survived", ends)
    assert "waited" in ends


def test_journal_without_inodes(box, may_mount):
    """At each limit of inodes, cp ends or waits when it cannot create a journal file, and succeeds with more inodes."""
    ends = [full_and_on(box, inodes, inodes=inodes) for inodes in range(2, 9)]
    report("disks without inodes survived", ends)
    assert {"ended", "fits"} <= set(ends)


def test_full_for_longer_than_it_is_retried(box, may_mount):
    with mounts.Tmpfs(box.dir / "tmpfs", 8) as tmpfs:
        upload = Upload(box, tmpfs, 0)
        child = upload.start("--retry-for", "2s")
        began = time.monotonic()
        assert child.wait(30) == 3
        assert time.monotonic() - began < 15
        assert [FULL in line for line in errors(child)] == [True, True], errors(child)
        assert "tried again for 2 s" in errors(child)[0]
        box.gone()
        tmpfs.grow()
        upload.good_end(upload.start(), child.log)


# a consumer on a disk that fills up, and a client that knows the acknowledged records -----------------------------------------------


class Load:
    def __init__(self, box, journal, rng, **client):
        self.box, self.journal, self.client = box, journal, Completer(rng, **client)
        self.consumer, self.starts = None, 0

    def spawn(self, env=None, before=()):
        self.starts += 1
        self.endpoint = f"ipc://{self.box.dir}/run/c-{self.starts}"
        args = ("--journal", self.journal, "--bind", self.endpoint, "--lease", "1s")
        self.consumer = self.box.start(*args, program="chunklift-consumer", env=env, before=before)
        self.client.connect(self.endpoint)

    def start(self, **how):
        """True when the consumer serves, False when it could not start."""
        self.spawn(**how)
        end = time.monotonic() + 30
        while self.client.uploader.welcome is None and self.consumer.poll() is None:
            self.client.turn(0.01, more=False)
            assert time.monotonic() < end, "no consumer within 30 s"
        return self.client.uploader.welcome is not None

    def go_on(self, seconds, until=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.consumer.poll() is None and not until():
            self.client.turn(0.005)

    def fell(self, *words):
        """The consumer ended with status 3 and logged the reason in one line."""
        end = time.monotonic() + 20
        while self.consumer.poll() is None:
            self.client.turn(0.01)
            assert time.monotonic() < end, f"it goes on\n{self.consumer.log.read_text()}"
        self.client.turn(0.01, more=False)
        beside = ("serving the journal", "bytes were cut", "the next start reads the whole journal")
        said = [line for line in self.consumer.log.read_text().splitlines() if not any(words in line for words in beside)]
        assert self.consumer.returncode == 3 and len(said) == 1, (self.consumer.returncode, said)
        assert str(self.journal) in said[0] and any(word in said[0] for word in words), said
        return said[0]

    def good(self):
        """On a good disk again the acknowledged records are there, and the client completes the rest."""
        assert self.start(), self.consumer.log.read_text()
        self.box.run("journal", "verify", self.journal)
        self.client.settle()
        compare(self.journal, self.client)
        check_chain(self.journal)

    def stop(self):
        self.consumer.terminate()
        assert self.consumer.wait(20) == 0, self.consumer.log.read_text()

    def close(self):
        if self.consumer and self.consumer.poll() is None:
            self.consumer.kill()
            self.consumer.wait()
        self.client.close()


@pytest.fixture
def load(box, request):
    made = []

    def make(journal, **client):
        made.append(Load(box, journal, generator(), **client))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("disks", [4, pytest.param(20, marks=pytest.mark.crash)])
def test_full_in_the_middle_of_batches(box, may_mount, load, disks):
    """No acknowledged record is lost when the disk fills at a random moment and is still full, or has little room, at a restart."""
    with mounts.Tmpfs(box.dir / "tmpfs", 20000) as tmpfs:
        one = load(tmpfs.path / "journal", outstanding=4)
        one.good()
        restarts = 0
        for number in range(disks):
            rng = one.client.rng
            one.go_on(rng.uniform(0.02, 0.1))
            tmpfs.shrink_to_fit(rng.randrange(4))
            one.fell(FULL)
            pages = (one.journal / "journal.jsonl").stat().st_size // 4096
            for room in (0, pages // 2, pages, pages + 1)[: 1 + number % 4]:
                tmpfs.shrink_to_fit(room)
                if one.start():
                    one.fell(FULL)
                else:
                    one.fell(FULL, "No space left")
                restarts += 1
                leftover = sorted(p.name for p in one.journal.iterdir() if p.name.startswith("tmp-"))
                assert leftover in ([], ["tmp-journal-active"]), leftover
            tmpfs.grow()
            one.good()
        one.stop()
        print(f"{disks} full disks and {restarts} restarts on them survived, {len(one.client.acked)} acknowledged records checked")


@pytest.mark.crash
def test_full_when_the_file_is_sealed(box, may_mount, load):
    """When the next file at 64 MiB gets no inode or no page, acknowledged records stay, and a later start seals the file."""
    for how in ("inode", "page"):
        with mounts.Tmpfs(box.dir / how, 40000) as tmpfs:
            one = load(tmpfs.path / "journal", etag=1024, outstanding=8)
            one.good()
            active = one.journal / "journal.jsonl"
            one.go_on(60, lambda: active.stat().st_size > 63 * MIB)
            if how == "inode":
                tmpfs.take_inodes()
            else:
                tmpfs.shrink_to_fit(rest_of_batch(active))
            one.go_on(60)
            one.fell(FULL)
            tmpfs.grow()
            one.good()
            one.go_on(60, lambda: list(one.journal.glob("journal.*.jsonl")))
            one.stop()
            one.box.run("journal", "verify", one.journal)
            compare(one.journal, one.client)
            assert list(one.journal.glob("journal.*.jsonl"))
            print(f"sealing without a free {how} survived, {len(one.client.acked)} acknowledged records checked")


def rest_of_batch(active):
    return (64 * MIB - active.stat().st_size) // 4096 + 60


# a consumer with calls that fail at a chosen moment --------------------------------------------------------------------------------------


HARMLESS = ("/snapshot", "/tmp-snapshot", "/consumer", "/consumer.new")  # caches and hints: the consumer may continue without them


def is_harmless(call, path, log):
    """At its end the consumer empties its lock file and removes DIR/consumer; it also syncs a directory for the snapshot."""
    return path.endswith(HARMLESS) or call in ("unlink", "ftruncate") or "the next start reads the whole journal" in log


def one_life(one, env=None):
    """A start, records, a stop. True when the consumer ended cleanly."""
    if not one.start(env=env):
        return False
    one.client.outstanding = 4
    before = len(one.client.acked)
    one.go_on(20, lambda: len(one.client.acked) > before + 200)
    if one.consumer.poll() is None:
        one.consumer.terminate()
        end = time.monotonic() + 20
        while one.consumer.poll() is None:
            one.client.turn(0.01, more=False)
            assert time.monotonic() < end
    return one.consumer.returncode == 0


def plan(box, journal, at, error, how):
    return {**preloaded("disk_faults"), "DISK_FAULTS": f"{journal}:{at}:{error}:{how}:{box.dir}/report"}


def told(box):
    """[(number, call, path)] of the failed calls, and the number of all calls."""
    failed, calls = [], 0
    report_file = box.dir / "report"
    for line in report_file.read_text().splitlines() if report_file.exists() else []:
        number, call, path = line.split(" ", 2)
        if call == "calls":
            calls = int(number)
        else:
            failed.append((int(number), call, path))
    report_file.unlink(missing_ok=True)
    return failed, calls


SWEEPS = [(errno.ENOSPC, "once"), (errno.EIO, "half"), (errno.ENOSPC, "stay"), (errno.ENOSPC, "half"), (errno.EIO, "once"),
          (errno.EIO, "stay"), (errno.EROFS, "stay"), (errno.EDQUOT, "once")]


@pytest.mark.parametrize("error,how", SWEEPS[:1] + [pytest.param(*s, marks=pytest.mark.crash) for s in SWEEPS[1:]])
def test_each_call_of_a_consumer_fails_in_turn(box, load, error, how):
    """No acknowledged record is lost when any one call of a consumer on its directory fails, at a first start or after a kill."""
    ended = went_on = 0
    one = None
    for before in ("new", "killed"):
        for at in range(1, 40):
            journal = box.dir / f"journal-{before}-{at}"
            one = one or load(journal, outstanding=4, etag=8)
            one.journal = journal
            one.client.forget()
            if before == "killed":
                one.good()
                one.consumer.kill()
                one.consumer.wait()
                with open(journal / "journal.jsonl", "ab") as f:
                    f.write(b'{"seq":')
            lived = one_life(one, plan(box, journal, at, error, how))
            failed, _ = told(box)
            if lived:
                assert not failed or is_harmless(*failed[0][1:], one.consumer.log.read_text()), failed
                went_on += bool(failed)
            else:
                assert failed, one.consumer.log.read_text()
                said = one.consumer.log.read_text().splitlines()
                assert one.consumer.returncode == 3 and str(journal) in said[-1], said
                ended += 1
            one.good()
            one.stop()
            shutil.rmtree(journal)
            if not failed:
                break
    print(f"{ended} ended with a word, {went_on} went on, none lost anything ({errno.errorcode[error]}, {how})")
    assert ended > 10


def test_short_writes(box, load):
    one = load(box.dir / "journal", outstanding=4)
    for _ in range(3):
        assert one_life(one, plan(box, one.journal, 0, 0, "short")), one.consumer.log.read_text()
        compare(one.journal, one.client)
    one.good()
    _, calls = told(box)
    print(f"{calls} calls, every write short: {len(one.client.acked)} acknowledged records checked")


def fiu(box, pid, command):
    subprocess.run(["fiu-ctrl", "-f", f"{box.dir}/fiu", "-c", command, str(pid)], check=True, timeout=20, env=box.env)


@pytest.mark.parametrize("point,rounds", [("posix/io/sync/fdatasync", 2), ("posix/io/sync/fsync", 1), ("posix/io/rw/pwrite", 1)])
def test_libfiu_fails_a_call_while_it_runs(box, load, request, point, rounds):
    if request.config.getoption("--set") == "asan":
        pytest.skip("libfiu and the address sanitizer do not go together")
    if not shutil.which("fiu-run"):
        pytest.skip("fiu-utils is not installed")
    one = load(box.dir / "journal", outstanding=8)
    fell = 0
    for _ in range(rounds):
        assert one.start(before=["fiu-run", "-x", "-f", f"{box.dir}/fiu"]), one.consumer.log.read_text()
        one.go_on(one.client.rng.uniform(0.02, 0.2))
        fiu(box, one.consumer.pid, f"enable name={point},failinfo={errno.EIO}")
        if point.endswith("fsync"):  # only new files and snapshots call it; at the latest at the end
            one.consumer.terminate()
            one.consumer.wait(20)
        else:
            one.fell("nothing more is acknowledged")
            fell += 1
        one.good()
        one.stop()
    print(f"{point}: {fell} of {rounds} ended with a word, {len(one.client.acked)} acknowledged records checked")


# a full destination ----------------------------------------------------------------------------------------------------------------------


def uploads_known(journal):
    return {r["upload"] for r in read_journal(journal) if "upload" in r}


def full_destination(box, number, sources, **limits):
    journal = box.dir / f"journal-{number}"
    with mounts.Tmpfs(box.dir / f"tmpfs-{number}", **limits) as tmpfs:
        out = tmpfs.path / "out"
        args = ("cp", "--journal", journal, "--no-progress", "-r", "--chunk-size", "256KiB", f"{sources}/", f"file://{out}/")
        done = box.run(*args, status=None)
        box.gone()
        final = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and not p.name.startswith(".chunklift-")}
        for name in final:
            assert (out / name).read_bytes() == (sources / name).read_bytes(), f"{name}: under its final name and not whole"
        left = [p.name for p in out.rglob(".chunklift-*")]
        known = uploads_known(journal)
        assert all(re.fullmatch(r"\.chunklift-([0-9a-f]{32})\.part", name)[1] in known for name in left), left
        if done.returncode != 0:
            assert done.returncode == 1, done.stderr
            said = [line for line in done.stderr.splitlines() if "No space left on device" in line]
            everything = {str(p.relative_to(sources)) for p in sources.rglob("*") if p.is_file()}
            for name in everything - final:
                mine = [line for line in said if line.startswith(f"chunklift: {sources}/{name}: ")]
                assert len(mine) == 1, f"{name} failed and that was said in {len(mine)} lines:\n{done.stderr}"
        tmpfs.grow()
        box.run(*args)
        box.gone()
        assert subprocess.run(["diff", "-r", sources, out], capture_output=True, timeout=60).returncode == 0
        check_chain(journal)
        check_one_record_each(read_journal(journal))
        return "full" if done.returncode else "fits"


def test_destination_on_a_full_disk(box, may_mount):
    sources = box.dir / "src"
    random_file(sources / "big", 6 * MIB + 77)
    for n in range(12):
        random_file(sources / f"d{n % 2}" / f"s-{n}", 3000 * n, seed=n)
    ends = [full_destination(box, f"p{pages}", sources, pages=pages) for pages in (1, 2, 8, 30, 300, 1200)]
    ends += [full_destination(box, f"i{inodes}", sources, pages=4000, inodes=inodes) for inodes in (1, 3, 9)]
    report("destinations filled", ends)
    assert ends.count("full") > 6
