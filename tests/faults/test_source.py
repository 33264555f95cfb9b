"""When a source file changes during its upload, the destination gets one whole version of it, or nothing.

Each test changes files in every way of CHANGES at one moment. Moments at a gateway are exact: a proxy (support/gate.py) holds the request
while the file is changed. At a directory the uploaders are stopped after they have written a share of the bytes.
"""

import hashlib
import json
import mmap
import os
import random
import re
import shutil
import signal
import threading
import urllib.error
import urllib.request

import pytest

from support.box import check_chain, check_one_record_each, random_file, sha256_of, wait_for
from support.gate import Gate

MIB = 1 << 20
BIG = 25 * MIB - 4321  # five chunks of at most 5 MiB
PARTS = 5


# changes of a file -------------------------------------------------------------------------------------------------

def truncate(path):
    os.truncate(path, os.path.getsize(path) // 2)


def append(path):
    with open(path, "ab") as f:
        f.write(b"more of it" * 1000)


def overwrite(path):
    """Overwrites every byte in place and keeps size and mtime: only ctime changes."""
    st = os.stat(path)
    random_file_in_place(path, st.st_size, seed=f"new {path.name}")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def random_file_in_place(path, size, seed):
    fresh = random_file(path.parent.parent / f"fresh-{path.name}", size, seed)
    with open(path, "r+b") as f, open(fresh, "rb") as g:
        shutil.copyfileobj(g, f)
    fresh.unlink()


def replace(path):
    """Renames another file of the same size and mtime to this path."""
    st = os.stat(path)
    fresh = random_file(path.parent.parent / f"fresh-{path.name}", st.st_size, f"new {path.name}")
    os.utime(fresh, ns=(st.st_atime_ns, st.st_mtime_ns))
    os.rename(fresh, path)


def remove(path):
    path.unlink()


CHANGES = [truncate, append, overwrite, replace, remove]
NAMES = [change.__name__ for change in CHANGES]


class Files:
    """One file for each way of changing, with its old and its new digest."""

    def __init__(self, box, size, names=tuple(NAMES)):
        self.root = box.dir / "src"
        self.names = list(names)
        for name in self.names:
            random_file(self.root / name, size, seed=name)
        self.old = {name: sha256_of(self.root / name) for name in self.names}
        self.new = {}
        self.lock = threading.Lock()

    def change(self, name):
        with self.lock:
            if name in self.new:
                return
            next(c for c in CHANGES if c.__name__ == name)(self.root / name)
            self.new[name] = sha256_of(self.root / name) if (self.root / name).exists() else None

    def change_all(self):
        for name in self.names:
            self.change(name)


# destinations -------------------------------------------------------------------------------------------------------

class Directory:
    args, env = ["--chunk-size", "4MiB"], {}

    def __init__(self, box, name):
        self.out = box.dir / name
        self.dest = f"file://{self.out}/"

    def sha(self, name):
        return sha256_of(self.out / name) if (self.out / name).exists() else None

    def left_name(self, begin):
        return begin["handle"].rpartition(":")[0]

    def left_over(self, names):
        return sorted(p.name for p in self.out.iterdir() if p.name not in names) if self.out.exists() else []


class Bucket:
    """A prefix of a bucket with public read access, so that a check needs no client."""

    def __init__(self, rgw, gate, prefix):
        self.prefix, self.url = prefix, f"{rgw.endpoint}/open"
        self.args, self.env = ["--chunk-size", "5MiB", "--endpoint-url", gate.endpoint], rgw.env
        self.dest = f"s3://open/{prefix}/"

    def sha(self, name):
        digest = hashlib.sha256()
        try:
            with urllib.request.urlopen(f"{self.url}/{self.prefix}/{name}", timeout=60) as reply:
                while block := reply.read(1 << 20):
                    digest.update(block)
        except urllib.error.HTTPError as e:
            assert e.code == 404, e
            return None
        return digest.hexdigest()

    def left_name(self, begin):
        return begin["dest"].split("/", 3)[3]

    def left_over(self, _names):
        with urllib.request.urlopen(f"{self.url}?uploads", timeout=60) as reply:
            page = reply.read().decode()
        assert "<IsTruncated>false" in page
        return [key for key in re.findall("<Key>(.*?)</Key>", page) if key.startswith(self.prefix + "/")]


@pytest.fixture(scope="module")
def store_rgw(rgw):
    rgw.make_bucket("open")
    statement = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                 "Resource": ["arn:aws:s3:::open", "arn:aws:s3:::open/*"]}
    rgw.s3.put_bucket_policy(Bucket="open", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return rgw


# checks afterwards -------------------------------------------------------------------------------------------------

TALLY = {}


def count(what):
    TALLY[what] = TALLY.get(what, 0) + 1


@pytest.fixture(scope="module", autouse=True)
def tally():
    yield
    print("\nsource: " + ", ".join(f"{n} {what}" for what, n in sorted(TALLY.items())))


def name_of(record):
    return os.path.basename(record["src"])


def failures(box):
    """Classes of the journal's fail records."""
    return [r["class"] for r in box.records("fail")]


def judge(box, store, files, child, on_change, before=None):
    """Each file is one whole version, never a mixture; messages, records and leftovers agree with it."""
    status = child.wait(120)
    output = child.log.read_text()
    box.gone()
    check_chain(box.journal)
    check_one_record_each(box.records())
    failed = failures(box)
    told = recorded = 0
    for name in files.names:
        has, old, new, previous = store.sha(name), files.old[name], files.new[name], (before or {}).get(name)
        said = [line for line in output.splitlines() if f"{files.root / name}: " in line and line.startswith("chunklift: ")
                and "starting it again" not in line]
        assert has in (old, new, previous), f"{name}: what arrived is neither version of it\n{output}"
        count("files changed")
        if said:
            told += 1
            recorded += f"{name}: cannot be read: No such file" not in said[0]  # removed before its upload was opened: no record
            assert len(said) == 1 and ("changed while it was uploaded" in said[0] or (name == "remove" and "cannot be" in said[0])), output
            assert on_change == "fail" or name == "remove", f"{name} was not started again\n{output}"
            assert has in (previous, old), f"{name} failed, and something new is there"
            count("failed")
        elif has == new:
            count("new version arrived")
        else:
            assert has == old, f"{name}: done, and not there\n{output}"
            count("old version arrived")
    assert status == (1 if told else 0), output
    assert len(failed) >= recorded and set(failed) <= {"changed", "source"}, f"{failed}\n{output}"
    assert store.left_over(files.names) == [], output
    return output, failed


def again(box, store, files, left=()):
    """Runs the same command again: every existing file arrives in its present version. (--force: a change after the finish
    with equal size and mtime counts as uploaded.)"""
    there = [name for name in files.names if (files.root / name).exists()]
    box.cp("--quiet", "--force", *store.args, *[files.root / name for name in there], store.dest, env=store.env)
    box.gone()
    for name in there:
        assert store.sha(name) == sha256_of(files.root / name), f"{name}: not as it is now"
    assert store.left_over(files.names) == list(left)


def start(box, store, files, on_change, *more):
    return box.start_cp("--no-progress", "--lease", "3s", "--on-change", on_change, *store.args, *more,
                        *[files.root / name for name in files.names], store.dest, env=store.env)


# a gateway: exact moments -------------------------------------------------------------------------------------------

def at(kind, stage, part=None, passed=0):
    def matches(r):
        return r.kind == kind and r.stage == stage and (part is None or r.part == part) and r.passed >= passed
    return matches


MOMENTS = {
    "before the first byte": (BIG, at("begin", "head")),
    "between two chunks": (BIG, at("chunk", "head", 2)),
    "in the middle of a chunk": (BIG, at("chunk", "body", 2, 1 * MIB)),
    "at the end of a chunk": (BIG, at("chunk", "sent", 2)),
    "in the middle of the last chunk": (BIG, at("chunk", "body", PARTS, 256 << 10)),
    "at the end of the last chunk": (BIG, at("chunk", "reply", PARTS)),
    "before finish is looked at": (BIG, None),
    "during finish": (BIG, at("finish", "head")),
    "after finish": (BIG, at("finish", "reply")),
    "before a small put": (3000, at("put", "head")),
    "after a small put": (3000, at("put", "reply")),
    "in the middle of a put": (4 * MIB + 17, at("put", "body", None, 512 << 10)),
    "at the end of a put": (4 * MIB + 17, at("put", "reply")),
}
LATE = {"during finish", "after finish", "before a small put", "after a small put", "at the end of a put"}


@pytest.mark.parametrize("on_change", ["fail", pytest.param("restart", marks=pytest.mark.crash)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_at_a_gateway(box, store_rgw, moment, on_change):
    size, matches = MOMENTS[moment]
    files = Files(box, size)
    slug = re.sub(r"\W+", "-", f"source {moment} {on_change}")
    last = threading.Barrier(len(files.names) + 1)  # the last chunk of every file, and this test
    replies = dict.fromkeys(files.names, 0)

    def hook(r):
        name = r.path.rsplit("/", 1)[1]
        if name in files.new or name not in files.names:
            return
        if matches:
            if matches(r):
                files.change(name)
        elif r.kind == "chunk" and r.stage == "reply":
            with files.lock:
                replies[name] += 1
                is_last = replies[name] == PARTS
            if is_last:
                last.wait(60)  # until all are there
                last.wait(60)  # until cp is stopped: it gets the reply after the change

    with Gate(store_rgw.port, hook) as gate:
        store = Bucket(store_rgw, gate, slug)
        child = start(box, store, files, on_change)
        if not matches:
            last.wait(60)
            os.kill(child.pid, signal.SIGSTOP)
            last.wait(60)
            wait_for(lambda: len(box.records("chunk")) == PARTS * len(files.names), 60, "all chunks recorded")
            files.change_all()
            os.kill(child.pid, signal.SIGCONT)
        output, failed = judge(box, store, files, child, on_change)
        assert len(files.new) == len(files.names), "a file was not changed at all"
        if moment not in LATE and on_change == "fail":
            assert len(failed) >= len(files.names), f"{failed}\n{output}"
        again(box, store, files)


def test_what_was_there_stays_there(box, store_rgw):
    """A failed put, or a failed upload in chunks, keeps the previous object."""
    files = Files(box, 4 * MIB + 17)

    def hook(r):
        if r.kind == "put" and r.stage == "body" and r.passed >= 512 << 10 and changing.is_set():
            files.change(r.path.rsplit("/", 1)[1])

    changing = threading.Event()
    with Gate(store_rgw.port, hook) as gate:
        store = Bucket(store_rgw, gate, "source-previous")
        other = {name: random_file(box.dir / "other" / name, 1000, f"previous {name}") for name in files.names}
        box.cp("--quiet", *store.args, *other.values(), store.dest, env=store.env)
        changing.set()
        child = start(box, store, files, "fail")
        judge(box, store, files, child, "fail", {name: sha256_of(p) for name, p in other.items()})


@pytest.mark.crash
def test_what_cannot_be_removed_is_said(box, store_rgw):
    """When the store answers aborts with errors, the upload stays, cp reports it, and the next run removes it."""
    files = Files(box, BIG, ["overwrite"])
    refusing = threading.Event()
    refusing.set()

    def hook(r):
        if r.kind == "chunk" and r.stage == "body" and r.part == 2:
            files.change("overwrite")
        return 503 if r.kind == "abort" and r.stage == "head" and refusing.is_set() else None

    with Gate(store_rgw.port, hook) as gate:
        store = Bucket(store_rgw, gate, "source-left")
        child = start(box, store, files, "fail", "--retry-for", "2s")
        assert child.wait(60) == 1
        output = child.log.read_text()
        assert "remains at s3://open/source-left/overwrite" in output, output
        assert output.count("changed while it was uploaded") == 1
        box.gone()
        assert store.left_over([]) == ["source-left/overwrite"]
        refusing.clear()
        again(box, store, files)


# a directory: the uploaders are stopped ------------------------------------------------------------------------------

def written_bytes(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io", encoding="ascii") as f:
                total += int(re.search(r"wchar: (\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            pass
    return total


def stopped_at(box, child, share, total):
    """Stops all uploaders after this share of all bytes and returns the number of bytes. None: they finished before."""
    uploaders = wait_for(lambda: list(box.processes("chunklift-uploader")), 30, "an uploader", every=0.002)
    while written_bytes(uploaders := list(box.processes("chunklift-uploader"))) < share * total:
        if child.poll() is not None:
            return None, []
    for pid in uploaders:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
    return written_bytes(uploaders), uploaders


def changed_at(box, store, files, size, on_change, share):
    child = start(box, store, files, on_change, "--uploaders", "1")
    _, stopped = stopped_at(box, child, share, size * len(files.names))
    try:
        files.change_all()
    finally:
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    return child


SIZES = {"chunks": 24 * MIB + 99, "put": 3 * MIB, "small": 2000}
ALWAYS = {("chunks", 0.05, "fail"), ("chunks", 0.6, "fail"), ("chunks", 0.3, "restart"), ("put", 0.3, "fail"), ("small", 0, "restart")}
STOPS = [(what, share, on_change) for what in SIZES for share in (0, 0.05, 0.3, 0.6, 0.97) for on_change in ("fail", "restart")
         if what != "small" or share == 0]


@pytest.mark.parametrize("what, share, on_change", [pytest.param(*stop, marks=[] if stop in ALWAYS else pytest.mark.crash) for stop in STOPS])
def test_at_a_directory(box, what, share, on_change):
    size = SIZES[what]
    files = Files(box, size)
    store = Directory(box, "out")
    before = {}
    for name in files.names[::2]:
        before[name] = sha256_of(random_file(store.out / name, 777, f"previous {name}"))
    child = changed_at(box, store, files, size, on_change, share)
    judge(box, store, files, child, on_change, before)
    again(box, store, files)


def test_a_file_that_never_rests(box):
    """A file that changes all the time is restarted three times, then fails, and leaves nothing."""
    src = random_file(box.dir / "src" / "log", 64 * MIB)
    end = threading.Event()

    def write():
        with open(src, "r+b", buffering=0) as f:
            while not end.is_set():
                f.seek(0)
                f.write(b"never the same")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = box.cp("--no-progress", "--chunk-size", "1MiB", "--on-change", "restart", src, f"{box.dir}/out/", status=1, timeout=60)
    finally:
        end.set()
        writer.join()
    assert done.stderr.count("starting it again") == 3
    assert done.stderr.count("re-run to start it again") == 1
    assert list((box.dir / "out").iterdir()) == []
    box.cp("--quiet", src, f"{box.dir}/out/")
    assert sha256_of(box.dir / "out" / "log") == sha256_of(src)


# resumption -----------------------------------------------------------------------------------------------------------

def half(box, child, chunks):
    def there():
        assert child.poll() is None, child.log.read_text()
        journal = box.journal / "journal.jsonl"
        return journal.exists() and journal.read_bytes().count(b'"ev":"chunk"') >= chunks // 2
    wait_for(there, 60, "half of the chunks", every=0.002)


@pytest.mark.parametrize("kind", ["file", "rgw"])
def test_changed_between_two_runs(box, request, kind):
    """When every file changes after a kill half-way, the next run does not mix old chunks with new bytes."""
    if kind == "file":
        size, store = 96 * MIB + 5, Directory(box, "out")
        resumed(box, store, size, 24 * 5)
    else:
        store_rgw = request.getfixturevalue("store_rgw")
        with Gate(store_rgw.port) as gate:
            resumed(box, Bucket(store_rgw, gate, "source-resumed"), BIG, PARTS * 5)


def resumed(box, store, size, chunks):
    files = Files(box, size)
    child = start(box, store, files, "fail")
    half(box, child, chunks)
    box.kill_all()
    child.wait()
    begun = {name_of(r): r["upload"] for r in box.records("begin")}
    recorded = {r["upload"] for r in box.records("chunk")}
    files.change_all()
    # No command plans the removed file again. Its unfinished upload stays in the journal until the next upload to its destination.
    gone = [r for r in box.records("begin") if name_of(r) == "remove" and r["upload"] not in {f["upload"] for f in box.records("finish")}]
    if store.sha("remove") == files.old["remove"]:  # the kill came between the store's finish and its record
        gone = []
    again(box, store, files, [store.left_name(r) for r in gone])
    later = {name_of(r): r["upload"] for r in box.records("begin") + box.records("put")}
    for name in files.names:
        if name != "remove" and begun.get(name) in recorded:
            assert later[name] != begun[name], f"{name}: the old upload was gone on with"
            count("half-done uploads not gone on with")
    assert {r["reason"] for r in box.records("abort")} <= {"superseded"}


# any moment -----------------------------------------------------------------------------------------------------------

def seeds(n):
    first = int(os.environ.get("CHUNKLIFT_SEED", "1"))
    return range(first, first + n)


def at_random(box, request, kind, seed):
    rng = random.Random(seed)
    on_change = rng.choice(["fail", "restart"])
    size = rng.choice([700, 900_000, 9 * MIB + 1, 17 * MIB, 33 * MIB])
    files = Files(box, size)
    print(f"CHUNKLIFT_SEED={seed}: {kind}, {size} bytes, --on-change {on_change}")
    if kind == "file":
        store = Directory(box, "out")
        child = changed_at(box, store, files, size, on_change, rng.random())
        judge(box, store, files, child, on_change)
        again(box, store, files)
        return
    store_rgw = request.getfixturevalue("store_rgw")
    moments = {name: rng.randrange(size * 2) for name in files.names}
    passed = dict.fromkeys(files.names, 0)

    def hook(r):
        name = r.path.rsplit("/", 1)[1]
        if name in passed:
            passed[name] += min(64 << 10, r.length) if r.stage == "body" else size // 20
            if passed[name] >= moments[name]:
                files.change(name)

    with Gate(store_rgw.port, hook) as gate:
        store = Bucket(store_rgw, gate, f"source-random-{seed}")
        child = start(box, store, files, on_change)
        child.wait(120)
        files.change_all()  # files of transfers that ended early
        judge(box, store, files, child, on_change)
        again(box, store, files)


@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize("kind", ["file", "rgw"])
def test_at_random_moments(box, request, kind, seed):
    at_random(box, request, kind, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", seeds(40))
@pytest.mark.parametrize("kind", ["file", "rgw"])
def test_at_many_random_moments(box, request, kind, seed):
    at_random(box, request, kind, seed + 1000)


def looks(path):
    st = os.stat(path)
    return st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino


def test_what_leaves_no_trace(box):
    """A later write through a mapping, and a write within one tick of the clock, cannot be seen, as DURABILITY.md says."""
    path = random_file(box.dir / "mapped", 8192)
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 8192) as mapped:
        mapped[0:4] = b"once"  # the page is dirty now: another write does not change the file's times
        before = looks(path)
        mapped[0:4] = b"more"
        assert looks(path) == before and path.read_bytes()[:4] == b"more"
        same = 0
        for _ in range(1000):
            os.pwrite(f.fileno(), b"x", 5000)
            seen = looks(path)
            os.pwrite(f.fileno(), b"y", 5000)
            same += looks(path) == seen
    print(f"a second write through a mapping does not show; of 1000 writes right after another {same} do not")


def test_planted_mixture_is_found(box):
    """The judge of this file rejects an object that is half old, half new."""
    files = Files(box, 3 * MIB, ["overwrite"])
    store = Directory(box, "out")
    old = (files.root / "overwrite").read_bytes()
    child = start(box, store, files, "fail")
    child.wait(60)
    box.gone()
    files.change_all()
    with open(store.out / "overwrite", "wb") as f:
        f.write(old[: MIB] + (files.root / "overwrite").read_bytes()[MIB:])
    with pytest.raises(AssertionError, match="neither version"):
        judge(box, store, files, child, "fail")

