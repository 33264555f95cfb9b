"""chunklift verify: objects that differ from their record are found, at real stores and in a directory, and an interrupted run continues."""

import json
import os
import signal
import threading

import pytest

from servers.memory_store import MemoryStore
from support.box import no_signal_waits, random_file, wait_for
from support.gate import Gate

MIB = 1 << 20


@pytest.fixture(params=["rgw", pytest.param("minio", marks=pytest.mark.interop), pytest.param("versitygw", marks=pytest.mark.interop)])
def store(request):
    return request.getfixturevalue(request.param)


def verify(box, *args, status=0, env=None):
    """The differences, as {name of the object: event}."""
    done = box.run("verify", "--journal", box.journal, "--json", *args, status=status, env=env)
    return {d["dest"].rsplit("/", 1)[1]: d["event"] for d in map(json.loads, done.stdout.splitlines())}


def tree(box, count=6, large=True):
    for i in range(count):
        random_file(box.dir / "src" / f"f{i}", 1000 + i, seed=i)
    if large:
        random_file(box.dir / "src" / "large", 11 * MIB, seed=99)
    return box.dir / "src"


def overwrite(path, at, what=b"XYZ"):
    before = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(what)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# ---- a directory -----------------------------------------------------------------------------------------------


def test_a_directory_that_is_as_recorded(box):
    box.cp("-r", tree(box), box.dir / "dst")
    assert verify(box) == {} and verify(box, "--read") == {}
    assert "7 objects compared" in box.run("verify", "--journal", box.journal).stderr


def test_what_happened_to_files(box):
    """Missing and shortened files are found by their attributes; other bytes of the same size, with the old mtime, only by reading."""
    dst = box.dir / "dst"
    box.cp("-r", tree(box), dst)
    (dst / "f0").unlink()
    os.truncate(dst / "f1", 5)
    overwrite(dst / "f2", 7)
    overwrite(dst / "large", 9 * MIB)
    seen = {"f0": "missing", "f1": "size"}
    assert verify(box, status=1) == seen
    assert verify(box, "--read", status=1) == seen | {"f2": "checksum", "large": "checksum"}


def test_the_chunk_that_differs_is_named(box):
    dst = box.dir / "dst"
    box.cp("--chunk-size", "4MiB", tree(box) / "large", dst)
    overwrite(dst, 5 * MIB)
    lines = box.run("verify", "--journal", box.journal, "--read", status=1).stdout.splitlines()
    assert len(lines) == 1 and "chunk 1 (bytes 4194304 to 8388607): crc32c " in lines[0], lines


def test_only_the_newest_record_of_a_destination_counts(box):
    src, dst = tree(box), box.dir / "dst"
    box.cp("-r", src, dst)
    random_file(src / "f0", 77, seed=500)
    box.cp("-r", src, dst)
    assert verify(box, "--read") == {}
    (dst / "f0").write_bytes(b"")
    assert verify(box, status=1) == {"f0": "size"}


def test_a_forgotten_object_is_not_compared(box):
    dst = box.dir / "dst"
    box.cp("-r", tree(box), dst)
    (dst / "f0").unlink()
    box.run("journal", "forget", "--journal", box.journal, dst / "f0")
    assert verify(box) == {}


def test_only_objects_under_the_named_destinations(box):
    src = tree(box, large=False)
    for name in ("a", "b", "c"):
        box.cp("-r", src, f"{box.dir}/{name}/")
        (box.dir / name / "f0").unlink()
    done = box.run("verify", "--journal", box.journal, box.dir / "a", f"file://{box.dir}/c/f0", status=1)
    assert sorted(line.split(":")[2].rsplit("/", 2)[1] for line in done.stdout.splitlines()) == ["a", "c"]
    assert "7 objects compared" in done.stderr


def test_a_journal_that_was_shortened(box):
    """Carried records count, in place of the files that are gone. They have no chunks, so the whole object is compared."""
    src, dst = tree(box, 60), box.dir / "dst"
    consumer = box.start("--rotate", "8KiB", "--journal", box.journal, program="chunklift-consumer")
    wait_for((box.journal / "consumer").exists, what="the consumer runs")
    box.cp(src / "large", f"{dst}/")
    box.cp("-r", src, dst)
    random_file(src / "f0", 77, seed=500)
    box.cp("-r", src, dst)
    consumer.terminate()
    assert consumer.wait(20) == 0
    box.run("journal", "retire", "--remove", box.journal)
    assert [r["kind"] for r in box.records("carry") if r.get("size") == 11 * MIB] == ["finished"] and not box.records("finish")
    assert verify(box, "--read") == {}
    overwrite(dst / "large", 9 * MIB)
    assert verify(box, "--read", status=1) == {"large": "checksum"}


def test_a_manifest_of_another_journal(box):
    dst = box.dir / "dst"
    box.cp("-r", tree(box), dst)
    manifest = box.dir / "manifest"
    manifest.write_text(box.run("journal", "export", box.journal).stdout)
    overwrite(dst / "f2", 7)
    (dst / "f0").unlink()
    box.journal = box.dir / "other"
    box.cp(random_file(box.dir / "more", 10), box.dir / "more2")
    assert verify(box, "--read", "--manifest", manifest, status=1) == {"f0": "missing", "f2": "checksum"}


def test_a_directory_in_the_place_of_a_file(box):
    dst = box.dir / "dst"
    box.cp("-r", tree(box, large=False), dst)
    (dst / "f0").unlink()
    (dst / "f0").mkdir()
    assert verify(box, status=1) == {"f0": "missing"}


# ---- stores ----------------------------------------------------------------------------------------------------


def upload(box, store, **kw):
    prefix = f"verify/{box.mark}"
    box.cp("--endpoint-url", store.endpoint, "-r", tree(box), f"s3://bucket/{prefix}", env=store.env, **kw)
    return prefix


def test_a_store_that_is_as_recorded(box, store):
    upload(box, store)
    assert verify(box, env=store.env) == {} and verify(box, "--read", env=store.env) == {}


def test_what_happened_to_objects(box, store):
    """Removed; shortened; other bytes of the same size, also with the metadata of the first object."""
    prefix = upload(box, store)
    store.s3.delete_object(Bucket="bucket", Key=f"{prefix}/f0")
    store.s3.put_object(Bucket="bucket", Key=f"{prefix}/f1", Body=b"short")
    store.s3.put_object(Bucket="bucket", Key=f"{prefix}/f2", Body=b"x" * 1002)
    old = store.s3.head_object(Bucket="bucket", Key=f"{prefix}/f3")["Metadata"]
    store.s3.put_object(Bucket="bucket", Key=f"{prefix}/f3", Body=b"x" * 1003, Metadata=old)
    store.s3.put_object(Bucket="bucket", Key=f"{prefix}/large", Body=b"x" * (11 * MIB))
    wanted = {"f0": "missing", "f1": "replaced", "f2": "replaced", "large": "replaced"}
    found = verify(box, env=store.env, status=1)
    assert found.pop("f3") in ("etag", "checksum") and found == wanted
    found = verify(box, "--read", f"s3://bucket/{prefix}", env=store.env, status=1)
    assert found.pop("f3") in ("etag", "checksum") and found == wanted


def test_bytes_that_a_store_changed_are_found_by_reading(box):
    """Size, ETag and metadata are the recorded ones; only the bytes differ. The store also ignores Range."""
    with MemoryStore() as store:
        box.cp("--endpoint-url", store.endpoint, "--chunk-size", "5MiB", tree(box) / "large", "s3://bucket/x", env=store.env)
        body = bytearray(store.objects["x"]["body"])
        body[6 * MIB] ^= 1
        store.objects["x"]["body"] = bytes(body)
        assert verify(box, env=store.env) == {}
        done = box.run("verify", "--journal", box.journal, "--read", env=store.env, status=1)
    assert done.stdout.count("\n") == 1 and done.stdout.startswith("checksum: s3://bucket/x: chunk 1 (bytes 5242880 to 10485759): "), done.stdout


def test_an_object_that_the_store_refuses_to_show(box, rgw):
    """It is an error, not a difference; the others are compared."""
    def moment(request):
        return 403 if request.method == "HEAD" and request.path.endswith("/f1") else None

    prefix = upload(box, rgw)
    with Gate(rgw.port, moment) as gate:
        done = box.run("verify", "--journal", box.journal, "--endpoint-url", gate.endpoint, "--uploaders", "1", f"s3://bucket/{prefix}", env=rgw.env, status=1)
    assert done.stdout == "" and "/f1: cannot be compared: " in done.stderr and "6 objects compared" in done.stderr and "1 could not be compared" in done.stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_continues(box, rgw, sig):
    """The second run asks only about the objects that the first one did not compare, and counts the differences of both."""
    count, asked, hold = 60, [], threading.Event()
    prefix = f"verify/{box.mark}"
    box.cp("--endpoint-url", rgw.endpoint, "-r", tree(box, count, large=False), f"s3://bucket/{prefix}", env=rgw.env)
    order = [r["dest"].rsplit("/", 1)[1] for r in box.records("put")]
    rgw.s3.delete_object(Bucket="bucket", Key=f"{prefix}/{order[0]}")

    def moment(request):
        if request.method == "HEAD" and request.stage == "head":
            asked.append(request.path.rsplit("/", 1)[1])
            if len(asked) > 40:
                hold.wait(60)

    with Gate(rgw.port, moment) as gate:
        args = ("verify", "--journal", box.journal, "--endpoint-url", gate.endpoint, "--slots", "4")
        child = box.start(*args, env=rgw.env)
        position = box.journal / "verify"
        wait_for(lambda: position.exists() and "\ncompared 0\n" not in position.read_text() and len(asked) > 40, 30, "some objects are compared")
        child.send_signal(sig)
        if sig == signal.SIGINT:
            hold.set()
        child.wait(30)
        hold.set()
        assert sig == signal.SIGKILL or child.log.read_text().endswith("\ninterrupted; the same command continues\n")
        wait_for(lambda: not box.processes("chunklift-uploader"), 30, "the uploaders end")
        first = len(asked)
        asked.clear()
        done = box.run(*args, env=rgw.env, status=1)
    assert "continuing an interrupted run" in done.stderr and f"{count} objects compared" in done.stderr and "1 differs" in done.stderr
    assert 0 < len(asked) < count and first < 2 * count
    assert order[0] not in asked and not position.exists()
    assert verify(box, "--from-start", env=rgw.env, status=1) == {order[0]: "missing"}


def test_an_interrupted_run_without_a_position_says_so(box):
    """With --consumer no position is kept."""
    asked, hold = [], threading.Event()

    def before(request):
        asked.append(request)
        hold.wait(60)

    with MemoryStore() as store:
        box.cp("--endpoint-url", store.endpoint, "-r", tree(box, large=False), "s3://bucket/x/", env=store.env)
        consumer = box.start("--journal", box.journal, program="chunklift-consumer")
        wait_for((box.journal / "consumer").exists, what="the consumer runs")
        endpoint = (box.journal / "consumer").read_text().splitlines()[0]
        store.before = before
        child = box.start("verify", "--consumer", endpoint, "--endpoint-url", store.endpoint, env=store.env)
        wait_for(lambda: asked, what="a question reaches the store")
        child.send_signal(signal.SIGINT)
        wait_for(lambda: no_signal_waits(child), what="it took the signal")
        hold.set()
        assert child.wait(60) == 128 + signal.SIGINT
        assert child.log.read_text().endswith("\ninterrupted; the same command compares all again\n")
        consumer.terminate()
        assert consumer.wait(60) == 0


@pytest.mark.parametrize("reads", [(), ("--read",)], ids=["head", "read"])
def test_results_are_recorded(box, reads):
    """One `verified` line for each object that was compared. Journal, status and later runs are as before."""
    dst = box.dir / "dst"
    box.cp("-r", tree(box), dst)
    (dst / "f0").unlink()
    (dst / "f1").write_bytes(b"short")
    verify(box, "--record", *reads, status=1)
    found = {r["dest"].rsplit("/", 1)[1]: (r["found"], r["how"]) for r in box.records("verified")}
    assert found.pop("f0") == ("missing", "head") and found.pop("f1") == ("size", "head")
    assert len(found) == 5 and set(found.values()) == {("same", "read" if reads else "head")}
    uploads = {r["dest"]: r["upload"] for r in box.records("put") + box.records("finish")}
    assert all(uploads[r["dest"]] == r["upload"] for r in box.records("verified"))
    box.run("journal", "verify", "--journal", box.journal)
    assert "7 finished" in box.run("journal", "show", "--journal", box.journal).stdout.splitlines()[-1]
    count = len(box.records())
    verify(box, status=1)
    assert len(box.records("verified")) == 7 and len(box.records()) - count <= 4  # epoch and stop
    for more in (["--manifest", "m"], ["--endpoint-url", "http://127.0.0.1:9"]):
        assert "--record: " in box.run("verify", "--journal", box.journal, "--record", *more, status=2).stderr


# ---- a standing fleet, and wrong use ----------------------------------------------------------------------------


def test_a_running_consumer_and_a_copy_at_the_same_time(box):
    """verify joins the consumer of a cp that is under way."""
    dst = box.dir / "dst"
    box.cp("-r", tree(box), dst)
    consumer = box.start("--journal", box.journal, program="chunklift-consumer")
    wait_for((box.journal / "consumer").exists, what="the consumer runs")
    (dst / "f0").unlink()
    assert verify(box, status=1) == {"f0": "missing"}
    random_file(box.dir / "src" / "new", 2000, seed=7)
    box.cp("-r", box.dir / "src", dst)
    assert verify(box, status=0) == {}
    assert not [r for r in box.records() if r["ev"] in ("fail", "abort")]
    consumer.terminate()
    assert consumer.wait(20) == 0


@pytest.mark.parametrize("args, said, status", [
    (["gopher://x"], "gopher://x: ", 2),
    (["--journal", "j", "--consumer", "ipc:///x"], "--journal and --consumer: use one of them", 2),
    (["--slots", "0"], "--slots 0: ", 2),
    (["--manifest", "absent"], "absent: No such file or directory", 3),
    (["--manifest", "broken"], "broken:1: not a line of 'chunklift journal export'", 3),
    (["--manifest", "pipe"], "pipe: not a regular file, and it is read twice", 2),
    (["s3://nowhere/x"], "s3://nowhere/x: no finished object there in the journal", 1),
])
def test_wrong_use_gets_one_line(box, args, said, status):
    box.cp(random_file(box.dir / "f", 10), box.dir / "g")
    os.mkfifo(box.dir / "pipe")
    (box.dir / "broken").write_text('{"dest":"file:///x","size":1}\n')
    journal = [] if "--journal" in args else ["--journal", box.journal]
    done = box.run("verify", *journal, *args, status=status)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and said in done.stderr, done.stderr


def test_a_directory_without_a_journal(box):
    (box.dir / "empty").mkdir()
    for name, said in (("empty", "no journal in this directory"), ("absent", "no such journal directory")):
        done = box.run("verify", "--journal", box.dir / name, status=3)
        assert said in done.stderr and len(done.stderr.splitlines()) == 1
