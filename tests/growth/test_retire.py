"""`journal retire`, `forget` and `export` with real uploads: retired files are not needed again, and only forgotten uploads are sent again."""

import json
import shutil

from growth.test_rotation import CHUNK, sealed, start_consumer, stop
from support.box import journal_lines, random_file, read_journal, sha256_of, wait_for


def upload_a_tree(box):
    for i in range(30):
        random_file(box.dir / "tree" / f"f{i}", 3 * 65536 + i, seed=i)
    box.cp("-r", "--chunk-size", CHUNK, box.dir / "tree", box.dir / "dst/")


def upload_half(box):
    """Kills all processes in the middle of an upload. Returns the source file."""
    src = random_file(box.dir / "half.bin", 2000 * 65536, seed=99)
    child = box.start_cp("--chunk-size", CHUNK, src, box.dir / "half.out")
    wait_for(lambda: sum(r["ev"] == "chunk" and r["length"] == 65536 for r in read_journal(box.journal)) > 400 or child.poll() is not None,
             what="some hundred chunks")
    box.kill_all()
    child.wait(10)
    box.gone()
    return src


def prepare(box):
    consumer = start_consumer(box, "--rotate", "16KiB")
    upload_a_tree(box)
    stop(consumer)
    consumer = start_consumer(box, "--rotate", "16KiB")
    src = upload_half(box)
    return src


def chunks_known(records, dest):
    """The set of chunks with a valid record, in the given lines, for the unfinished upload to dest."""
    ids, have = set(), set()
    for r in records:
        if r["ev"] in ("begin", "carry") and r.get("dest") == dest:
            ids.add(r["upload"])
        elif r.get("upload") in ids and "chunk" in r:
            have.discard(r["chunk"]) if r["ev"] == "redo" else have.add(r["chunk"])
    return have


def retire(box, *options, **kw):
    return [json.loads(line) for line in box.run("journal", "retire", "--json", *options, box.journal, **kw).stdout.splitlines()]


def test_what_was_retired_is_not_missed(box):
    src = prepare(box)
    known = chunks_known(read_journal(box.journal), f"file://{box.dir}/half.out")
    files = {p.name for p in sealed(box)}
    exported = box.run("journal", "export", box.journal).stdout.splitlines()
    assert len(exported) == 30
    listed = [line for line in retire(box) if line["event"] == "file"]
    assert {f["file"] for f in listed} == files and all(f["chosen"] and not f["dropped"] for f in listed)
    assert [f["from"] for f in listed[1:]] == [f["to"] + 1 for f in listed[:-1]]
    needed = {line["file"] for line in retire(box) if line["event"] == "needed"}
    assert needed and needed < files, "the file that is half there needs some of them, not those of the tree"
    assert sum(f["finished"] for f in listed) == 30
    assert {p.name for p in sealed(box)} == files, "a list changes nothing"

    (done,) = retire(box, "--archive", box.dir / "archive")
    assert done["files"] == len(files) and done["carried_finished"] == 30 and done["carried_uploads"] == 1
    assert {p.name for p in (box.dir / "archive").iterdir()} == files and not sealed(box)
    verified = box.run("journal", "verify", box.journal).stdout
    assert f" from={listed[-1]['to'] + 1}" in verified
    assert chunks_known(read_journal(box.journal), f"file://{box.dir}/half.out") == known
    again = box.run("journal", "export", box.journal).stdout.splitlines()

    def without_place(line):
        return {k: v for k, v in json.loads(line).items() if k != "seq"}
    assert sorted(map(str, map(without_place, again))) == sorted(map(str, map(without_place, exported)))

    before = len(read_journal(box.journal))
    box.cp("--chunk-size", CHUNK, src, box.dir / "half.out", timeout=60)
    done = box.cp("-r", "--chunk-size", CHUNK, box.dir / "tree", box.dir / "dst/")
    assert "30 skipped" in done.stderr
    sent = [r["chunk"] for r in read_journal(box.journal)[before:] if r["ev"] == "chunk"]
    assert len(sent) == len(set(sent)) and not set(sent) & known, "a recorded chunk was sent again"
    assert set(sent) | known == set(range(2000))
    assert sha256_of(src) == sha256_of(box.dir / "half.out")
    box.run("journal", "verify", box.journal)
    for file in (box.dir / "archive").iterdir():
        shutil.copy(file, box.journal)
    assert "from=" not in box.run("journal", "verify", box.journal).stdout, "put back, the archive and the rest are one journal"
    print(f"\n{len(files)} files archived, {len(known)} chunks carried, {len(sent)} sent after")


def test_finished_uploads_can_be_left_behind(box):
    consumer = start_consumer(box, "--rotate", "16KiB")
    upload_a_tree(box)
    stop(consumer)
    (done,) = retire(box, "--remove", "--forget-finished")
    left = len(box.run("journal", "export", box.journal).stdout.splitlines())
    assert done["carried_finished"] + left < 30
    assert f"{left} skipped" in box.cp("-r", "--chunk-size", CHUNK, box.dir / "tree", box.dir / "dst/").stderr or left == 0
    assert len(box.run("journal", "export", box.journal).stdout.splitlines()) == 30


def test_nobody_retires_under_a_running_consumer(box):
    consumer = start_consumer(box, "--rotate", "16KiB")
    upload_a_tree(box)
    before = list(journal_lines(box.journal))
    done = box.run("journal", "retire", "--remove", box.journal, status=3)
    assert "in use by process" in done.stderr and done.stderr.count("\n") == 1
    assert list(journal_lines(box.journal)) == before
    assert retire(box), "a list can be had"
    stop(consumer)
    retire(box, "--remove", "--dry-run")
    assert sealed(box)
    box.run("journal", "retire", "--remove", "--keep", 1, box.journal)
    assert len(sealed(box)) == 1


def test_a_forgotten_file_is_sent_again(box):
    upload_a_tree(box)
    dest = box.dir / "dst" / "f7"
    ids = [json.loads(line)["upload"] for line in box.run("journal", "export", box.journal).stdout.splitlines()]
    box.run("journal", "forget", "--journal", box.journal, dest, f"file://{box.dir}/dst/f8")
    box.run("journal", "forget", "--journal", box.journal, dest, status=1)
    box.run("journal", "forget", "--journal", box.journal, "no-such", status=1)
    assert "28 skipped" in box.cp("-r", "--chunk-size", CHUNK, box.dir / "tree", box.dir / "dst/").stderr
    assert "30 skipped" in box.cp("-r", "--chunk-size", CHUNK, box.dir / "tree", box.dir / "dst/").stderr
    now = [json.loads(line)["upload"] for line in box.run("journal", "export", box.journal).stdout.splitlines()]
    assert len(set(now) - set(ids)) == 2
