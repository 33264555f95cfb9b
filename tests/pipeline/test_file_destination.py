"""A file:// destination keeps permission bits, holes and names, and reports the attributes it cannot keep."""

import os
import stat

import pytest

from support.box import preloaded, random_file, sha256_of, wait_for

MIB = 1 << 20


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def temporary_files(directory):
    return [p for p in directory.glob(".chunklift-*") if p.suffix in (".part", ".put")]


@pytest.mark.parametrize("fetched", [False, True], ids=["in place", "fetched"])
def test_the_object_is_no_more_readable_than_its_source(box, fetched):
    src, out = box.dir / "src", box.dir / "out"
    for name, mode, size in (("secret", 0o600, 100), ("big", 0o640, 12 * MIB), ("tool", 0o4755, 100), ("sealed", 0o400, 100), ("none", 0o644, 0)):
        random_file(src / name, size).chmod(mode)
    old = os.umask(0o022)
    try:
        if fetched:
            endpoints = [f"ipc://{box.dir}/run/{name}" for name in ("consumer", "jobs", "data")]
            box.start("--journal", box.journal, "--bind", endpoints[0], program="chunklift-consumer")
            box.start("--consumer", endpoints[0], "--jobs", endpoints[1], "--allow", f"file://{out}/", program="chunklift-uploader")
            child = box.start("--consumer", endpoints[0], "--jobs", endpoints[1], "--data", endpoints[2], "--chunk-size", "1MiB", "-r", src,
                              f"{out}/", program="chunklift-producer")
        else:
            child = box.start_cp("--no-progress", "--bwlimit", "20MiB", "--chunk-size", "1MiB", "-r", src, f"{out}/")
    finally:
        os.umask(old)
    seen = set()
    while child.poll() is None:
        for file in temporary_files(out):
            try:
                seen.add((file.suffix, mode_of(file)))
            except FileNotFoundError:
                pass
    assert child.returncode == 0, child.log.read_text()
    # the last sample before the rename may show the final mode
    assert {m for suffix, m in seen if suffix == ".part"} <= {0o600, 0o640} and (".part", 0o600) in seen, seen
    assert {n.name: oct(mode_of(n)) for n in out.iterdir()} == {"secret": "0o600", "big": "0o640", "tool": "0o755", "sealed": "0o400", "none": "0o644"}


def allocated(path):
    return os.stat(path).st_blocks * 512


def test_holes_stay_holes(box):
    src, out = box.dir / "src", box.dir / "out"
    src.mkdir()
    with open(src / "chunks", "wb") as f:  # data at both ends and in the middle of a chunk
        f.truncate(96 * MIB)
        for at in (0, 50 * MIB + 4096, 96 * MIB - 5):
            f.seek(at)
            f.write(b"bytes")
    with open(src / "put", "wb") as f:
        f.truncate(4 * MIB)
        f.seek(MIB)
        f.write(b"bytes")
    with open(src / "nothing", "wb") as f:
        f.truncate(3 * MIB + 1)
    box.cp("--quiet", "--chunk-size", "8MiB", "-r", src, f"{out}/")
    for name in ("chunks", "put", "nothing"):
        assert sha256_of(out / name) == sha256_of(src / name), name
        assert allocated(out / name) <= MIB, (name, allocated(out / name))


def test_a_directory_that_cannot_be_synced_is_said_once(box):
    for n in range(3):
        random_file(box.dir / "src" / f"f{n}", 100, seed=n)
    done = box.cp("--uploaders", "1", "-r", box.dir / "src", f"{box.dir}/out/deep/", env=preloaded("nodirsync"), status=None)
    if "journal" in done.stderr and done.returncode == 3:  # the journal's own directory must be synced
        endpoint = f"ipc://{box.dir}/run/c"
        consumer = box.start("--journal", box.journal, "--bind", endpoint, program="chunklift-consumer")
        wait_for(lambda: "serving" in consumer.log.read_text(), what="a consumer that serves")
        done = box.run("cp", "--consumer", endpoint, "--uploaders", "1", "-r", box.dir / "src", f"{box.dir}/out/deep/", env=preloaded("nodirsync"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot sync a directory") == 1, done.stderr
    assert len(list((box.dir / "out" / "deep").iterdir())) == 3


def fold(box, how=""):
    return {**preloaded("fold_case"), "FOLD_CASE": how}


def failed(done):
    return sorted(line.split(": ")[1].rsplit("/src/", 1)[1] for line in done.stderr.splitlines() if line.startswith("chunklift: ") and "would " in line)


@pytest.mark.parametrize("how", ["keeps", "old"])
def test_two_names_that_are_one_at_the_destination(box, how):
    src, out = box.dir / "src", box.dir / "out"
    for n, name in enumerate(("FOO", "Foo", "foo", "Dir/x", "dir/x", "dir/y", "big", "BIG")):
        random_file(src / name, 3 * MIB if name.lower() == "big" else 10 + n, seed=n)
    args = ("--no-progress", "--uploaders", "1", "--chunk-size", "1MiB", "-r", src, f"{out}/")  # the simulated file system is not atomic
    done = box.cp(*args, env=fold(box, how), status=1)
    assert "would overwrite" in done.stderr
    names = failed(done)
    assert len(names) == 4 and {n.lower() for n in names} == {"foo", "dir/x", "big"}, done.stderr
    there = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and ".chunklift-" not in p.name)
    assert sorted(name.lower() for name in there) == ["big", "dir/x", "dir/y", "foo"]
    records = {r["src"]: r for r in box.records("put") + box.records("begin")}
    for name in ("FOO", "Foo", "foo", "big", "BIG"):  # each distinct name has its own bytes
        if name not in names:
            assert sha256_of(out / name) == sha256_of(src / name) and str(src / name) in records
    again = box.cp(*args, env=fold(box, how), status=1)
    assert failed(again) == names
    assert f"{8 - len(names)} skipped" in again.stderr, again.stderr


def test_a_changed_file_is_replaced_where_case_is_folded(box):
    src, out = random_file(box.dir / "src" / "Foo", 100), box.dir / "out"
    box.cp("--quiet", src, f"{out}/", env=fold(box))
    random_file(src, 200, seed=2)
    box.cp("--quiet", src, f"{out}/", env=fold(box))
    assert sha256_of(out / "Foo") == sha256_of(src)


def test_a_destination_that_changes_the_spelling(box):
    for n, name in enumerate(("FOO", "foo")):
        random_file(box.dir / "src" / name, 10 + n, seed=n)
    done = box.cp("--no-progress", "--uploaders", "1", "-r", box.dir / "src", f"{box.dir}/out/", env=fold(box, "lower"), status=1)
    assert failed(done) == ["FOO"], done.stderr
    assert sha256_of(box.dir / "out" / "foo") == sha256_of(box.dir / "src" / "foo")
