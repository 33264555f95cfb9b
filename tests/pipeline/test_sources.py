"""Sources with unusual timestamps, sizes or neighbouring files."""

import base64
import json
import os

import pytest

from support.box import check_chain, preloaded, random_file
from support.site import Site

ODD_MTIME = 1234567890  # tests/faults/odd_source.c acts on files with this mtime


def test_stamps_beyond_64_bits_of_nanoseconds_are_recorded_as_they_are(box):
    """A timestamp of a far year is exact in the records, after a consumer restart and in the export, and causes no new upload."""
    stamps = {"2300": 10413792000, "2446": 15032385535}
    for year, stamp in stamps.items():
        os.utime(random_file(box.dir / "src" / year, 9), (stamp, stamp))
    os.utime(random_file(box.dir / "src" / "big-2300", 9 << 20), (10413792000, 10413792000))
    if os.stat(box.dir / "src" / "2300").st_mtime != stamps["2300"]:
        pytest.skip("this file system has no such stamps")
    box.cp("-r", box.dir / "src", f"{box.dir}/out/")
    for name in (*stamps, "big-2300"):
        expected = str(os.stat(box.dir / "src" / name).st_mtime_ns)
        found = [r["mtime_ns"] for r in box.records() if r.get("src", "").endswith(f"/{name}") and "mtime_ns" in r]
        assert found and set(found) == {expected}
    assert "3 skipped" in box.cp("-r", box.dir / "src", f"{box.dir}/out/").stderr
    exported = [json.loads(line) for line in box.run("journal", "export", box.journal).stdout.splitlines()]
    assert {e["mtime_ns"] for e in exported} == {str(os.stat(p).st_mtime_ns) for p in (box.dir / "src").iterdir()}
    check_chain(box.journal)


@pytest.mark.parametrize("fetched", [False, True], ids=["read", "fetched"])
def test_content_that_is_not_as_long_as_the_size_says(box, fetched):
    """Files of /proc (size 0, with content) and of /sys (size of a page, less content) create no object and fail with the true reason."""
    sources = {"/proc/version": "more content than its size of 0 bytes", "/sys/kernel/uevent_seqnum": "shorter than its size"}
    site = Site(box) if fetched else None
    if site:
        site.uploader()
    for source, reason in sources.items():
        if not os.access(source, os.R_OK):
            continue
        done = site.upload(source, box.dir / "out" / "f", status=1) if site else box.cp(source, box.dir / "out" / "f", status=1)
        text = done.stderr if not site else done
        lines = [line for line in text.splitlines() if line.startswith(f"chunklift: {source}: ")]
        assert len(lines) == 1 and reason in lines[0] and "re-run" not in text, text
        assert [p.name for p in (box.dir / "out").glob("*")] == []


def test_what_is_left_out_of_a_tree_is_named(box):
    src = box.dir / "src"
    random_file(src / "file", 9)
    (src / "empty").mkdir()
    (src / "link").symlink_to("file")
    os.mkfifo(src / "fifo")
    kinds = {"empty": "empty directory", "link": "symbolic link", "fifo": "fifo"}
    quiet = box.cp("-r", src, f"{box.dir}/out/").stderr
    assert not [name for name in kinds if f"{src}/{name}" in quiet] and "1 link not followed" in quiet
    verbose = box.cp("-v", "-r", src, f"{box.dir}/out/").stderr.splitlines()
    events = [json.loads(line) for line in box.cp("--json", "-r", src, f"{box.dir}/out/").stdout.splitlines()]
    assert {e["path"]: e["what"] for e in events if e["event"] == "entry_skipped"} == {f"{src}/{n}": k for n, k in kinds.items()}
    for name, kind in kinds.items():
        assert len([line for line in verbose if f"{src}/{name}: {kind}, skipped" in line]) == 1, verbose


def test_the_journal_below_the_source_is_left_out(box):
    home = box.dir / "home"
    random_file(home / "work" / "file", 9)
    random_file(home / ".local" / "state" / "other", 9)
    box.journal = home / ".local" / "state" / "chunklift" / "journal"
    for skipped in (0, 2):
        done = box.cp("-r", home, f"{box.dir}/out/")
        assert done.stderr.count("is the journal of this command; it is not uploaded") == 1
        assert f"{2 - skipped} files uploaded" in done.stderr
        box.gone()
    assert sorted(p.name for p in (box.dir / "out").rglob("*") if p.is_file()) == ["file", "other"]


def test_a_file_in_a_directory_that_can_only_be_searched(box):
    folder = box.dir / "folder"
    source = random_file(folder / "file", 9)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    box.share_programs()
    for path in (box.dir / "home", box.dir / "run", box.dir / "state", box.dir):
        if user:
            os.chown(path, 65534, 65534)
    folder.chmod(0o311 if not user else 0o711)
    box.cp(source, box.dir / "out", **user)
    assert (box.dir / "out").read_bytes() == source.read_bytes()
    folder.chmod(0o755)


def verified(done):
    found = [line for line in done.stderr.splitlines() if "verified by content" in line]
    return int(found[0].split()[0]) if found else 0


def test_files_of_the_same_size_and_mtime_that_change_names(box):
    src = box.dir / "src"
    for n, name in enumerate(("a", "b", "big-a", "big-b", "still")):
        random_file(src / name, 9 << 20 if "big" in name else 100, seed=n)
        os.utime(src / name, (1577836800, 1577836800))
    box.cp("-r", src, f"{box.dir}/out/")
    for one, other in (("a", "b"), ("big-a", "big-b")):
        (src / one).rename(src / "t")
        (src / other).rename(src / one)
        (src / "t").rename(src / other)
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert "4 files uploaded" in done.stderr and "1 skipped" in done.stderr and verified(done) == 0
    for name in ("a", "b", "big-a", "big-b", "still"):
        assert (box.dir / "out" / name).read_bytes() == (src / name).read_bytes(), name
    check_chain(box.journal)


def test_a_file_with_another_ctime_is_read_once(box):
    """A file with another ctime is compared once, and the running consumer, a snapshot, the journal and a retired journal keep the result."""
    src = box.dir / "src"
    random_file(src / "small", 100)
    random_file(src / "big", 9 << 20)
    box.cp("-r", src, f"{box.dir}/out/")
    box.gone()
    for path in src.iterdir():
        path.chmod(0o600)
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert "0 files uploaded" in done.stderr and "2 skipped" in done.stderr and verified(done) == 2
    box.gone()
    same = box.records("same")
    assert {r["src"] for r in same} == {f"{src}/small", f"{src}/big"}
    assert {r["ctime_ns"] for r in same} == {str(os.stat(p).st_ctime_ns) for p in src.iterdir()}
    assert {r["crc"] for r in same} == {r["crc"] for r in box.records() if r["ev"] in ("put", "finish")}
    for snapshot in (True, False):
        if not snapshot:
            (box.journal / "snapshot").unlink()
        done = box.cp("-r", src, f"{box.dir}/out/")
        assert "2 skipped" in done.stderr and verified(done) == 0
        box.gone()
    assert len(box.records("same")) == 2
    assert len(box.run("journal", "export", box.journal).stdout.splitlines()) == 2
    box.run("journal", "verify", box.journal)


def test_inode_numbers_that_change_at_each_look(box):
    """With inode numbers that change, as on FUSE, no file counts as changed, an upload is resumed, and each file is read at most once again."""
    src = box.dir / "src"
    for n in range(3):
        os.utime(random_file(src / f"odd{n}", (9 << 20) + n, seed=n), (ODD_MTIME, ODD_MTIME))
    odd = {**preloaded("odd_source"), "ODD_MTIME": str(ODD_MTIME)}
    first = box.cp("-r", src, f"{box.dir}/out/", env=odd)
    assert "3 files uploaded" in first.stderr
    assert first.stderr.count("inode numbers of unchanged files differ") == 1
    box.gone()
    second = box.cp("-r", src, f"{box.dir}/out/", env=odd)
    assert "3 skipped" in second.stderr and "0 files uploaded" in second.stderr
    box.gone()
    third = box.cp("-r", src, f"{box.dir}/out/", env=odd)
    assert "3 skipped" in third.stderr and verified(third) == 0 and "inode" not in third.stderr
    box.gone()
    os.utime(random_file(src / "new", 99, seed=9), (ODD_MTIME, ODD_MTIME))
    done = box.cp("--ignore-inode", "-r", src, f"{box.dir}/out/", env=odd)
    assert "1 file uploaded" in done.stderr and "inode" not in done.stderr
    assert {r["ino"] for r in box.records() if r.get("src", "").endswith("/new")} == {0}
    for path in src.iterdir():
        assert (box.dir / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_read_error_is_told_once(box):
    source = random_file(box.dir / "src" / "bad", 4242)
    os.utime(source, (ODD_MTIME, ODD_MTIME))
    for target in ("out", "out/"):
        done = box.cp(source, f"{box.dir}/{target}", status=1, env={**preloaded("odd_source"), "ODD_MTIME": str(ODD_MTIME), "ODD_READ_ERROR": "1"})
        lines = [line for line in done.stderr.splitlines() if line.startswith("chunklift: ")]
        assert lines == [f"chunklift: {source}: cannot be read: Input/output error"]


def test_files_that_cannot_be_planned_are_in_the_journal(box):
    src = box.dir / "src"
    src.mkdir()
    for name in (b"caf\xe9", b"other\xff"):
        open(os.path.join(os.fsencode(src), name), "wb").close()
    done = box.cp("-r", "--endpoint-url", "http://127.0.0.1:9", src, "s3://bucket/x/", status=1, timeout=30,
                  env={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
    assert done.stderr.count("not UTF-8") == 4  # at once, and at the end
    box.gone()
    failed = box.records("fail")
    assert {base64.b64decode(r["src_b64"]) for r in failed} == {os.fsencode(src) + b"/caf\xe9", os.fsencode(src) + b"/other\xff"}
    assert {base64.b64decode(r["dest_b64"]) for r in failed} == {b"s3://bucket/x/caf\xe9", b"s3://bucket/x/other\xff"}
    assert all(r["class"] == "source" and "not UTF-8" in r["error"] for r in failed) and len(failed) == 2
    check_chain(box.journal)
