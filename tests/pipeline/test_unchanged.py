"""--size-only, --checksum, --check-dest and --ignore-existing: which files of a second run are unchanged."""

import json
import os

import pytest

from servers.memory_store import CUT, Answer, MemoryStore
from support.box import random_file

MIB = 1 << 20

NAMES = ("touched", "other bytes", "hidden", "larger", "new")


def sources(box):
    """A tree that was uploaded, and then changed in every way."""
    src = box.dir / "src"
    for number, name in enumerate(NAMES[:4]):
        random_file(src / name, 5000, seed=number)
        os.utime(src / name, (1_600_000_000, 1_600_000_000))
    box.cp("-r", src, f"{box.dir}/out/")
    os.utime(src / "touched", (1_700_000_000, 1_700_000_000))
    random_file(src / "other bytes", 5000, seed=10)
    random_file(src / "hidden", 5000, seed=11)  # of the same size and time
    os.utime(src / "hidden", (1_600_000_000, 1_600_000_000))
    random_file(src / "larger", 5001, seed=12)
    random_file(src / "new", 5000, seed=13)
    return src


@pytest.mark.parametrize("options, unchanged", [
    ((), set()), (("--size-only",), {"touched", "other bytes", "hidden"}), (("--checksum",), {"touched"}),
], ids=["by times", "by size", "by content"])
def test_what_is_unchanged(box, options, unchanged):
    src = sources(box)
    said = box.cp("-n", *options, "-r", src, f"{box.dir}/out/").stdout.splitlines()
    assert {name for name in NAMES if f"skip (journal): {src}/{name} to file://{box.dir}/out/{name}" in said} == unchanged
    done = box.cp(*options, "-r", src, f"{box.dir}/out/")
    assert f"{len(NAMES) - len(unchanged)} files uploaded" in done.stderr
    for name in NAMES:
        same = (src / name).read_bytes() == (box.dir / "out" / name).read_bytes()
        assert same == (name not in unchanged or name == "touched"), name
    assert ("of them verified by content: read, the same bytes as recorded" in done.stderr) == (options == ("--checksum",))


def test_a_tree_that_was_moved_is_unchanged_by_content(box):
    src = box.dir / "src"
    for number in range(3):
        random_file(src / f"f{number}", 100_000 * number, seed=number)
    box.cp("-r", src, f"{box.dir}/out/")
    src.rename(box.dir / "moved")
    records = len(box.records("put"))
    assert "3 unchanged" in box.cp("--checksum", "-r", box.dir / "moved", f"{box.dir}/out/").stderr
    assert "3 unchanged" in box.cp("--size-only", "-r", box.dir / "moved", f"{box.dir}/out/").stderr
    assert len(box.records("put")) == records
    assert "3 files uploaded" in box.cp("-r", box.dir / "moved", f"{box.dir}/out/").stderr


def test_an_object_that_is_gone_is_sent_again(box):
    src = random_file(box.dir / "f", 100)
    box.cp(src, box.dir / "copy")
    (box.dir / "copy").unlink()
    for option in ("--checksum", "--size-only"):
        assert "1 file uploaded" in box.cp(option, src, box.dir / "copy").stderr
        (box.dir / "copy").unlink()


@pytest.mark.parametrize("large", [False, True], ids=["put", "multipart"])
def test_objects_that_are_gone_or_replaced_are_sent_again(box, rgw, large):
    src = box.dir / "src"
    names = ("still there", "deleted", "cut", "replaced")
    for number, name in enumerate(names):
        random_file(src / name, (6 * MIB if large else 0) + 1000, seed=number)
    prefix = f"check{large}/"
    args = ("--endpoint-url", rgw.endpoint, "--chunk-size", "5MiB", "-r", src, f"s3://bucket/{prefix}")
    box.cp(*args, env=rgw.env)
    rgw.s3.delete_object(Bucket="bucket", Key=prefix + "deleted")
    rgw.s3.put_object(Bucket="bucket", Key=prefix + "cut", Body=b"x" * 999)
    rgw.s3.put_object(Bucket="bucket", Key=prefix + "replaced", Body=b"x" * (src / "replaced").stat().st_size)
    assert "4 unchanged" in box.cp(*args, env=rgw.env).stderr
    done = box.cp("--check-dest", *args, env=rgw.env)
    assert "3 files uploaded" in done.stderr and "1 unchanged" in done.stderr
    for name, difference in (("deleted", "is missing"), ("cut", "has another size"), ("replaced", "was replaced, its ETag is another one")):
        assert f"chunklift: s3://bucket/{prefix}{name}: {difference}; it is sent again\n" in done.stderr
    for name in names:
        out = box.dir / "back"
        rgw.get_object(prefix + name, out)
        assert out.read_bytes() == (src / name).read_bytes(), name
    assert "4 unchanged" in box.cp("--check-dest", *args, env=rgw.env).stderr


def test_unchanged_objects_are_only_looked_at(box):
    """A look that is offered twice can be done twice."""
    src = box.dir / "src"
    src.mkdir()
    for number in range(300):
        (src / f"f{number}").write_bytes(b"x" * number)
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, "-r", src, "s3://bucket/p/")
        box.cp(*args, env=store.env)
        store.requests.clear()
        done = box.cp("--check-dest", *args, env=store.env)
        assert "300 unchanged" in done.stderr and "300 skipped: the journal shows them uploaded, and the destination has them" in done.stderr
        assert {r.kind for r in store.requests} == {"head"} and len({r.key for r in store.requests}) == 300
        store.objects.clear()
        store.requests.clear()
        assert "300 files uploaded" in box.cp("--check-dest", *args, env=store.env).stderr
        assert len(store.objects) == 300


def test_a_store_that_cannot_be_asked_fails_the_file(box):
    src = random_file(box.dir / "f", 100)
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, src, "s3://bucket/f")
        box.cp(*args, env=store.env)
        store.before = lambda request: Answer(403) if request.kind == "head" else None
        done = box.cp("--check-dest", *args, env=store.env, status=1)
        assert "0 files uploaded" in done.stderr and "1 failed" in done.stderr
        store.before = None
        assert "1 unchanged" in box.cp("--check-dest", *args, env=store.env).stderr


def test_existing_objects_are_left_as_they_are(box, rgw):
    src = box.dir / "src"
    for name, size in (("theirs", 10), ("new", 20), ("large", 6 * MIB), ("large and theirs", 6 * MIB)):
        random_file(src / name, size)
    for name in ("theirs", "large and theirs"):
        rgw.s3.put_object(Bucket="bucket", Key=f"existing/{name}", Body=b"of another program")
    args = ("--endpoint-url", rgw.endpoint, "--chunk-size", "5MiB", "--ignore-existing", "-r", src, "s3://bucket/existing/")
    done = box.cp(*args, env=rgw.env)
    assert "2 files uploaded" in done.stderr and "0 unchanged, 2 existing, 0 failed" in done.stderr
    assert "2 skipped: there is an object at the destination (--ignore-existing)" in done.stderr
    for name in ("theirs", "large and theirs"):
        rgw.get_object(f"existing/{name}", box.dir / "back")
        assert (box.dir / "back").read_bytes() == b"of another program"
    assert "0 files uploaded" in box.cp(*args, env=rgw.env).stderr
    rgw.s3.delete_object(Bucket="bucket", Key="existing/new")  # the journal shows it
    assert "1 file uploaded" in box.cp(*args, env=rgw.env).stderr
    rgw.get_object("existing/new", box.dir / "back")
    assert (box.dir / "back").read_bytes() == (src / "new").read_bytes()


def test_existing_files_in_a_directory_are_left_as_they_are(box):
    src = random_file(box.dir / "src" / "f", 100).parent
    random_file(src / "g", 100)
    (box.dir / "out").mkdir()
    (box.dir / "out" / "f").write_bytes(b"theirs")
    events = [json.loads(line) for line in box.cp("--json", "--ignore-existing", "-r", src, f"{box.dir}/out/").stdout.splitlines()]
    assert [(e["path"], e["existing"]) for e in events if e["event"] == "file_skipped"] == [(str(src / "f"), True)]
    assert events[-1]["files_existing"] == events[-1]["files_skipped"] == events[-1]["files_done"] == 1
    assert (box.dir / "out" / "f").read_bytes() == b"theirs" and (box.dir / "out" / "g").exists()


def test_an_unfinished_upload_goes_on_where_no_object_is(box):
    src = random_file(box.dir / "f", 11 * MIB)
    with MemoryStore() as store:
        args = ("--endpoint-url", store.endpoint, "--chunk-size", "5MiB", "--ignore-existing", src, "s3://bucket/f")
        store.before = lambda request: CUT if request.kind == "chunk" and request.part == 3 else None
        box.cp("--retry-for", "1s", *args, env=store.env, status=1)
        store.before = None
        assert "1 file uploaded (1 MiB)" in box.cp(*args, env=store.env).stderr
        assert [r.kind for r in store.requests].count("begin") == 1


@pytest.mark.parametrize("skips", [False, True], ids=["fails", "skipped"])
def test_objects_made_during_the_run_are_kept(box, skips):
    """They appear after the look of --ignore-existing, and while the parts are sent."""
    src = box.dir / "src"
    for name, size in (("small", 10), ("large", 11 * MIB), ("free", 10), ("free and large", 6 * MIB)):
        random_file(src / name, size)

    def before(request):
        if request.kind in ("put", "finish") and "free" not in request.key:
            store.objects.setdefault(request.key, {"body": b"theirs", "meta": {}, "etag": "e"})

    with MemoryStore(before) as store:
        args = ("--endpoint-url", store.endpoint, "--integrity", "none", "--chunk-size", "5MiB", "--if-none-match", *(["--ignore-existing"] if skips else []), "-r", src, "s3://bucket/p/")
        done = box.cp(*args, env=store.env, status=0 if skips else 1)
        assert "2 files uploaded" in done.stderr and ("2 existing, 0 failed" if skips else "0 unchanged, 2 failed") in done.stderr
        assert {store.objects[f"p/{name}"]["body"] for name in ("small", "large")} == {b"theirs"}
        assert store.objects["p/free and large"]["body"] == (src / "free and large").read_bytes()
        assert not store.uploads  # its parts were removed
        assert {r.get("class") for r in box.records("fail")} == {"exists"}
        assert all(r.headers.get("if-none-match") == "*" for r in store.requests if r.kind in ("put", "finish"))


def test_an_existing_object_says_nothing_about_checks(box, rgw):
    """The first request to a store has a wrong digest, to see whether it is refused. One that meets an object is not taken for an answer."""
    rgw.s3.put_object(Bucket="bucket", Key="checks/a", Body=b"theirs")
    for name in "ab":
        random_file(box.dir / "src" / name, 10)
    args = ("--endpoint-url", rgw.endpoint, "--slots", "1", "--uploaders", "1", "--if-none-match", "-r", box.dir / "src", "s3://bucket/checks/")
    assert "1 file uploaded" in box.cp(*args, env=rgw.env, status=1).stderr
    assert [r["integrity"] for r in box.records("put")] == ["sha256"] and {r["class"] for r in box.records("fail")} == {"exists"}


def test_a_real_store_keeps_its_object(box, rgw):
    """Ceph 16 knows the header for objects that are made by one request."""
    src = random_file(box.dir / "f", 10)
    rgw.s3.put_object(Bucket="bucket", Key="kept/f", Body=b"theirs")
    args = ("--endpoint-url", rgw.endpoint, "--if-none-match", src, "s3://bucket/kept/f")
    done = box.cp(*args, env=rgw.env, status=1)
    assert f"chunklift: {src}: there is an object at its destination, which --if-none-match keeps\n" in done.stderr
    assert "1 existing, 0 failed" in box.cp("--ignore-existing", *args, env=rgw.env).stderr
    rgw.s3.delete_object(Bucket="bucket", Key="kept/f")
    assert "1 file uploaded" in box.cp(*args, env=rgw.env).stderr


@pytest.mark.parametrize("size", [10, 11 * MIB], ids=["put", "multipart"])
def test_the_own_object_of_a_lost_reply_is_no_other_one(box, size):
    src = random_file(box.dir / "f", size)
    lost = []

    def before(request):
        if request.kind in ("put", "finish") and not lost:
            lost.append(request)
            with store.lock:
                store.answer(request)
            return CUT
        return None

    with MemoryStore(before) as store:
        done = box.cp("--endpoint-url", store.endpoint, "--integrity", "none", "--chunk-size", "5MiB", "--if-none-match", src, "s3://bucket/f", env=store.env)
        assert "1 file uploaded" in done.stderr and lost
        assert store.objects["f"]["body"] == src.read_bytes()


@pytest.mark.parametrize("size", [10, 300_000], ids=["put", "chunks"])
def test_a_file_in_a_directory_is_kept(box, size):
    src = random_file(box.dir / "src" / "f", size)
    args = ("--chunk-size", "65536", "--if-none-match", src, f"{box.dir}/out/")
    assert "1 file uploaded" in box.cp(*args).stderr
    (box.dir / "out" / "f").write_bytes(b"theirs")
    done = box.cp("--force", *args, status=1)
    assert f"{src}: file://{box.dir}/out/f: is there already, and --if-none-match keeps it" in done.stderr
    assert "1 existing, 0 failed" in box.cp("--force", "--ignore-existing", *args).stderr
    assert (box.dir / "out" / "f").read_bytes() == b"theirs" and [p.name for p in (box.dir / "out").iterdir()] == ["f"]


@pytest.mark.parametrize("options, line", [
    (("--size-only", "--checksum"), "--size-only, --checksum: each says alone when a file is unchanged; leave one out"),
    (("--force", "--checksum"), "--force: sends unchanged files too; leave it out, or --size-only, --checksum and --check-dest"),
    (("-n", "--check-dest"), "--dry-run: asks no store; leave out --check-dest and --ignore-existing"),
    (("-n", "--ignore-existing"), "--dry-run: asks no store; leave out --check-dest and --ignore-existing"),
    (("--check-dest", "--ignore-existing"), "--check-dest: replaces objects that --ignore-existing and --if-none-match leave; leave it out"),
    (("--check-dest", "--if-none-match"), "--check-dest: replaces objects that --ignore-existing and --if-none-match leave; leave it out"),
    (("--force", "--size-only"), "--force: sends unchanged files too; leave it out, or --size-only, --checksum and --check-dest"),
])
def test_contradictions_are_refused(box, options, line):
    src = random_file(box.dir / "f", 100)
    done = box.cp(*options, src, box.dir / "copy", status=2)
    assert done.stderr == f"chunklift: {line}\n" and not box.journal.exists()
