"""chunklift gc: unfinished uploads are listed and aborted, and those of others and of running commands stay."""

import json
import os
import random
import re
import signal
from pathlib import Path

import pytest

from servers.memory_store import MemoryStore
from support.box import random_file, wait_for
from support.faults import Faults

MIB = 1 << 20


class Directory:
    """A directory as destination."""

    env, args = {}, []

    def __init__(self, box):
        self.box, self.dest = box, f"file://{box.dir}/out"

    def left(self):
        return sorted(p.name for p in (self.box.dir / "out").glob("**/.chunklift-*"))

    def objects(self):
        return {str(p.relative_to(self.box.dir / "out")) for p in (self.box.dir / "out").glob("**/*") if p.is_file() and not p.name.startswith(".")}

    def create_foreign(self):
        """A temporary file of another journal."""
        path = self.box.dir / "out" / f".chunklift-{'ab' * 16}.part"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"foreign")
        return path.name


class Bucket:
    """A prefix in a bucket of a real store."""

    def __init__(self, box, rgw):
        self.rgw, self.prefix, self.env = rgw, f"gc/{box.mark}", rgw.env
        self.dest, self.args = f"s3://bucket/{self.prefix}", ["--endpoint-url", rgw.endpoint]

    def left(self):
        pages = self.rgw.s3.get_paginator("list_multipart_uploads").paginate(Bucket="bucket", Prefix=f"{self.prefix}/")
        return sorted(u["UploadId"] for page in pages for u in page.get("Uploads", []))

    def objects(self):
        pages = self.rgw.s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=f"{self.prefix}/")
        return {o["Key"].removeprefix(f"{self.prefix}/") for page in pages for o in page.get("Contents", [])}

    def create_foreign(self, name="foreign"):
        return self.rgw.s3.create_multipart_upload(Bucket="bucket", Key=f"{self.prefix}/{name}")["UploadId"]


@pytest.fixture(autouse=True)
def faults(box):
    box.faults = Faults(box)


@pytest.fixture(params=["file", "rgw"])
def store(request, box):
    return Directory(box) if request.param == "file" else Bucket(box, request.getfixturevalue("rgw"))


@pytest.fixture
def bucket(box, rgw):
    return Bucket(box, rgw)


def lines_of(box):
    try:
        return (box.journal / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def gc(box, *args, env=None, status=0):
    done = box.run("gc", "--journal", box.journal, "--json", *args, env=env, status=status)
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def start_stopped(box, store, name="big"):
    """A cp whose only uploader is stopped after it sent two of five chunks of NAME."""
    box.faults.arm("complete_sent.chunk", 2, "stop", 200)
    (box.faults.dir / "complete_sent.chunk.fired").unlink(missing_ok=True)
    source = random_file(box.dir / "src" / name, 21 * MIB, seed=name)
    child = box.start_cp("--no-progress", "--chunk-size", "5MiB", "--slots", 1, "--uploaders", 1, *store.args, source, f"{store.dest}/{name}", env=store.env)
    box.faults.wait("complete_sent.chunk", 60, meanwhile=lambda: child.poll() is None)
    upload = [r["upload"] for r in box.records("begin") if r["dest"].endswith(f"/{name}")][-1]
    wait_for(lambda: len([r for r in box.records("chunk") if r["upload"] == upload]) >= 2, 20, "two chunks are recorded")
    wait_for(lambda: [is_stopped(pid) for pid in box.processes("chunklift-uploader")] == [True], 20, "the uploader is stopped")
    return child


def kill(box, child):
    while box.processes():
        box.kill_all()
    child.wait()


def go_on(box, child):
    box.kill_all("chunklift-uploader", signal.SIGCONT)
    assert child.wait(60) == 0, child.log.read_text()
    box.gone()


def test_an_upload_is_listed_then_aborted(box, store):
    """Without --yes nothing changes, and the line says what would be lost. The abort is a record."""
    kill(box, start_stopped(box, store))
    left = store.left()
    done = box.run("gc", "--journal", box.journal, env=store.env)
    upload = box.records("begin")[0]["upload"]
    line = rf"would abort: {re.escape(store.dest)}/big  {upload}  age [\d:]+  unfinished, [23] of 5 chunks \(1[05] MiB\) would be lost\n"
    assert re.fullmatch(line, done.stdout), done.stdout
    assert done.stderr.startswith("1 upload would be aborted, with ") and done.stderr.endswith("; --yes aborts\n")
    assert store.left() == left and len(left) == 1 and not box.records("abort")
    done = box.run("gc", "--journal", box.journal, "--yes", env=store.env)
    assert re.fullmatch(line.replace("would abort", "aborted").replace("would be lost", "lost"), done.stdout), done.stdout
    assert done.stderr.startswith("1 upload aborted, with ")
    assert store.left() == [] and [(r["upload"], r["reason"]) for r in box.records("abort")] == [(upload, "dropped")]
    done = box.run("gc", "--journal", box.journal, "--yes", env=store.env)
    assert done.stdout == "" and done.stderr == "nothing to abort\n"


def test_another_store_does_not_end_an_upload(box, bucket):
    """A store that does not know the upload would answer as if it was aborted."""
    kill(box, start_stopped(box, bucket))
    with MemoryStore() as other:
        assert gc(box, "--yes", "--endpoint-url", other.endpoint, env=bucket.env) == [] and not other.requests
    assert [e["event"] for e in gc(box, "--yes", *bucket.args, env=bucket.env)] == ["aborted"]
    assert bucket.left() == []


def test_the_next_cp_sends_the_whole_file(box, store):
    kill(box, start_stopped(box, store))
    assert [e["event"] for e in gc(box, "--yes", env=store.env)] == ["aborted"]
    box.cp("--chunk-size", "5MiB", *store.args, box.dir / "src" / "big", f"{store.dest}/big", env=store.env)
    finished = box.records("finish")[0]["upload"]
    assert sorted(r["chunk"] for r in box.records("chunk") if r["upload"] == finished) == [0, 1, 2, 3, 4]
    assert store.left() == [] and store.objects() == {"big"}


def test_uploads_of_others_and_of_a_running_command_stay(box, store):
    """The upload of a killed cp is aborted beside that of a running one, which goes on and ends well."""
    kill(box, start_stopped(box, store))
    foreign = store.create_foreign()
    running = start_stopped(box, store, "running")
    told = gc(box, env=store.env)
    assert {(e["dest"].rsplit("/", 1)[1], e["event"]) for e in told} == {("big", "would-abort"), ("running", "in-use")}
    told = gc(box, "--yes", env=store.env)
    assert {(e["dest"].rsplit("/", 1)[1], e["event"]) for e in told} == {("big", "aborted"), ("running", "in-use")}
    assert foreign in store.left() and len(store.left()) == 2
    go_on(box, running)
    assert store.left() == [foreign] and store.objects() == {"running"}


def test_only_uploads_under_the_named_destination_and_old_ones(box, store):
    kill(box, start_stopped(box, store))
    assert gc(box, "--older-than", "1h", env=store.env) == []
    assert gc(box, f"{store.dest}/bi", env=store.env) == []
    assert [e["reason"] for e in gc(box, store.dest, env=store.env)] == ["unfinished"]
    wait_for(lambda: gc(box, "--older-than", "1s", f"{store.dest}/big", env=store.env), 20, "it is a second old")


def test_a_forgotten_upload_is_left_alone(box, store):
    kill(box, start_stopped(box, store))
    box.run("journal", "forget", "--unfinished", "--keep-parts", box.records("begin")[0]["upload"], box.journal, env=store.env)
    assert gc(box, "--yes", env=store.env) == [] and len(store.left()) == 1


def test_an_upload_that_cannot_be_aborted(box, bucket):
    kill(box, start_stopped(box, bucket))
    done = box.run("gc", "--journal", box.journal, "--yes", env={**bucket.env, "AWS_SECRET_ACCESS_KEY": "wrong"}, status=1)
    assert done.stdout == "" and "/big: its upload cannot be aborted: " in done.stderr and "1 could not be aborted" in done.stderr
    assert len(bucket.left()) == 1


def test_all_aborts_unknown_uploads_that_are_old_enough(box, bucket):
    """More than one page of them, beside a running upload of this journal that is as old."""
    running = start_stopped(box, bucket, "running")
    foreign = {bucket.create_foreign(f"foreign/{i}") for i in range(205)}
    beside = bucket.rgw.s3.create_multipart_upload(Bucket="bucket", Key=f"{bucket.prefix}-beside")["UploadId"]
    args = ("--all", *bucket.args, bucket.dest)
    assert [e["event"] for e in gc(box, *args, "--older-than", "1h", env=bucket.env)] == []

    def old_enough():
        told = gc(box, *args, "--older-than", "1s", env=bucket.env)
        assert [e["reason"] for e in told if e["event"] == "in-use"] in ([], ["unfinished"])
        return {e["handle"] for e in told if e["event"] == "would-abort"} == foreign
    wait_for(old_enough, 90, "all are a second old")
    told = gc(box, *args, "--older-than", "1s", "--yes", env=bucket.env)
    assert {e["handle"] for e in told if e["event"] == "aborted"} == foreign and len([e for e in told if e["event"] == "aborted"]) == 205
    assert len(bucket.left()) == 1
    go_on(box, running)
    assert bucket.left() == [] and bucket.objects() == {"running"}
    bucket.rgw.s3.abort_multipart_upload(Bucket="bucket", Key=f"{bucket.prefix}-beside", UploadId=beside)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.crash)])
def test_nothing_is_left_after_kills(box, store, kills):
    """All processes are killed after a random number of records, many times. Then gc leaves nothing of ours; a foreign upload and a running one stay."""
    rng = random.Random(kills)
    foreign = store.create_foreign()
    sources = [random_file(box.dir / "tree" / f"f{i}", size, seed=i) for i, size in enumerate((6 * MIB, 11 * MIB, 70_000, 5))]
    for n in range(kills):
        before, wanted = lines_of(box), rng.randrange(1, 14)
        child = box.start_cp("--no-progress", "--chunk-size", "5MiB", *store.args, "-r", sources[0].parent, f"{store.dest}/{n}", env=store.env)
        wait_for(lambda: lines_of(box) >= before + wanted or child.poll() is not None, 60, "the journal grows", every=0.001)
        kill(box, child)
    running = start_stopped(box, store, "running")
    told = gc(box, "--yes", env=store.env)
    assert {e["event"] for e in told} <= {"aborted", "in-use"} and [e["dest"] for e in told if e["event"] == "in-use"] == [f"{store.dest}/running"]
    left = store.left()
    assert foreign in left and len(left) == 2, left
    go_on(box, running)
    assert store.left() == [foreign]


@pytest.mark.parametrize("args, said, status", [
    (["gopher://x"], "gopher://x: ", 2),
    (["--all"], "--all: lists a store; name a DEST at s3://", 2),
    (["--all", "--older-than", "1h", "somewhere"], "--all: lists a store; name a DEST at s3://", 2),
    (["--all", "s3://bucket/x"], "give the least age with --older-than", 2),
    (["--older-than", "0"], "--older-than 0: ", 2),
    (["--journal", "empty"], "no journal in this directory", 3),
    (["--journal", "j", "--consumer", "ipc:///x"], "--journal and --consumer: use one of them", 2),
])
def test_wrong_use_gets_one_line(box, args, said, status):
    box.cp(random_file(box.dir / "f", 10), box.dir / "g")
    (box.dir / "empty").mkdir()
    journal = [] if "--journal" in args else ["--journal", box.journal]
    done = box.run("gc", *journal, *args, status=status)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and said in done.stderr, done.stderr


def test_a_store_that_does_not_list(box, bucket):
    box.cp(random_file(box.dir / "f", 10), box.dir / "g")
    done = box.run("gc", "--journal", box.journal, "--all", "--older-than", "1h", *bucket.args, "s3://no-such-bucket/x", env=bucket.env, status=1)
    assert done.stdout == "" and "its multipart uploads cannot be listed: " in done.stderr
    assert os.listdir(box.journal)
