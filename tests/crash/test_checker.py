"""The checker of the crash tests accepts a good journal and destination, and names every kind of violation planted in them."""

import hashlib
import json
import os
import subprocess

import crcmod.predefined
import pytest

from support.box import ROOT, random_file, wait_for

CHECKER = ROOT / "tests" / "support" / "checker.py"
UPLOAD, SMALL = "5f0c8a51d3b94e67a2c41f7d9b30e8c6", "c81e728d9d4c2f636f067f89cc14862c"
CHUNK = 1 << 16
crc32c = crcmod.predefined.mkCrcFun("crc-32c")


class World:
    """A finished upload of three chunks, a put, and their journal, built by the test itself."""

    def __init__(self, box):
        self.box, self.journal, self.out = box, box.journal, box.dir / "out"
        self.journal.mkdir(mode=0o700)
        self.out.mkdir()
        self.big = random_file(box.dir / "src" / "big", 2 * CHUNK + 999)
        self.small = random_file(box.dir / "src" / "small", 700)
        for source in (self.big, self.small):
            (self.out / source.name).write_bytes(source.read_bytes())
        data, st = self.big.read_bytes(), self.big.stat()
        self.records = [
            {"ev": "epoch", "epoch": 1, "journal": "f1ed1145f6068aea3667aecf7df2b2de", "version": 1},
            self.of(UPLOAD, self.big, "open"),
            {**self.of(UPLOAD, self.big, "begin"), "chunk_size": CHUNK, "chunks": 3, "handle": f".chunklift-{UPLOAD}.part:{st.st_ino}"},
            *(self.chunk(c, data) for c in range(3)),
            self.of(SMALL, self.small, "open"),
            {**self.of(SMALL, self.small, "put"), "crc": f"crc32c:{crc32c(self.small.read_bytes()):08x}", "worker": "host/1", "ms": 1},
            {"ev": "finish", "upload": UPLOAD, "dest": self.dest("big"), "size": len(data), "crc": f"crc32c:{crc32c(data):08x}", "ms": 1},
            {"ev": "stop"},
        ]

    def dest(self, name):
        return f"file://{self.out}/{name}"

    def of(self, upload, source, ev):
        st = source.stat()
        return {"ev": ev, "upload": upload, "src": str(source), "source": "", "size": st.st_size, "mtime_ns": str(st.st_mtime_ns),
                "ctime_ns": str(st.st_ctime_ns), "ino": st.st_ino, "dest": self.dest(source.name), "endpoint": ""}

    def chunk(self, c, data):
        part = data[c * CHUNK:(c + 1) * CHUNK]
        return {"ev": "chunk", "upload": UPLOAD, "chunk": c, "offset": c * CHUNK, "length": len(part), "crc": f"crc32c:{crc32c(part):08x}",
                "worker": "host/1", "ms": 1}

    def find(self, ev, n=0):
        return [i for i, r in enumerate(self.records) if r["ev"] == ev][n]

    def write(self, seal_before=None):
        """seal_before: index of a record before which the journal was rotated."""
        h, lines, seq = "0" * 32, [], 0
        for i, r in enumerate(self.records):
            if i == seal_before:
                seq += 1
                lines, h = self.sealed(lines, h, seq), None
                h = json.loads(lines[0])["h"]
            seq += 1
            line, h = self.line(seq, r, h)
            lines.append(line)
        (self.journal / "journal.jsonl").write_text("".join(lines))
        return self

    def line(self, seq, r, h):
        body = json.dumps({"seq": seq, "batch": seq, "ts": "2026-11-21T09:35:49.479344Z", **r}, separators=(",", ":"))[:-1]
        h = hashlib.sha256((h + body).encode()).hexdigest()[:32]
        return f'{body},"h":"{h}"}}\n', h

    def sealed(self, lines, h, seq):
        (self.journal / "journal.00000000000000000001.jsonl").write_text("".join(lines))
        return [self.line(seq, {"ev": "segment", "prev": h}, h)[0]]

    def checker(self, *more):
        done = subprocess.run(["/usr/bin/python3", "-B", CHECKER, "--journal", self.journal, "--dest", f"file://{self.out}/", *more],
                              capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    def check(self, *more):
        return self.checker("--source", self.big.parent, *more)

    def edit(self, change):
        file = self.journal / "journal.jsonl"
        lines = file.read_text().splitlines(keepends=True)
        change(lines)
        file.write_text("".join(lines))


@pytest.fixture
def world(box):
    return World(box)


def test_a_good_one_passes(world):
    assert world.write().check() == (0, ["ok 2 objects, 3 chunks, 10 records"])


def test_a_good_one_with_a_sealed_segment_passes(world):
    assert world.write(seal_before=5).check() == (0, ["ok 2 objects, 3 chunks, 11 records"])


def test_a_chunk_that_was_redone_passes(world):
    chunk = world.records[world.find("chunk", 1)]
    world.records[6:6] = [{"ev": "redo", "upload": UPLOAD, "chunk": 1}, chunk]
    assert world.write().check()[0] == 0


def removal(w, ev, upload=SMALL, name="small"):
    w.records.insert(w.find("stop"), {"ev": ev, "upload": upload, "dest": w.dest(name), "endpoint": ""})


def test_an_object_that_was_removed_passes(world):
    removal(world, "deleting")
    removal(world, "delete")
    (world.out / "small").unlink()
    world.small.unlink()
    assert world.write().check() == (0, ["ok 2 objects, 3 chunks, 12 records"])


def test_a_file_that_came_back_passes(world):
    again = [{**world.records[world.find(ev)], "upload": "0b7d1e4f6a2c4958b3d07f1e5c9a8264", "src": str(world.small), "dest": world.dest("small")}
             for ev in ("open", "put")]
    again[0].update(size=700)
    removal(world, "deleting")
    world.write()
    assert world.checker("--mark", "--marks", world.box.dir / "marks") == (0, ["marked 3"])  # the chunks of the other one
    removal(world, "delete")
    world.records[world.find("stop"):world.find("stop")] = again
    world.write()
    assert world.check("--marks", world.box.dir / "marks") == (0, ["ok 3 objects, 3 chunks, 14 records"])


# each entry: the change of the world before its journal is written, or after; the checker's message

def forget(ev, n=0):
    return lambda w: w.records.pop(w.find(ev, n))


def twice(ev, n=0):
    return lambda w: w.records.insert(w.find(ev, n), w.records[w.find(ev, n)])


def wrong_crc(ev):
    return lambda w: w.records[w.find(ev)].update(crc="crc32c:00000000")


def after_the_end(w):
    w.records.insert(w.find("stop"), w.records[w.find("chunk")])


def abandoned(w):
    w.records.insert(w.find("stop"), {**w.of("0b7d1e4f6a2c4958b3d07f1e5c9a8264", w.big, "open"), "dest": w.dest("other")})


def two_finishes(w):
    other = "0b7d1e4f6a2c4958b3d07f1e5c9a8264"
    again = [{**r, "upload": other} for r in w.records if r.get("upload") == UPLOAD]
    w.records[w.find("stop"):w.find("stop")] = again


def given_up(w):
    other = "0b7d1e4f6a2c4958b3d07f1e5c9a8264"
    again = [{**r, "upload": other} for r in w.records if r.get("upload") == UPLOAD]
    w.records[w.find("finish")] = {"ev": "abort", "upload": UPLOAD, "reason": "gone"}
    w.records[w.find("stop"):w.find("stop")] = again


def failed(w):
    w.records.insert(w.find("finish"), {"ev": "fail", "upload": UPLOAD, "class": "dest", "error": "no space"})


def removed(*events):
    def plant(w):
        for ev in events:
            removal(w, ev)
    return plant


def removed_beside_an_upload(w):
    w.records.insert(w.find("stop"), {**w.of("0b7d1e4f6a2c4958b3d07f1e5c9a8264", w.small, "open")})
    removal(w, "deleting")


def removed_before_its_end(w):
    w.records.insert(w.find("put"), {"ev": "deleting", "upload": SMALL, "dest": w.dest("small"), "endpoint": ""})


def an_earlier_one_removed(w):
    other = "0b7d1e4f6a2c4958b3d07f1e5c9a8264"
    w.records[w.find("stop"):w.find("stop")] = [{**r, "upload": other} for r in w.records if r.get("upload") == SMALL]
    removal(w, "deleting")


BEFORE = {
    "a delete without its deleting": (removed("delete"), "order: delete without deleting"),
    "deleting twice": (removed("deleting", "deleting"), "order: deleting twice"),
    "deleted twice": (removed("deleting", "delete", "delete"), "order: deleted twice"),
    "a removal beside an upload": (removed_beside_an_upload, "order: deleting while another upload has the destination"),
    "a removal of an earlier one": (an_earlier_one_removed, "order: deleting while another upload has the destination"),
    "a removal before the end": (removed_before_its_end, "order: deleting of an upload that did not finish there"),
    "a removal elsewhere": (lambda w: removal(w, "deleting", name="big"), "order: deleting of an upload that did not finish there"),
    "a removed one that counts": (removed("deleting"), "small has 0 finish or put records, seq []"),
    "a chunk recorded twice": (twice("chunk", 1), "once: chunk 1 has two records (seq 6"),
    "a chunk not recorded": (forget("chunk", 2), "order: finish without chunks [2]"),
    "a wrong length": (lambda w: w.records[w.find("chunk")].update(length=5), "order: chunk 0 is none of the upload's"),
    "no open before begin": (forget("open"), "order: begin without open"),
    "no open before put": (forget("open", 1), "order: put to file:// without open"),
    "no begin": (forget("begin"), "order: chunk before begin"),
    "begun twice": (twice("begin"), "order: begun twice"),
    "a record after the end": (after_the_end, "order: chunk after the upload's finish"),
    "redo of what is not there": (lambda w: w.records.insert(3, {"ev": "redo", "upload": UPLOAD, "chunk": 2}), "order: redo of chunk 2, which has no record"),
    "no finish": (forget("finish"), "big has 0 finish or put records, seq []"),
    "no put": (forget("put"), "small has 0 finish or put records, seq []"),
    "two finishes": (two_finishes, "big has 2 finish or put records, seq [9, 15]"),
    "opened and left": (abandoned, "other was opened and has no end"),
    "an upload given up for nothing": (given_up, f"again: upload {UPLOAD} had 3 recorded chunks and was aborted (gone); its source is unchanged"),
    "a fail": (failed, "once: a fail record, seq 9: no space"),
    "another checksum of a chunk": (wrong_crc("chunk"), "checksums: chunk 0 of"),
    "another checksum of the whole": (wrong_crc("finish"), "checksums: finish of"),
    "another checksum of a put": (wrong_crc("put"), "checksums: put of"),
}


@pytest.mark.parametrize("name", BEFORE)
def test_records_that_cannot_be(world, name):
    plant, said = BEFORE[name]
    plant(world)
    status, lines = world.write().check()
    assert status == 1 and any(said in line for line in lines), lines


def swap(lines):
    lines[3], lines[4] = lines[4], lines[3]


AFTER = {
    "a byte of a line": (lambda lines: lines.__setitem__(4, lines[4].replace("host/1", "host/2")), "chain: journal.jsonl:5: h does not fit"),
    "a line removed": (lambda lines: lines.pop(4), "chain: journal.jsonl:5: h does not fit"),
    "two lines in the other order": (swap, "chain: journal.jsonl:4: h does not fit"),
    "a line doubled": (lambda lines: lines.insert(4, lines[4]), "chain: journal.jsonl:6: h does not fit"),
    "a torn line": (lambda lines: lines.__setitem__(-1, lines[-1][:20]), "chain: journal.jsonl:10: the last line has no newline"),
    "something else": (lambda lines: lines.append("hello\n"), "chain: journal.jsonl:11: not a journal line"),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_chain_that_does_not_fit(world, name):
    change, said = AFTER[name]
    world.write().edit(change)
    status, lines = world.check()
    assert status == 1 and said in lines, lines


def test_a_sequence_with_a_gap_though_the_chain_is_right(world):
    first, h = world.line(1, world.records[0], "0" * 32)
    (world.journal / "journal.jsonl").write_text(first + world.line(3, world.records[1], h)[0])
    assert "chain: journal.jsonl:2: seq 3 after 1" in world.check()[1]


def test_a_line_missing_at_the_end_of_a_sealed_file(world):
    world.write(seal_before=5)
    file = world.journal / "journal.00000000000000000001.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert world.check()[1][0] == "chain: journal.jsonl:1: h does not fit"


def test_a_sealed_file_gone_missing_is_no_empty_journal(world):
    world.write(seal_before=5)
    (world.journal / "journal.00000000000000000001.jsonl").unlink()
    assert world.check()[0] == 1


@pytest.mark.parametrize("name, said", [("consumer", "consumer"), ("tmp-snapshot", "tmp-snapshot"), ("tmp-journal-active", "tmp-journal-active"),
                                        ("consumer.new", "consumer.new"), ("journal.2.jsonl", "journal.2.jsonl")])
def test_left_over_in_the_journal_directory(world, name, said):
    world.write()
    (world.journal / name).touch()
    assert world.check() == (1, [f"left over: {said} in the journal directory"])


def test_names_that_belong_there_are_none(world):
    world.write()
    for name in ("lock", "snapshot", "consumer.log", "torn-4-20261121T122340Z", "torn-4-20261121T122340Z-2"):
        (world.journal / name).touch()
    assert world.check()[0] == 0


def test_left_over_at_the_destination(world):
    world.write()
    (world.out / f".chunklift-{UPLOAD}.part").touch()
    assert world.check() == (1, [f"left over: .chunklift-{UPLOAD}.part at the destination"])


def test_another_content(world):
    world.write()
    with open(world.out / "big", "r+b") as f:
        f.seek(CHUNK + 5)
        f.write(bytes([world.big.read_bytes()[CHUNK + 5] ^ 1]))
    size = world.big.stat().st_size
    assert world.check() == (1, [f"content: big differs from its source at byte {CHUNK + 5} ({size} bytes, {size} wanted)"])


def test_a_shorter_content(world):
    world.write()
    os.truncate(world.out / "small", 699)
    assert world.check() == (1, ["content: small differs from its source at byte 699 (699 bytes, 700 wanted)"])


def test_no_content(world):
    world.write()
    (world.out / "small").unlink()
    assert world.check() == (1, ["content: small is not at the destination"])


def unfinished(world):
    """Two of three chunks are recorded; the temporary file has the bytes of all."""
    full = list(world.records)
    world.records = world.records[:world.find("chunk", 2)]
    (world.out / "small").unlink()
    temp = world.out / f".chunklift-{UPLOAD}.part"
    (world.out / "big").rename(temp)
    world.write()
    assert world.checker("--mark", "--marks", world.box.dir / "marks") == (0, ["marked 2"])
    assert temp.read_bytes().count(b"recorded") == 2
    world.records = full
    temp.rename(world.out / "big")
    (world.out / "small").write_bytes(world.small.read_bytes())
    world.write()


def test_marks_that_are_still_there_are_taken_away(world):
    unfinished(world)
    assert world.check("--marks", world.box.dir / "marks")[0] == 0
    assert (world.out / "big").read_bytes() == world.big.read_bytes()


def test_a_recorded_chunk_that_was_written_again(world):
    unfinished(world)
    with open(world.out / "big", "r+b") as f:
        f.seek(CHUNK)
        f.write(world.big.read_bytes()[CHUNK:2 * CHUNK])
    assert world.check("--marks", world.box.dir / "marks") == (1, [f"again: chunk 1 of {world.dest('big')} was recorded and written again"])


def test_a_recorded_put_that_was_written_again(world):
    world.write()
    assert world.checker("--mark", "--marks", world.box.dir / "marks") == (0, ["marked 4"])
    (world.out / "small").write_bytes(world.small.read_bytes())
    assert world.check("--marks", world.box.dir / "marks") == (1, [f"again: put of {world.dest('small')} was recorded and written again"])


def test_a_second_mark_does_not_hide_what_the_first_shows(world):
    world.write()
    world.checker("--mark", "--marks", world.box.dir / "marks")
    (world.out / "small").write_bytes(world.small.read_bytes())
    assert world.checker("--mark", "--marks", world.box.dir / "marks") == (0, ["marked 4"])
    assert world.check("--marks", world.box.dir / "marks")[0] == 1


# with a store ---------------------------------------------------------------------------------------------------------


class Gateway:
    """A real upload of three parts, and the lines of its access log."""

    def __init__(self, box, rgw):
        self.box, self.rgw, self.prefix = box, rgw, f"checker/{box.mark}/"
        self.source = random_file(box.dir / "src" / "it", 11 << 20)
        box.cp("--no-progress", "--chunk-size", "5MiB", "--integrity", "none", "--endpoint-url", rgw.endpoint, self.source, f"s3://bucket/{self.prefix}it", env=rgw.env)
        box.gone()
        self.log = box.dir / "access.log"
        real = rgw.dir / "log" / "client.rgw.log"
        wait_for(lambda: real.read_text(errors="replace").count(f'"PUT /bucket/{self.prefix}it?partNumber') == 3, what="the gateway's log")
        self.log.write_text("".join(line for line in open(real, errors="replace") if self.prefix in line))

    def check(self, *more):
        done = subprocess.run(["/usr/bin/python3", "-B", CHECKER, "--journal", self.box.journal, "--source", self.source, "--dest",
                               f"s3://bucket/{self.prefix}it", "--endpoint", self.rgw.endpoint, "--access-log", self.log, *more],
                              env={**os.environ, **self.rgw.env}, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    def aws(self, *args):
        out = self.rgw.aws("s3api", *args).stdout
        return json.loads(out) if out.strip() else {}


def test_with_a_store(box, rgw):
    g = Gateway(box, rgw)
    assert g.check() == (0, ["ok 1 objects, 3 chunks, 8 records"])
    key = f"{g.prefix}it"

    mine = g.aws("create-multipart-upload", "--bucket", "bucket", "--key", key)["UploadId"]
    assert g.check() == (1, [f"left over: an open multipart upload of {key} ({mine}), without parts, which the journal does not know"])
    g.aws("upload-part", "--bucket", "bucket", "--key", key, "--upload-id", mine, "--part-number", "1", "--body", str(g.source))
    assert g.check()[0] == 0  # it could be another client's upload
    g.aws("abort-multipart-upload", "--bucket", "bucket", "--key", key, "--upload-id", mine)

    lines = g.log.read_text().splitlines(keepends=True)
    again = next(line for line in lines if "partNumber=2" in line)
    stamp = again.split("[", 1)[1].split("]", 1)[0]
    g.log.write_text("".join(lines) + again.replace(stamp, stamp.replace(stamp[7:11], "2099")))
    status, said = g.check()
    assert status == 1 and said[0].startswith(f"again: chunk 1 of s3://bucket/{key} was recorded and sent again"), said
    assert any(line.startswith(f"again: part 2 of s3://bucket/{key} was sent 2 times") for line in g.check("--sent-at-most", "1")[1])
    assert not any("2 times" in line for line in g.check("--sent-at-most", "2")[1])
    g.log.write_text("".join(line for line in lines if "partNumber=3" not in line))
    assert g.check() == (1, [f"again: chunk 2 of s3://bucket/{key} has a record, and the store's log has no such request"])
    g.log.write_text("".join(lines))

    g.aws("put-object", "--bucket", "bucket", "--key", key, "--body", str(g.source))
    status, said = g.check()
    assert status == 1 and said == [f"content: s3://bucket/{key} is of upload None, the journal says {box.records('finish')[0]['upload']}"]
    g.aws("delete-object", "--bucket", "bucket", "--key", key)
    assert g.check()[1][0] == "content: it is not at the destination"
