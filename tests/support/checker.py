#!/usr/bin/python3
"""Checks the invariants that hold after any crash, from outside: it reads only the journal directory, the destination and the source files.

    checker.py --journal DIR --source SRC --dest URL [--endpoint URL] [--access-log FILE [--sent-at-most N]] [--marks FILE]
    checker.py --journal DIR --dest URL --marks FILE --mark

Run the second form when every process is dead. It saves the list of recorded data in FILE and, for file://, writes marks over the recorded
bytes at the destination. Run the first form later. It reports recorded data that was sent again, removes the marks, and makes all other checks:

  content    every source file is at the destination, byte for byte, and no other file is there
  chain      lines parse, seq has no gap, batch never decreases, h is correct, segments fit together
  order      open before begin and put, begin before chunk, every chunk before finish, no record after the end of an upload but
             its removal: deleting for the last one at its destination, while none is open there, then delete
  once       one record for each valid chunk, one finish or put for each destination (and one more after each removal), an end for
             each upload begun
  checksums  of the records are those of the source
  again      no recorded and acknowledged data was sent again (marks; the store's access log), no upload with records was abandoned
             for another one of the same source; with --sent-at-most N the store received each part or object at most N times
  left over  temporary files, foreign names in the journal directory, multipart uploads that have ended or that are not in the
             journal (an unknown one with parts is accepted: another client may own it)

Exit status 0: prints one line of counts. 1: one line for each violation. 2: wrong usage. Shares no code with chunklift."""

import argparse
import base64
import collections
import functools
import hashlib
import json
import os
import re
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import crcmod.predefined

MARK = b"recorded"
LOG_S = 10  # timeout until the store has written its log
RACE_S = 0.5  # from a grant to the first byte at the store, on a busy machine
JOURNAL_NAMES = re.compile(r"journal\.jsonl|journal\.\d{20}\.jsonl|lock|runs|snapshot|consumer\.log|torn-\d+-\d{8}T\d{6}Z(-\d+)?")
LOG_LINE = re.compile(r'\[([^\]]+) \+0000\] "(PUT|POST|DELETE) (/\S+?)(?:\?(\S*))? HTTP/1\.1" (\d+)')


class Violation(Exception):
    pass


# the journal ---------------------------------------------------------------------------------------------------------


def journal_files(directory):
    sealed = sorted(p for p in Path(directory).iterdir() if re.fullmatch(r"journal\.\d{20}\.jsonl", p.name))
    active = Path(directory) / "journal.jsonl"
    return sealed + ([active] if active.exists() else [])


class Journal:
    """All valid lines in order, and the fault of the first invalid one."""

    def __init__(self, directory):
        self.directory, self.records, self.problem = Path(directory), [], None
        self.h, self.seq, self.batch = "0" * 32, 0, 0
        try:
            for file in journal_files(directory):
                self.read(file)
        except Violation as v:
            self.problem = str(v)

    def read(self, file):
        data = file.read_bytes()
        for number, line in enumerate(data.split(b"\n"), 1):
            if not line and number > data.count(b"\n"):
                return  # after the last newline
            if number > data.count(b"\n"):
                raise Violation(f"chain: {file.name}:{number}: the last line has no newline")
            self.take(f"{file.name}:{number}", file, number, line)

    def take(self, where, file, number, line):
        try:
            r = json.loads(line)
            body, mark, rest = line.rpartition(b',"h":"')
            seq, batch, ev, h = r["seq"], r["batch"], r["ev"], r["h"]
        except (ValueError, KeyError, TypeError):
            raise Violation(f"chain: {where}: not a journal line") from None
        if number == 1 and ev == "segment" and self.seq == 0:  # earlier segments were removed
            self.seq, self.batch, self.h = seq - 1, batch - 1, r.get("prev", "")
        want = hashlib.sha256(self.h.encode() + body).hexdigest()[:32]
        if not mark or rest != h.encode() + b'"}' or h != want:
            raise Violation(f"chain: {where}: h does not fit")
        if seq != self.seq + 1:
            raise Violation(f"chain: {where}: seq {seq} after {self.seq}")
        if not 0 <= batch - self.batch <= 1:
            raise Violation(f"chain: {where}: batch {batch} after {self.batch}")
        first_file = file == journal_files(self.directory)[0]
        if (ev == "segment") != (number == 1 and (not first_file or seq > 1)):
            raise Violation(f"chain: {where}: a segment line stands first in every file but the first, and only there")
        if ev == "segment" and r["prev"] != self.h:
            raise Violation(f"chain: {where}: prev is not the h before it")
        name = re.fullmatch(r"journal\.(\d{20})\.jsonl", file.name)
        if number == 1 and name and int(name[1]) != seq:
            raise Violation(f"chain: {where}: begins with seq {seq}")
        self.h, self.seq, self.batch = h, seq, batch
        self.records.append(r)


def text(r, name):
    """A name field of a record, as bytes."""
    return base64.b64decode(r[name + "_b64"]) if name + "_b64" in r else r[name].encode()


def stamp(ts):
    return datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def place(begun, chunk):
    """Offset and full length of a chunk. Those of standard input may grow."""
    offset, length, run, grow = 0, begun["chunk_size"], begun.get("grow", 0), begun.get("grow", 0)
    largest = max(length, 5 << 30)
    while grow and chunk >= run and length < largest:
        offset, chunk, run, length = offset + run * length, chunk - run, max(grow // 2, 1), min(2 * length, largest)
    return offset + chunk * length, length


class Upload:
    def __init__(self, upload):
        self.id, self.opened, self.begun, self.end = upload, None, None, None
        self.deleting, self.deleted = None, None  # the records of its removal
        self.chunks, self.redone = {}, set()  # chunk: its valid record
        self.count, self.size = 0, 0  # size 0: standard input before its end

    @property
    def dest(self):
        return text(self.begun or self.opened or self.end, "dest")


class Uploads:
    """Replays the records of every upload and collects violations of their order."""

    def __init__(self, records):
        self.all, self.wrong = {}, []
        self.last, self.unfinished = {}, {}  # destination: the upload that finished there last; those that are open there
        for r in records:
            if r["ev"] == "forget" and r["upload"] in self.all:
                self.leave(self.all[r["upload"]])
            elif "upload" in r and r["ev"] not in ("carry", "forget", "same", "verified"):
                self.take(r, self.all.setdefault(r["upload"], Upload(r["upload"])))

    def say(self, r, what):
        self.wrong.append(f"{what} (seq {r['seq']}, upload {r['upload']})")

    def take(self, r, u):
        if r["ev"] in ("deleting", "delete"):
            self.removal(r, u)
            return
        self.progress(r, u)
        if r["ev"] in ("open", "begin"):
            self.unfinished.setdefault(u.dest, set()).add(u.id)
        elif r["ev"] in ("finish", "put", "abort"):
            self.leave(u)
        if r["ev"] in ("finish", "put"):
            self.last[u.dest] = u

    def leave(self, u):
        if u.opened or u.begun:
            self.unfinished.get(u.dest, set()).discard(u.id)

    def removal(self, r, u):
        dest, u.opened = text(r, "dest"), u.opened or r
        if not u.end or u.end["ev"] not in ("finish", "put") or u.dest != dest:
            self.say(r, f"order: {r['ev']} of an upload that did not finish there")
        elif r["ev"] == "delete":
            if not u.deleting or u.deleted:
                self.say(r, "order: deleted twice" if u.deleted else "order: delete without deleting")
            u.deleted = r
        elif u.deleting:
            self.say(r, "order: deleting twice")
        elif self.last.get(dest) is not u or self.unfinished.get(dest):
            self.say(r, "order: deleting while another upload has the destination")
        u.deleting = u.deleting or r

    def progress(self, r, u):
        ev = r["ev"]
        if u.end and ev != "fail":
            self.say(r, f"order: {ev} after the upload's {u.end['ev']}")
        elif ev == "open":
            if u.begun:
                self.say(r, "order: open after begin")
            u.opened = r
        elif ev == "begin":
            if u.begun:
                self.say(r, "order: begun twice")
            if not u.opened:
                self.say(r, "order: begin without open")
            u.begun, u.count, u.size = r, r["chunks"], r["size"]
        elif ev == "put" and text(r, "dest").startswith(b"file://") and not u.opened:
            self.say(r, "order: put to file:// without open")
            u.end = r
        elif ev == "chunk":
            self.chunk(r, u)
        elif ev == "redo":
            if r["chunk"] not in u.chunks:
                self.say(r, f"order: redo of chunk {r['chunk']}, which has no record")
            u.chunks.pop(r["chunk"], None)
            u.redone.add(r["chunk"])
        elif ev == "finish":
            missing = set(range(u.count)) - set(u.chunks) if u.begun else None
            if missing != set():
                self.say(r, f"order: finish without chunks {sorted(missing)}" if u.begun else "order: finish without begin")
            u.end = {**r, "src": (u.begun or r).get("src", "")}
        elif ev in ("put", "abort"):
            u.end = r

    def chunk(self, r, u):
        if not u.begun:
            self.say(r, "order: chunk before begin")
            return
        offset, length = place(u.begun, r["chunk"])
        if "total" in r and not u.begun["size"]:
            u.count, u.size = r["chunk"] + 1, r["total"]
        if r["chunk"] >= u.count or r["offset"] != offset or r["length"] != min(length, (u.size or offset + length) - offset):
            self.say(r, f"order: chunk {r['chunk']} is none of the upload's")
        if r["chunk"] in u.chunks:
            self.say(r, f"once: chunk {r['chunk']} has two records")
        u.chunks[r["chunk"]] = r

    def finished(self):
        return [u for u in self.all.values() if u.end and u.end["ev"] in ("finish", "put")]

    def present(self):
        """The finished uploads that were not removed, nor were to be."""
        return [u for u in self.finished() if not u.deleting]


# checksums -----------------------------------------------------------------------------------------------------------

crc32c = crcmod.predefined.mkCrcFun("crc-32c")


@functools.lru_cache(maxsize=4096)
def crc_of(path, size, mtime_ns, offset, length):  # size and mtime identify the version of a file
    with open(path, "rb") as f:
        f.seek(offset)
        return f"crc32c:{crc32c(f.read(length)):08x}"


# destinations --------------------------------------------------------------------------------------------------------


class Directory:
    """A file:// destination. Its contents are the files that can be opened."""

    def __init__(self, args, root):
        self.root = Path(os.fsdecode(root.encode().removeprefix(b"file://")))
        self.single = not args.dest.endswith("/") and not self.root.is_dir()

    def names(self):
        """{name under the destination: path}"""
        base = self.root.parent if self.single else self.root
        return {str(p.relative_to(base)): p for p in base.rglob("*") if not p.is_dir()}

    def read(self, name):
        return ((self.root.parent if self.single else self.root) / name).read_bytes()

    def temporary(self, u):
        path = Path(os.fsdecode(u.dest.removeprefix(b"file://")))
        return path.parent / u.begun["handle"].rpartition(":")[0] if u.begun else None

    # marks

    def mark(self, uploads, noted):
        """[{path, offset, ...}]: writes MARK over the first bytes of all recorded data that is not noted yet."""
        made = []
        for u in uploads.all.values():
            final = Path(os.fsdecode(u.dest.removeprefix(b"file://")))
            if u.deleting:
                continue  # another upload may have its destination
            if u.end and u.end["ev"] in ("finish", "put"):
                where = [(final, r["offset"], r["length"], f"chunk {c}") for c, r in u.chunks.items()]
                if u.end["ev"] == "put":
                    where = [(final, 0, u.end["size"], "put")]
            elif u.begun and not u.end:
                where = [(self.temporary(u), r["offset"], r["length"], f"chunk {c}") for c, r in u.chunks.items()]
            else:
                continue
            for path, offset, length, what in where:
                if (u.id, what) in noted:
                    continue
                try:
                    with open(path, "r+b") as f:
                        f.seek(offset)
                        was = f.read(min(length, len(MARK)))
                        f.seek(offset)
                        f.write(MARK[: len(was)])
                except FileNotFoundError:
                    continue  # renamed but not recorded: the content check covers it, so it keeps its bytes
                made.append({"upload": u.id, "dest": os.fsdecode(u.dest), "path": str(final), "offset": offset, "what": what,
                             "was": was.hex()})
        return made

    def check_marks(self, marks, uploads):
        for m in marks["marks"]:
            u, was = uploads.all.get(m["upload"]), bytes.fromhex(m["was"])
            if not u or not u.end or u.end["ev"] == "abort" or u.deleting or not os.path.exists(m["path"]):
                continue  # the object belongs to another upload or is missing: another check reports it
            with open(m["path"], "r+b") as f:
                f.seek(m["offset"])
                have = f.read(len(was))
                f.seek(m["offset"])
                f.write(was)
            if have != MARK[: len(was)]:
                yield f"again: {m['what']} of {m['dest']} was recorded and written again"

    def left_over(self, uploads):
        return []  # the content check reports every unexpected file


class Bucket:
    """An s3:// destination, read with an independent client; credentials come from the environment."""

    def __init__(self, args, root):
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        import awscli.botocore.session
        from awscli.botocore.config import Config
        session = awscli.botocore.session.get_session()
        self.client = session.create_client("s3", endpoint_url=args.endpoint, region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
                                            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}))
        self.bucket, _, self.prefix = root.removeprefix("s3://").partition("/")
        self.single = bool(self.prefix) and not self.prefix.endswith("/")
        self.log, self.sent_at_most = args.access_log, args.sent_at_most

    def pages(self, call, key, **more):
        for page in self.client.get_paginator(call).paginate(Bucket=self.bucket, Prefix=self.prefix, **more):
            yield from page.get(key, [])

    def names(self):
        base = len(self.prefix.rpartition("/")[0]) + ("/" in self.prefix) if self.single else len(self.prefix)
        return {o["Key"][base:]: o["Key"] for o in self.pages("list_objects_v2", "Contents")}

    def read(self, name):
        key = self.prefix if self.single else self.prefix + name
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def owner(self, key):
        return self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"].get("chunklift-upload")

    def mark(self, uploads, noted):
        return []

    def sendings(self):
        """(key, part number or 0, handle, start) of every PUT that the store answered."""
        if not self.log:
            return
        with open(self.log, errors="replace") as f:
            for when, method, path, query, status in LOG_LINE.findall(f.read()):
                if method != "PUT" or not path.startswith(f"/{self.bucket}/{self.prefix}"):
                    continue
                if status == "400":  # the probe that tests whether this store refuses a wrong digest: it does
                    continue
                q = dict(p.partition("=")[::2] for p in (query or "").split("&"))
                start = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()
                yield path[len(self.bucket) + 2:], int(q.get("partNumber", 0)), q.get("uploadId", ""), start

    def recorded(self, uploads):
        """{(key, part, handle): (time of its record, description)}"""
        prefix, found = f"s3://{self.bucket}/".encode(), {}
        for u in uploads.all.values():
            key = u.dest.removeprefix(prefix).decode()
            for c, r in u.chunks.items():
                if c not in u.redone:
                    found[(key, c + 1, u.begun["handle"])] = (stamp(r["ts"]), f"chunk {c}")
            if u.end and u.end["ev"] == "put":
                found[(key, 0, "")] = (stamp(u.end["ts"]), "put")
        return found

    def never_sent(self, recorded):
        """Records without a PUT in the store's log. Polls, because the store writes its log a little after its reply."""
        missing, end = set(recorded) if self.log else set(), time.monotonic() + LOG_S
        while missing and time.monotonic() < end:
            missing -= {sent[:3] for sent in self.sendings()}
            if missing:
                time.sleep(0.05)
        for key, part, handle in sorted(missing):
            yield f"again: {recorded[(key, part, handle)][1]} of s3://{self.bucket}/{key} has a record, and the store's log has no such request"

    def too_often(self):
        count = collections.Counter(sent[:3] for sent in self.sendings())
        for (key, part, handle), n in sorted(count.items()):
            if self.sent_at_most and n > self.sent_at_most:
                yield f"again: {f'part {part} of ' if part else ''}s3://{self.bucket}/{key} was sent {n} times ({handle})"

    def check_marks(self, marks, uploads):
        recorded = self.recorded(uploads)
        yield from self.never_sent(recorded)
        yield from self.too_often()
        dead_since = {(k, p, h): marks["time"] for k, p, h in marks.get("recorded", [])}
        for key, part, handle, start in self.sendings():
            what = recorded.get((key, part, handle))
            limit = dead_since.get((key, part, handle), what[0] + RACE_S if what else None)
            if what and start > limit:
                yield f"again: {what[1]} of s3://{self.bucket}/{key} was recorded and sent again {start - what[0]:.3f} s later"

    def left_over(self, uploads):
        known = {u.begun["handle"]: u for u in uploads.all.values() if u.begun}
        for up in self.pages("list_multipart_uploads", "Uploads"):
            u = known.get(up["UploadId"])
            if u and not u.end:
                continue  # once() reports it as begun without an end
            if not u:
                parts = self.client.list_parts(Bucket=self.bucket, Key=up["Key"], UploadId=up["UploadId"], MaxParts=1)
                if parts.get("Parts"):
                    continue  # another client may own it
            yield (f"left over: an open multipart upload of {up['Key']} ({up['UploadId']}), " +
                   (f"which the journal has seen end ({u.end['ev']})" if u else "without parts, which the journal does not know"))


def destination(args):
    return Bucket(args, args.dest) if args.dest.startswith("s3://") else Directory(args, args.dest)


# all checks ----------------------------------------------------------------------------------------------------------


class Checker:
    def __init__(self, args):
        self.args, self.wrong = args, []
        self.journal = Journal(args.journal)
        self.uploads = Uploads(self.journal.records)
        self.place = destination(args)

    def say(self, what):
        self.wrong.append(what)

    def sources(self):
        """{name under the destination: path}"""
        source = Path(self.args.source)
        if source.is_dir():
            return {str(p.relative_to(source)): p for p in source.rglob("*") if p.is_file()}
        return {os.path.basename(self.args.dest.rstrip("/")) if self.place.single else source.name: source}

    def content(self, sources):
        have = self.place.names()
        for name in sorted(set(have) - set(sources)):
            self.say(f"left over: {name} at the destination")
        for name in sorted(set(sources) - set(have)):
            self.say(f"content: {name} is not at the destination")
        for name in sorted(set(sources) & set(have)):
            want, got = sources[name].read_bytes(), self.place.read(name)
            if want != got:
                at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
                self.say(f"content: {name} differs from its source at byte {at} ({len(got)} bytes, {len(want)} wanted)")

    def once(self, sources):
        ends = {}
        for u in self.uploads.present():
            ends.setdefault(u.dest, []).append(u.end)
        base = os.fsencode(self.args.dest)
        for name in sources:
            dest = base if self.place.single else base + os.fsencode(name)
            found = ends.get(dest, [])
            if len(found) != 1:
                self.say(f"once: {os.fsdecode(dest)} has {len(found)} finish or put records, seq {[r['seq'] for r in found]}")
        for u in self.uploads.all.values():
            if not u.end:
                self.say(f"once: upload {u.id} of {os.fsdecode(u.dest)} was {'begun' if u.begun else 'opened'} and has no end")

    def checksums(self):
        for u in self.uploads.finished():
            r = u.begun or u.end
            if not self.is_unchanged(r):
                continue  # that version of the file no longer exists
            src = os.fsdecode(text(r, "src"))
            version = (src, r["size"], r["mtime_ns"])
            for c, chunk in u.chunks.items():
                if chunk["crc"] != crc_of(*version, chunk["offset"], chunk["length"]):
                    self.say(f"checksums: chunk {c} of {src}: {chunk['crc']} is not that of the source")
            if u.end["crc"] != crc_of(*version, 0, r["size"]):
                self.say(f"checksums: {u.end['ev']} of {src}: {u.end['crc']} is not that of the source")

    def owners(self):
        """The object belongs to the upload that was recorded as finished last."""
        if not isinstance(self.place, Bucket):
            return
        last = {u.dest: u for u in sorted(self.uploads.present(), key=lambda u: u.end["seq"])}
        prefix, there = f"s3://{self.place.bucket}/".encode(), set(self.place.names().values())
        for dest, u in last.items():
            if (key := dest.removeprefix(prefix).decode()) in there:
                owner = self.place.owner(key)
                if owner != u.id:
                    self.say(f"content: {dest.decode()} is of upload {owner}, the journal says {u.id}")

    def directory(self):
        names = sorted(p.name for p in Path(self.args.journal).iterdir() if not JOURNAL_NAMES.fullmatch(p.name))
        if self.journal.records and self.journal.records[-1]["ev"] != "stop" and "consumer" in names:
            names.remove("consumer")  # the `consumer` file tells the next consumer about possible live clients
        for name in names:
            self.say(f"left over: {name} in the journal directory")

    def fails(self):
        for r in self.journal.records:
            if r["ev"] == "fail" and not self.args.may_fail:
                self.say(f"once: a fail record, seq {r['seq']}: {r['error']}")

    def thrown_away(self):
        """Reports an abort of an upload with records if its source is unchanged."""
        for u in self.uploads.all.values():
            if u.end and u.end["ev"] == "abort" and u.chunks and not self.args.may_abort and self.is_unchanged(u.begun):
                self.say(f"again: upload {u.id} had {len(u.chunks)} recorded chunks and was aborted ({u.end['reason']}); its source is unchanged")

    def is_unchanged(self, r):
        try:
            st = os.stat(os.fsdecode(text(r, "src")))
        except FileNotFoundError:
            return False
        return st.st_mtime_ns == int(r["mtime_ns"]) and st.st_size == r["size"]

    def again(self):
        marks = {"marks": [], "time": 0.0}
        if self.args.marks and os.path.exists(self.args.marks):
            marks = json.loads(Path(self.args.marks).read_text())
        for what in self.place.check_marks(marks, self.uploads):
            self.say(what)

    def check(self):
        if self.journal.problem:
            self.say(self.journal.problem)
        if not self.journal.records:
            self.say("chain: the journal is empty")
        sources = self.sources()
        self.wrong += self.uploads.wrong
        self.again()  # removes the marks
        self.thrown_away()
        self.content(sources)
        self.once(sources)
        self.fails()
        self.checksums()
        self.owners()
        self.directory()
        self.wrong += self.place.left_over(self.uploads)
        return self.wrong

    def mark(self):
        """Adds to the notes of earlier --mark runs."""
        path = Path(self.args.marks)
        old = json.loads(path.read_text()) if path.exists() else {"marks": []}
        noted = {(m["upload"], m["what"]) for m in old["marks"]}
        new = self.place.mark(self.uploads, noted)
        recorded = list(self.place.recorded(self.uploads)) if isinstance(self.place, Bucket) else []
        path.write_text(json.dumps({"marks": old["marks"] + new, "recorded": recorded, "time": time.time()}))
        return len(old["marks"]) + len(new) + len(recorded)

    def counts(self):
        return (f"ok {len(self.uploads.finished())} objects, {sum(len(u.chunks) for u in self.uploads.all.values())} chunks, "
                f"{len(self.journal.records)} records")


def arguments(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--journal", required=True)
    p.add_argument("--source")
    p.add_argument("--dest", required=True)
    p.add_argument("--endpoint")
    p.add_argument("--access-log")
    p.add_argument("--marks")
    p.add_argument("--mark", action="store_true")
    p.add_argument("--may-fail", action="store_true", help="fail records are no violation")
    p.add_argument("--may-abort", action="store_true", help="giving up an upload that had records is no violation")
    p.add_argument("--sent-at-most", type=int, help="how often the store may have got one chunk or put (needs --access-log)")
    args = p.parse_args(argv)
    if not (args.marks if args.mark else args.source):
        p.error("--mark needs --marks, a check needs --source")
    if "://" not in args.dest:
        args.dest = "file://" + os.path.abspath(args.dest) + ("/" if args.dest.endswith("/") else "")
    return args


def main(argv=None):
    args = arguments(argv)
    checker = Checker(args)
    if args.mark:
        print(f"marked {checker.mark()}")
        return 0
    wrong = checker.check()
    print("\n".join(wrong) if wrong else checker.counts())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
