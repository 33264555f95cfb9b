"""cp into a local directory: the files, their records, and the behaviour of a second run."""

import json
import os
import subprocess

import pytest

from support.box import check_chain, check_one_record_each, random_file, sha256_of

MIB = 1 << 20


def tree(box, name="src"):
    src = box.dir / name
    random_file(src / "large.bin", 20 * MIB + 12345)
    random_file(src / "exact.bin", 16 * MIB, seed=2)
    random_file(src / "sub" / "small.txt", 777, seed=3)
    random_file(src / "sub" / "deep" / "x" / "y.bin", 300_000, seed=4)
    (src / "empty").write_bytes(b"")
    (src / "sp ace+%&;:@=,'()!*$#?\"\\").write_bytes(b"odd")
    (src / "übung-東京-мир-😀").write_bytes(b"unicode")
    (src / "line\nbreak\ttab").write_bytes(b"newline")
    return src


def same(a, b):
    return subprocess.run(["diff", "-r", a, b], capture_output=True).returncode == 0


def test_tree_arrives_identical_and_is_recorded(box):
    src = tree(box)
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert same(src, box.dir / "out")
    assert "8 files uploaded" in done.stderr and "; 0 B resent" in done.stderr and str(box.journal) in done.stderr
    records = box.records()
    assert {r["dest"] for r in records if r["ev"] in ("finish", "put")} == {
        f"file://{box.dir}/out/{p.relative_to(src)}" for p in src.rglob("*") if p.is_file()}
    check_chain(box.journal)
    check_one_record_each(records)
    begin = next(r for r in records if r["ev"] == "begin" and r["src"].endswith("large.bin"))
    assert (begin["size"], begin["chunk_size"], begin["chunks"]) == (20 * MIB + 12345, 8 * MIB, 3)
    assert begin["mtime_ns"] == str(os.stat(src / "large.bin").st_mtime_ns)
    verify = box.run("journal", "verify", box.journal)
    assert verify.stdout.strip() == f"ok seq={records[-1]['seq']} head={records[-1]['h']}"
    assert records[-1]["ev"] == "stop"
    box.gone()


def test_nothing_is_left_over(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    box.gone()
    assert sorted(p.relative_to(box.dir / "out") for p in (box.dir / "out").rglob("*")) == sorted(p.relative_to(src) for p in src.rglob("*"))
    assert not (box.journal / "consumer").exists()
    assert list((box.dir / "run").rglob("*.sock")) == [] and [p for p in (box.dir / "run").rglob("*") if p.is_socket()] == []


def test_second_run_skips_what_is_there(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    before = [r for r in box.records() if r["ev"] in ("chunk", "put")]
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert "8 skipped: the journal shows them uploaded; not looked at in the destination (--force sends again)" in done.stderr
    assert [r for r in box.records() if r["ev"] in ("chunk", "put")] == before


def test_a_file_that_vanished_at_the_destination_is_sent_again(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    (box.dir / "out" / "large.bin").unlink()
    (box.dir / "out" / "sub" / "small.txt").write_bytes(b"other size")
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert "6 skipped" in done.stderr and "2 files uploaded" in done.stderr
    assert same(src, box.dir / "out")


def test_force_sends_again(box):
    src = tree(box)
    box.cp("-r", src, f"{box.dir}/out/")
    done = box.cp("-r", "--force", src, f"{box.dir}/out/")
    assert "8 files uploaded" in done.stderr and "skipped" not in done.stderr
    assert same(src, box.dir / "out")
    check_one_record_each(box.records())


def test_changed_file_is_sent_again(box):
    src = random_file(box.dir / "a.bin", 9 * MIB)
    box.cp(src, box.dir / "b.bin")
    random_file(src, 9 * MIB, seed=9)
    box.cp(src, box.dir / "b.bin")
    assert sha256_of(src) == sha256_of(box.dir / "b.bin")


def test_names_of_destinations(box):
    a = random_file(box.dir / "a.bin", 1000)
    random_file(box.dir / "d1" / "x", 10)
    random_file(box.dir / "d2" / "x", 20)
    box.cp(a, box.dir / "copy.bin")
    box.cp(a, f"{box.dir}/prefix/")
    (box.dir / "existing").mkdir()
    box.cp(a, box.dir / "existing")
    box.cp(a, f"file://{box.dir}/url.bin")
    box.cp("-r", box.dir / "d1", box.dir / "d2", box.dir / "both")
    for name in ("copy.bin", "prefix/a.bin", "existing/a.bin", "url.bin"):
        assert sha256_of(box.dir / name) == sha256_of(a), name
    assert (box.dir / "both/d1/x").stat().st_size == 10 and (box.dir / "both/d2/x").stat().st_size == 20


def test_links_fifos_and_empty_directories(box):
    src = tree(box)
    (src / "link").symlink_to("large.bin")
    (src / "dangling").symlink_to("nowhere")
    os.mkfifo(src / "fifo")
    (src / "void").mkdir()
    done = box.cp("-r", src, f"{box.dir}/out/")
    assert "2 links not followed" in done.stderr and "1 empty directory not kept" in done.stderr
    assert not (box.dir / "out" / "link").exists() and not (box.dir / "out" / "void").exists()
    assert "8 files uploaded" in done.stderr


def test_link_named_as_source_is_followed(box):
    target = random_file(box.dir / "real.bin", 5000)
    (box.dir / "link").symlink_to(target)
    box.cp(box.dir / "link", f"{box.dir}/out/")
    assert sha256_of(box.dir / "out" / "link") == sha256_of(target)


def test_names_that_are_not_utf8(box):
    src = box.dir / "src"
    src.mkdir()
    name = os.fsencode(src) + b"/caf\xe9"
    with open(name, "wb") as f:
        f.write(b"latin1")
    box.cp("-r", src, f"{box.dir}/out/")
    with open(os.fsencode(box.dir) + b"/out/caf\xe9", "rb") as f:
        assert f.read() == b"latin1"
    put = box.records("put")[0]
    assert "src" not in put and "src_b64" in put and "dest_b64" in put
    box.run("journal", "verify", box.journal)


def test_json_events_are_objects_a_line(box):
    src = tree(box)
    done = box.cp("-r", "--json", src, f"{box.dir}/out/")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "summary" and events[-1]["status"] == 0 and events[-1]["files_done"] == 8
    assert sum(e["event"] == "file_done" for e in events) == 8
    assert sum(e["event"] == "chunk" for e in events) == 5
    assert done.stderr == ""


def test_quiet_says_nothing(box):
    done = box.cp("--quiet", random_file(box.dir / "a", 100), box.dir / "b")
    assert done.stdout == "" and done.stderr == ""


def test_chunk_size_and_growth(box):
    src = random_file(box.dir / "a.bin", 3 * MIB)
    box.cp("--chunk-size", "1000000", src, box.dir / "b.bin")
    begin = box.records("begin")[0]
    assert begin["chunk_size"] == 16 * 65536 and begin["chunks"] == 3
    assert sha256_of(src) == sha256_of(box.dir / "b.bin")


def test_two_cps_share_one_consumer(box):
    a = random_file(box.dir / "a.bin", 200 * MIB)
    b = random_file(box.dir / "b.bin", 200 * MIB, seed=2)
    first = box.start_cp("--no-progress", a, box.dir / "out-a")
    second = box.start_cp("--no-progress", b, box.dir / "out-b")
    assert first.wait(60) == 0, first.log.read_text()
    assert second.wait(60) == 0, second.log.read_text()
    assert sha256_of(a) == sha256_of(box.dir / "out-a") and sha256_of(b) == sha256_of(box.dir / "out-b")
    box.gone()
    records = box.records()
    check_chain(box.journal)
    check_one_record_each(records)
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert sum(r["ev"] == "epoch" for r in records) == 1


def test_tail_follows_while_it_runs(box):
    src = random_file(box.dir / "a.bin", 64 * MIB)
    tail = subprocess.Popen(["sh", "-c", f"exec tail -n +1 -F {box.journal}/journal.jsonl 2>/dev/null"], stdout=subprocess.PIPE, env=box.env)
    jq = subprocess.Popen(["jq", "--unbuffered", "-c", ".ev"], stdin=tail.stdout, stdout=subprocess.PIPE, text=True)
    box.cp(src, box.dir / "out")
    seen = []
    try:
        while '"stop"' not in seen:
            seen.append(jq.stdout.readline().strip())
    finally:
        tail.kill()
        jq.kill()
        tail.wait()
        jq.wait()
    assert seen.count('"chunk"') == 8 and seen[0] == '"epoch"' and seen[-2] == '"finish"'


def test_status_from_disk_and_live(box):
    src = random_file(box.dir / "a.bin", 64 * MIB)
    box.cp(src, box.dir / "out")
    box.gone()
    assert "no consumer runs" in (lambda d: d.stdout + d.stderr)(box.run("status", "--journal", box.journal))


@pytest.mark.parametrize("count", [1, 3])
def test_many_small_files(box, count):
    src = box.dir / "src"
    for i in range(300):
        random_file(src / f"{i % 10}" / f"{i}.dat", i * 37, seed=i)
    box.cp("-r", "--uploaders", count, src, f"{box.dir}/out/")
    assert same(src, box.dir / "out")
    assert len(box.records("put")) == 300
