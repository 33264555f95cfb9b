"""cp --delete: exactly the recorded objects without a source leave the destination, after a run without an error, and also after kills
at any moment."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from servers.memory_store import CUT, Answer, MemoryStore, refuse
from support.box import check_chain, no_signal_waits, random_file, wait_for

MIB = 1 << 20
LEASE = ("--lease", "500ms")  # so that the removals of a command that was killed are over soon


class Directory:
    """A local directory as destination."""

    def __init__(self, box):
        self.top = box.dir / "dst"
        self.url, self.args, self.env = f"file://{self.top}/", (), {}
        self.chunk, self.sizes = "64KiB", (0, 10, 700, 70_000, 200_000)

    def names(self):
        """Without the temporary files of uploads that were killed, which `gc` removes."""
        return {str(p.relative_to(self.top)) for p in self.top.rglob("*") if p.is_file() and not p.name.startswith(".chunklift-")} if self.top.exists() else set()

    def put(self, name, body):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def remove(self, name):
        (self.top / name).unlink()

    def body(self, name):
        return (self.top / name).read_bytes()

    def is_unrecorded(self, name, records):
        """An upload to this name was killed before the record of its end."""
        ended = {r["upload"] for r in records if r["ev"] in ("put", "finish", "abort")}
        return any(r["ev"] == "open" and r["dest"] == self.url + name and r["upload"] not in ended for r in records)


class Bucket:
    """A prefix of a real gateway's bucket."""

    def __init__(self, box, rgw):
        self.prefix, self.s3 = f"delete/{box.mark}/", rgw.s3
        self.url, self.args, self.env = f"s3://bucket/{self.prefix}", ("--endpoint-url", rgw.endpoint), rgw.env
        self.chunk, self.sizes = "5MiB", (0, 10, 700, 70_000, 6 * MIB)

    def names(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=self.prefix)
        return {o["Key"].removeprefix(self.prefix) for page in pages for o in page.get("Contents", ())}

    def put(self, name, body):
        self.s3.put_object(Bucket="bucket", Key=self.prefix + name, Body=body)

    def remove(self, name):
        self.s3.delete_object(Bucket="bucket", Key=self.prefix + name)

    def body(self, name):
        return self.s3.get_object(Bucket="bucket", Key=self.prefix + name)["Body"].read()

    def is_unrecorded(self, name, records):
        """As above. A `put` has no record before its end."""
        upload = self.s3.head_object(Bucket="bucket", Key=self.prefix + name)["Metadata"]["chunklift-upload"]
        return upload not in {r["upload"] for r in records if r["ev"] in ("put", "finish")}


@pytest.fixture(params=["file", "rgw"])
def target(request, box):
    return Directory(box) if request.param == "file" else Bucket(box, request.getfixturevalue("rgw"))


def tree(box, count=6, large=True):
    src = box.dir / "src"
    for i in range(count):
        random_file(src / f"f{i}", 1000 + i, seed=i)
    random_file(src / "sub" / "dir" / "deep", 77, seed=50)
    random_file(src / "empty", 0)
    if large:
        random_file(src / "large", 11 * MIB, seed=99)
    return src


def files_of(src):
    return {str(p.relative_to(src)) for p in src.rglob("*") if p.is_file()}


def cp(box, target, *more, status=0, delete=True, **kw):
    args = ("-r", "--chunk-size", "5MiB", *target.args, *LEASE, *(("--delete",) if delete else ()), *more)
    return box.cp(*args, box.dir / "src", target.url, env=target.env, status=status, **kw)


def removals(box):
    """({destination: upload} of the `deleting` lines, the same of the `delete` lines); each upload has at most one of each."""
    found = []
    for event in ("deleting", "delete"):
        lines = box.records(event)
        assert len({r["upload"] for r in lines}) == len(lines), lines
        found.append({r["dest"]: r["upload"] for r in lines})
    return found


def newest(box):
    """{destination: upload} of the objects that were made."""
    return {r["dest"]: r["upload"] for r in box.records() if r["ev"] in ("put", "finish")}


def last_line(done):
    return done.stderr.splitlines()[-1]


# ---- objects that go -------------------------------------------------------------------------------------------


def test_objects_whose_files_are_gone_are_removed(box, target):
    """`deleting` and `delete` name the uploads of exactly these objects. Objects of others beside them stay, also with similar names."""
    src = tree(box)
    foreign = {"foreign", "sub/foreign", "sub/dir/f0", "f00", "z/f1"}
    for name in foreign:
        target.put(name, b"of another program")
    assert "0 objects removed" in last_line(cp(box, target))
    assert not box.records("deleting")
    before, made = files_of(src), newest(box)
    (src / "f1").unlink()
    (src / "large").unlink()
    (src / "empty").unlink()
    shutil.rmtree(src / "sub")
    (src / "f2").unlink()
    (src / "f2").mkdir()  # a directory took its place
    random_file(src / "new", 10)
    gone = {"f1", "large", "empty", "sub/dir/deep", "f2"}
    assert before - files_of(src) == gone
    done = cp(box, target)
    assert last_line(done) == f"{target.url}: 5 objects removed"
    assert "1 file uploaded" in done.stderr.splitlines()[-2]
    assert target.names() == files_of(src) | foreign
    began, ended = removals(box)
    assert began == ended == {target.url + name: made[target.url + name] for name in gone}
    order = [(r["ev"], r["upload"]) for r in box.records() if r["ev"] in ("deleting", "delete")]
    assert all(order.index(("deleting", upload)) < order.index(("delete", upload)) for upload in ended.values())
    check_chain(box.journal)
    assert last_line(cp(box, target)) == f"{target.url}: 0 objects removed" and removals(box) == [began, ended]
    assert target.names() == files_of(src) | foreign


def test_without_the_option_nothing_is_removed(box, target):
    src = tree(box, large=False)
    cp(box, target, delete=False)
    kept = target.names()
    (src / "f1").unlink()
    done = cp(box, target, delete=False)
    assert "removed" not in done.stderr and target.names() == kept


def test_other_commands_agree(box, target):
    """Removed objects are no objects of `verify` and `journal export`, and the journal is valid."""
    src = tree(box, large=False)
    cp(box, target)
    (src / "f1").unlink()
    cp(box, target)
    assert "0 differ" not in box.run("verify", "--journal", box.journal, env=target.env).stderr
    exported = {json.loads(line)["dest"] for line in box.run("journal", "export", box.journal).stdout.splitlines()}
    assert exported == {target.url + name for name in files_of(src)}
    box.run("journal", "verify", box.journal)


def test_a_file_that_comes_back_is_a_new_upload(box, target):
    """Also one with the attributes and the content that it had before."""
    src = tree(box, large=False)
    shutil.copytree(src, box.dir / "copy")  # with its times
    cp(box, target)
    first = newest(box)[target.url + "f1"]
    os.rename(src / "f1", box.dir / "away")
    cp(box, target)
    assert "f1" not in target.names()
    os.rename(box.dir / "away", src / "f1")
    done = cp(box, target)
    assert "1 file uploaded" in done.stderr and target.body("f1") == (src / "f1").read_bytes()
    assert newest(box)[target.url + "f1"] != first
    (src / "f1").unlink()
    assert last_line(cp(box, target)) == f"{target.url}: 1 object removed"
    assert target.names() == files_of(src) and len(box.records("delete")) == 2


def test_names_that_need_care(box, target):
    """Blanks, markup, newlines and letters of many bytes: each is removed, and a similar one stays."""
    src = box.dir / "src"
    names = ["a b", "a  b", " a", "<&>'\"", "line\nbreak", "größe", "ｗide", "%41", "A", "a+b", "a%20b", "#?", "x" * 200]
    for i, name in enumerate(names):
        random_file(src / name, 10 + i, seed=i)
    for name in ("a   b", "a"):
        target.put(name, b"foreign")
    cp(box, target)
    assert target.names() == set(names) | {"a   b", "a"}
    for name in names[::2]:
        (src / name).unlink()
    cp(box, target)
    assert target.names() == set(names[1::2]) | {"a   b", "a"}
    for name in names[1::2]:
        (src / name).unlink()
    cp(box, target)
    assert target.names() == {"a   b", "a"}


# ---- objects that stay ----------------------------------------------------------------------------------------------


def test_an_object_that_another_program_replaced_is_kept(box, target):
    src = tree(box, large=False)
    cp(box, target)
    first = target.body("f2")
    target.put("f1", b"another size")
    target.put("f2", b"x" * len(first))  # of the same size
    if isinstance(target, Directory):
        times = os.stat(src / "f2")
        os.utime(target.top / "f2", ns=(times.st_atime_ns, times.st_mtime_ns))  # and the same time
        replaced = {"f1", "f2"}
    else:
        target.put("f3", (src / "f3").read_bytes())  # even the same bytes
        replaced = {"f1", "f2", "f3"}
    for name in ("f1", "f2", "f3", "f4"):
        (src / name).unlink()
    done = cp(box, target)
    gone = {"f1", "f2", "f3", "f4"} - replaced
    assert last_line(done) == f"{target.url}: {len(gone)} object{'s' if len(gone) > 1 else ''} removed, {len(replaced)} kept (replaced by another program)"
    for name in replaced:
        assert f"{target.url}{name}: kept: another program replaced it, or it was changed (" in done.stderr
    assert target.names() == files_of(src) | replaced
    began, ended = removals(box)
    assert began == ended and set(ended) == {target.url + name for name in gone}


def test_a_touched_file_of_the_recorded_bytes_is_removed(box):
    """Its change time says nothing, so its bytes are compared."""
    target = Directory(box)
    src = tree(box)
    cp(box, target)
    for name in ("f1", "large"):
        os.chmod(target.top / name, 0o600)
        (src / name).unlink()
    assert last_line(cp(box, target)) == f"{target.url}: 2 objects removed"
    assert target.names() == files_of(src)


def test_an_object_that_is_missing_is_recorded(box, target):
    src = tree(box, large=False)
    cp(box, target)
    for name in ("f1", "f2"):
        target.remove(name)
        (src / name).unlink()
    assert last_line(cp(box, target)) == f"{target.url}: 2 objects removed"
    began, ended = removals(box)
    assert began == ended and set(ended) == {target.url + "f1", target.url + "f2"}
    assert last_line(cp(box, target)) == f"{target.url}: 0 objects removed"


def test_only_objects_of_this_command(box, target):
    """Other sources, names of sources, destinations and single files are not its own, although the same journal has them."""
    src, other = tree(box, large=False), box.dir / "other"
    for i in range(3):
        random_file(other / f"o{i}", 50 + i, seed=60 + i)
    common = ("-r", *target.args, *LEASE)
    cp(box, target)
    box.cp(*common, other, target.url, env=target.env)  # another directory, the same prefix
    box.cp(*common, "--source-name", "nas", src, target.url + "nas/", env=target.env)
    box.cp(*common, src, target.url + "copy/", env=target.env)
    kept = target.names()
    (src / "f1").unlink()
    (other / "o1").unlink()
    cp(box, target)
    assert target.names() == kept - {"f1"}
    box.cp(*common, "--delete", src, target.url + "nas/", env=target.env)  # without its name
    assert target.names() == kept - {"f1"} | {f"nas/{name}" for name in files_of(src)}
    box.cp(*common, "--delete", other, target.url, env=target.env)
    assert target.names() == kept - {"f1", "o1"}


def test_several_directories_and_a_file(box, target):
    a, b = box.dir / "a", box.dir / "b"
    for i in range(3):
        random_file(a / f"f{i}", 50 + i, seed=i)
        random_file(b / f"f{i}", 60 + i, seed=10 + i)
    single = random_file(box.dir / "single", 5)
    args = ("-r", "--delete", *target.args, *LEASE, a, single, b, target.url)
    box.cp(*args, env=target.env)
    (a / "f1").unlink()
    (b / "f2").unlink()
    box.cp(*args, env=target.env)
    assert target.names() == {"single", "a/f0", "a/f2", "b/f0", "b/f1"}


def test_links_and_special_files_keep_their_objects(box):
    target, src = Directory(box), tree(box, large=False)
    cp(box, target)
    for name in ("f1", "f2"):
        (src / name).unlink()
    (src / "f1").symlink_to("nowhere")
    os.mkfifo(src / "f2")
    shutil.move(src / "sub", box.dir / "sub")
    (src / "sub").symlink_to(box.dir / "sub")
    (box.dir / "sub" / "dir" / "deep").unlink()
    kept = target.names()
    assert last_line(cp(box, target)) == f"{target.url}: 0 objects removed" and target.names() == kept


def test_a_run_with_a_failed_file_removes_nothing(box, target):
    src = tree(box, large=False)
    cp(box, target)
    kept = target.names()
    (src / "f1").unlink()
    done = box.cp("-r", "--delete", *target.args, *LEASE, "-L", src, target.url, env=target.env)
    assert target.names() == kept - {"f1"}
    (src / "f2").unlink()
    (src / "broken").symlink_to("nowhere")
    done = cp(box, target, "-L", status=1)
    assert "--delete: no object is removed after failed files" in done.stderr and "removed" not in last_line(done)
    assert target.names() == kept - {"f1"} and len(box.records("deleting")) == 1


def test_a_damaged_journal_removes_nothing(box):
    """A line that cannot be read may be about a newer object."""
    target, src = Directory(box), tree(box, 40, large=False)
    consumer = box.start("--rotate", "4KiB", "--journal", box.journal, program="chunklift-consumer")
    wait_for((box.journal / "consumer").exists, what="the consumer runs")
    cp(box, target, delete=False)
    consumer.terminate()
    assert consumer.wait(20) == 0
    sealed = next(f for f in sorted(box.journal.glob("journal.*.jsonl")) if b'"ev":"put"' in f.read_bytes())
    text = sealed.read_bytes()
    (src / "f1").unlink()
    kept = target.names()
    sealed.write_bytes(text.replace(b'"ev":"put"', b'"ev":"pot', 1))
    done = cp(box, target, status=1)
    assert "the journal is damaged; no object is removed" in done.stderr and target.names() == kept
    sealed.write_bytes(text)
    cp(box, target)
    assert target.names() == files_of(src)


# ---- options ---------------------------------------------------------------------------------------------------


def test_a_limit(box, target):
    src = tree(box, large=False)
    cp(box, target)
    kept = target.names()
    for name in ("f1", "f2", "f3"):
        (src / name).unlink()
    for limit in ("0", "2"):
        done = cp(box, target, "--max-delete", limit, status=1)
        assert f"chunklift: --max-delete: 3 objects without a source, more than {limit}; none is removed\n" in done.stderr
        assert last_line(done) == f"{target.url}: 0 objects removed"
    assert target.names() == kept and not box.records("deleting")
    cp(box, target, "--max-delete", "3")
    assert target.names() == files_of(src)


def test_filters(box, target):
    """Excluded files stay at the destination, unless --delete-excluded says otherwise. Then a run without them sends it again."""
    src = tree(box, large=False)
    random_file(src / "build" / "x.o", 30)
    random_file(src / "y.o", 30)
    random_file(src / "big", 40_000)
    cp(box, target)
    assert "add --delete-excluded" in cp(box, target, "--exclude", "*.o", status=2).stderr
    excluded = ("--exclude", "build/", "--exclude", "y.o", "--max-size", "20k")
    cp(box, target, *excluded, delete=False)
    assert target.names() == files_of(src)
    (src / "f1").unlink()
    cp(box, target, *excluded, "--delete-excluded")
    assert target.names() == files_of(src) - {"build/x.o", "y.o", "big"}
    assert {"build/x.o", "y.o", "big"} <= files_of(src)
    assert "3 files uploaded" in cp(box, target).stderr
    assert target.names() == files_of(src)


@pytest.mark.parametrize("args, said", [
    (["--delete", "src", "dst/"], "--delete: is about the files of directories; add -r"),
    (["--delete", "-r", "--files-from", "list", "src", "dst/"], "--delete: a list does not say which files are gone"),
    (["--delete", "-r", "--include", "*.c", "src", "dst/"], "--delete: files that the filters leave out would count as gone; add --delete-excluded"),
    (["--delete", "-r", "--filter-from", "rules", "src", "dst/"], "--delete: files that the filters leave out would count as gone"),
    (["--delete", "-r", "--min-size", "1k", "src", "dst/"], "--delete: files that the filters leave out would count as gone"),
    (["--delete", "-r", "--max-age", "1d", "src", "dst/"], "--delete: files that the filters leave out would count as gone"),
    (["--delete", "-", "dst/x"], "--delete: standard input has no files that could be gone"),
    (["--delete", "-r", "--consumer", "ipc:///x", "src", "dst/"], "--delete: reads the journal directory of this host"),
    (["--delete-excluded", "-r", "src", "dst/"], "--delete-excluded: extends --delete"),
    (["--max-delete", "1", "-r", "src", "dst/"], "--max-delete: limits --delete"),
    (["--delete", "--max-delete", "x", "-r", "src", "dst/"], "--max-delete x: "),
])
def test_wrong_use_gets_one_line(box, args, said):
    tree(box, large=False)
    (box.dir / "rules").write_text("- *.o\n")
    with open(box.dir / "src" / "f0", "rb") as f:
        program = box.command("cp", "--journal", box.journal, *args)
        done = subprocess.run(program, stdin=f, env=box.env, cwd=box.dir, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not box.journal.exists()


def test_a_producer_has_no_such_option(box):
    assert "--delete: unknown option" in box.run("producer", "-r", "--delete", "--journal", box.journal, "src", "dst/", status=2).stderr


# ---- dry runs --------------------------------------------------------------------------------------------------


def contents(*tops):
    found = {}
    for top in tops:
        for path in [top, *top.rglob("*")] if top.exists() else []:
            st = path.lstat()
            found[str(path)] = (st.st_mode, st.st_ino, st.st_mtime_ns, path.read_bytes() if path.is_file() else None)
    return found


def would_delete(done):
    return [e for e in map(json.loads, done.stdout.splitlines()) if e["event"] == "would-delete"]


def test_a_dry_run_says_what_a_run_removes(box, target):
    src = tree(box, large=False)
    cp(box, target)
    for name in ("f1", "f2", "sub/dir/deep"):
        (src / name).unlink()
    random_file(src / "new", 10)
    box.gone()
    before, there = contents(box.journal), target.names()
    text = cp(box, target, "--dry-run")
    assert {f"delete: {target.url}{name}" for name in ("f1", "f2", "sub/dir/deep")} == {line for line in text.stdout.splitlines() if line.startswith("delete")}
    assert ", 3 to delete, 0 failed" in last_line(text)
    done = cp(box, target, "--dry-run", "--json")
    said = would_delete(done)
    totals = json.loads(done.stdout.splitlines()[-1])
    assert {(e["src"], e["dest"], e["size"]) for e in said} == {
        (f"{src}/f1", target.url + "f1", 1001), (f"{src}/f2", target.url + "f2", 1002), (f"{src}/sub/dir/deep", target.url + "sub/dir/deep", 77)}
    assert totals["delete_files"] == 3 and totals["delete_bytes"] == 1001 + 1002 + 77 and totals["upload_files"] == 1
    assert totals["requests"] == (1 + 3 + 1 if isinstance(target, Bucket) else 0)
    assert contents(box.journal) == before and target.names() == there
    limited = cp(box, target, "--dry-run", "--json", "--max-delete", "2", status=1)
    assert would_delete(limited) == [] and "--max-delete: 3 objects without a source, more than 2" in limited.stderr
    assert contents(box.journal) == before
    events = [json.loads(line) for line in cp(box, target, "--json").stdout.splitlines()]
    assert sorted((e["src"], e["dest"], e["size"]) for e in events if e["event"] == "deleted") == sorted((e["src"], e["dest"], e["size"]) for e in said)
    assert would_delete(cp(box, target, "--dry-run", "--json")) == []


def test_a_dry_run_without_a_journal_makes_none(box):
    target = Directory(box)
    tree(box, large=False)
    done = cp(box, target, "--dry-run", "--json")
    assert would_delete(done) == [] and not box.journal.exists() and not target.top.exists()


def test_a_dry_run_beside_a_consumer(box):
    target, src = Directory(box), tree(box, large=False)
    cp(box, target)
    (src / "f1").unlink()
    consumer = box.start("--journal", box.journal, program="chunklift-consumer")
    wait_for((box.journal / "consumer").exists, what="the consumer runs")
    before = (box.journal / "journal.jsonl").read_bytes()
    assert [e["dest"] for e in would_delete(cp(box, target, "-n", "--json"))] == [target.url + "f1"]
    assert (box.journal / "journal.jsonl").read_bytes() == before and "f1" in target.names()
    cp(box, target)  # it joins the consumer
    assert target.names() == files_of(src) and consumer.poll() is None
    consumer.terminate()
    assert consumer.wait(20) == 0


# ---- output ----------------------------------------------------------------------------------------------------


def test_events_and_report(box, target):
    src = tree(box, large=False)
    cp(box, target)
    target.put("f1", b"replaced")
    for name in ("f1", "f2", "f3"):
        (src / name).unlink()
    report = box.dir / "report"
    done = cp(box, target, "--json", "--report", report)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    deleted = [e for e in events if e["event"] == "deleted"]
    assert sorted((e["src"], e["dest"], e["size"]) for e in deleted) == [(f"{src}/f{i}", f"{target.url}f{i}", 1000 + i) for i in (2, 3)]
    assert all("ts" in e for e in deleted)
    said = json.loads(report.read_text())
    for e in (said, events[-1]):
        assert (e["deleted"], e["kept"], e["delete_failed"], e["status"]) == (2, 1, 0, 0)
    assert events[-1]["event"] == "summary" and said["result"] == "done"
    assert len([e for e in events if e["event"] == "summary"]) == 1
    (src / "f4").unlink()
    shown = cp(box, target, "-v").stderr
    assert f"chunklift: {target.url}f4: removed; its source is gone: {src}/f4\n" in shown
    assert ": removed; " not in cp(box, target).stderr


def test_objects_that_the_store_refuses_to_remove(box):
    """Each has its line, the others are removed, the exit status is 1, and the next run tries again."""
    target, src = Directory(box), tree(box, large=False)
    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        for name in ("f1", "f2", "f3"):
            (src / name).unlink()
        store.undeletable = {"p/f2": "AccessDenied"}
        report = box.dir / "report"
        done = cp(box, target, "--report", report, status=1)
        assert "chunklift: s3://bucket/p/f2: not removed: " in done.stderr and last_line(done) == "s3://bucket/p/: 2 objects removed, 1 failed"
        assert {k for k in store.objects if k in ("p/f1", "p/f2", "p/f3")} == {"p/f2"}
        began, ended = removals(box)
        assert len(began) == 3 and "s3://bucket/p/f2" not in ended and len(ended) == 2
        assert json.loads(report.read_text())["delete_failed"] == 1
        random_file(src / "f2", 5, seed=70)  # it comes back, with other bytes
        cp(box, target)
        assert store.objects["p/f2"]["body"] == (src / "f2").read_bytes()
        (src / "f2").unlink()
        store.undeletable = {}
        assert last_line(cp(box, target)) == "s3://bucket/p/: 1 object removed" and "p/f2" not in store.objects


def test_a_request_that_is_refused_removes_nothing(box):
    target, src = Directory(box), tree(box, large=False)

    def before(request):
        return refuse(403, "AccessDenied") if request.kind in ("deletes", "delete") else None

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        for name in ("f1", "f2"):
            (src / name).unlink()
        store.before = before
        done = cp(box, target, status=1)
        for name in ("f1", "f2"):
            assert f"chunklift: s3://bucket/p/{name}: not removed: " in done.stderr and f"p/{name}" in store.objects
        assert last_line(done) == "s3://bucket/p/: 0 objects removed, 2 failed"
        assert len(box.records("deleting")) == 2 and not box.records("delete")
        store.before = None
        assert last_line(cp(box, target)) == "s3://bucket/p/: 2 objects removed"
        assert len(box.records("deleting")) == 2 and len(box.records("delete")) == 2


def test_a_missing_bucket_says_nothing_about_its_objects(box):
    """The store answers 404 for each of them."""
    target, src = Directory(box), tree(box, large=False)

    def before(request):
        return Answer(404) if request.kind == "head" else refuse(404, "NoSuchBucket")

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        (src / "f1").unlink()
        store.before = before
        done = cp(box, target, status=1)
        assert "NoSuchBucket" in done.stderr and "; no object is removed\n" in done.stderr, done.stderr
        assert not box.records("deleting")
        store.before = None
        assert last_line(cp(box, target)) == "s3://bucket/p/: 1 object removed"


def test_an_account_that_may_not_list_uploads_removes_objects(box):
    """The question whether the bucket is there stays without an answer."""
    target, src = Directory(box), tree(box, large=False)

    def before(request):
        return refuse(403, "AccessDenied") if request.method == "GET" and "uploads" in request.query else None

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        store.before = before
        cp(box, target)
        (src / "f1").unlink()
        assert last_line(cp(box, target)) == "s3://bucket/p/: 1 object removed"
        assert store.count("uploads") > 0


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/"])
def test_a_whole_bucket_is_the_destination(box, url):
    target, src = Directory(box), tree(box, large=False)
    with MemoryStore() as store:
        target.url, target.args, target.env = url, ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        (src / "f1").unlink()
        cp(box, target)
        assert "f1" not in store.objects and "f2" in store.objects


def test_a_missing_destination_says_nothing_about_its_objects(box):
    """A disk that is not mounted."""
    target, src = Directory(box), box.dir / "src"
    random_file(src / "f1", 10)
    cp(box, target)
    (src / "f1").unlink()
    os.rename(target.top, box.dir / "unmounted")
    done = cp(box, target, status=1)
    assert f"chunklift: {target.url}: is not a directory; no object is removed\n" in done.stderr, done.stderr
    assert not box.records("deleting")
    os.rename(box.dir / "unmounted", target.top)
    assert last_line(cp(box, target)) == f"{target.url}: 1 object removed"


def many_gone(box, store, count):
    """Files in p/a and p/b have been sent, and are gone."""
    target, src = Directory(box), box.dir / "src"
    target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
    random_file(src / "stays", 1)
    for name in "ab":
        (src / name).mkdir()
        for i in range(count):
            (src / name / f"{i:04}-{'n' * 100}").write_bytes(b"x")
        cp(box, target)
    shutil.rmtree(src / "a")
    shutil.rmtree(src / "b")
    return target


def test_requests_that_are_refused_do_not_keep_other_objects(box):
    """Whole requests fail, those of the objects that were sent first."""
    with MemoryStore() as store:
        target = many_gone(box, store, 200)
        store.undeletable = {key: "AccessDenied" for key in store.objects if key.startswith("p/a/")}
        done = cp(box, target, status=1)
        assert last_line(done) == "s3://bucket/p/: 200 objects removed, 200 failed" and store.count("deletes") > 3
        assert sorted(key[:3] for key in store.objects) == ["p/a"] * 200 + ["p/s"]


@pytest.mark.crash
def test_a_removal_ends_after_many_refused_requests(box):
    with MemoryStore() as store:
        target = many_gone(box, store, 4000)
        store.before = lambda request: refuse(403, "AccessDenied") if request.kind in ("deletes", "delete") else None
        done = cp(box, target, status=1)
        assert "chunklift: 16 requests in a row have failed, no more objects are removed; " in done.stderr
        assert len(store.objects) == 8001 and len(box.records("deleting")) < 8000


def test_an_object_that_the_store_refuses_to_show_is_kept(box):
    target, src = Directory(box), tree(box, large=False)

    def before(request):
        return Answer(403) if request.kind == "head" and request.key == "p/f1" else None

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        (src / "f1").unlink()
        (src / "f2").unlink()
        store.before = before
        done = cp(box, target, status=1)
        assert "s3://bucket/p/f1: not removed: " in done.stderr and last_line(done) == "s3://bucket/p/: 1 object removed, 1 failed"
        assert "p/f1" in store.objects and "p/f2" not in store.objects
        assert set(removals(box)[0]) == {"s3://bucket/p/f2"}


def test_a_file_that_comes_back_during_the_removal_keeps_its_object(box):
    """The last look is right before the request. Such a file is sent again, because the removal of its object was recorded."""
    target, src = Directory(box), tree(box, large=False)
    asked, hold = threading.Event(), threading.Event()

    def before(request):
        if request.kind == "head" and request.key == "p/f2":
            asked.set()
            hold.wait(60)

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        first = newest(box)["s3://bucket/p/f1"]
        for name in ("f1", "f2"):
            os.rename(src / name, box.dir / name)
        store.before = before
        child = box.start_cp("-r", "--delete", *target.args, *LEASE, src, target.url, env=target.env)
        assert asked.wait(30)
        wait_for(lambda: box.records("deleting"), what="the removal of f1 begins")
        os.rename(box.dir / "f1", src / "f1")
        hold.set()
        assert child.wait(60) == 0
        said = child.log.read_text()
        assert f"s3://bucket/p/f1: kept: its source is there again: {src}/f1" in said
        assert said.splitlines()[-1] == "s3://bucket/p/: 1 object removed, 1 kept (the source is there again)"
        assert "p/f1" in store.objects and "p/f2" not in store.objects
        assert "1 file uploaded" in cp(box, target).stderr
        assert newest(box)["s3://bucket/p/f1"] != first and {k.removeprefix("p/") for k in store.objects} == files_of(src)
        assert set(removals(box)[1]) == {"s3://bucket/p/f2"}


def test_many_objects_are_few_requests(box):
    """Those that a dry run counts."""
    target, src = Directory(box), box.dir / "src"
    for i in range(1500):
        random_file(src / f"{i:04}", 0)
    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        for i in range(1500):
            if i % 3:
                (src / f"{i:04}").unlink()
        box.gone()
        totals = json.loads(cp(box, target, "-n", "--json").stdout.splitlines()[-1])
        store.requests.clear()
        assert last_line(cp(box, target)) == "s3://bucket/: 1,000 objects removed"
        assert set(store.objects) == {f"{i:04}" for i in range(0, 1500, 3)}
        asked, deletes = {r.key for r in store.requests if r.kind == "head"}, store.count("deletes")
        assert len(asked) == 1000 and 2 <= deletes <= 4 and store.count("delete") == 0
        assert totals["delete_files"] == 1000 and 1002 <= totals["requests"] <= 1000 + deletes


def test_a_journal_that_was_shortened(box):
    """Carried records have the sources."""
    target, src = Directory(box), tree(box, 60)
    consumer = box.start("--rotate", "8KiB", "--journal", box.journal, program="chunklift-consumer")
    wait_for((box.journal / "consumer").exists, what="the consumer runs")
    cp(box, target, delete=False)
    (src / "f7").unlink()
    cp(box, target)
    consumer.terminate()
    assert consumer.wait(20) == 0
    box.run("journal", "retire", "--remove", box.journal)
    for name in ("large", "f5", "f6"):
        (src / name).unlink()
    assert last_line(cp(box, target)) == f"{target.url}: 3 objects removed"
    assert target.names() == files_of(src)


# ---- interruptions ---------------------------------------------------------------------------------------------


class Held:
    """A store that holds the requests that remove objects. carried_out: after it did as they say."""

    def __init__(self, box, carried_out):
        self.store, self.carried_out = MemoryStore(self.before), carried_out
        self.hold, self.arrived, self.on = threading.Event(), threading.Event(), False
        self.target = Directory(box)

    def before(self, request):
        if not self.on or request.kind not in ("deletes", "delete"):
            return None
        answer = self.store.answer(request) if self.carried_out else None
        self.arrived.set()
        self.hold.wait(60)
        return answer or CUT

    def __enter__(self):
        self.store.__enter__()
        self.target.url, self.target.args, self.target.env = "s3://bucket/p/", ("--endpoint-url", self.store.endpoint), self.store.env
        return self

    def __exit__(self, *exc):
        self.hold.set()
        self.store.__exit__(*exc)

    def names(self):
        return {key.removeprefix("p/") for key in self.store.objects}


def start_removal(box, held):
    """Up to the request that removes f1, f2 and f3. Returns the command, which is not over."""
    src = tree(box, large=False)
    cp(box, held.target)
    for name in ("f1", "f2", "f3"):
        os.rename(src / name, box.dir / name)
    box.gone()
    held.on = True
    child = box.start_cp("-r", "--delete", *held.target.args, *LEASE, src, held.target.url, env=held.target.env)
    assert held.arrived.wait(30)
    assert len(box.records("deleting")) == 3 and not box.records("delete")
    return child, src


def release(held):
    held.on = False
    held.hold.set()


def rerun(box, target, *more):
    """The same command until it ends without an error: removals of a command that was killed last for a lease time."""
    for attempt in itertools.count():
        done = cp(box, target, *more, status=None)
        if done.returncode == 0:
            return done
        assert attempt < 10 and done.returncode in (1, 3), done.stderr
        time.sleep(0.3)


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("back", [False, True], ids=["gone", "back"])
def test_all_are_killed_while_objects_are_removed(box, carried_out, back):
    """The next run removes the rest, and records each removal once. A file that came back is uploaded again, and stays."""
    with Held(box, carried_out) as held:
        child, src = start_removal(box, held)
        box.kill_all()
        child.wait()
        release(held)
        if back:
            os.rename(box.dir / "f2", src / "f2")  # as it was
        done = rerun(box, held.target)
        assert held.names() == files_of(src)
        began, ended = removals(box)
        gone = {"f1", "f3"} if back else {"f1", "f2", "f3"}
        assert set(ended) == {held.target.url + name for name in gone} and len(began) == 3
        if back:
            assert held.store.objects["p/f2"]["body"] == (src / "f2").read_bytes()
            assert newest(box)[held.target.url + "f2"] != began[held.target.url + "f2"]
        assert f"{held.target.url}: " in last_line(done)
        box.run("journal", "verify", box.journal)


@pytest.mark.parametrize("program", ["chunklift-consumer", "chunklift-uploader"])
@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
def test_a_program_is_killed_while_objects_are_removed(box, program, carried_out):
    with Held(box, carried_out) as held:
        child, src = start_removal(box, held)
        for pid in box.processes(program):
            os.kill(pid, signal.SIGKILL)
        release(held)
        assert child.wait(60) in (0, 1), child.log.read_text()
        rerun(box, held.target)
        assert held.names() == files_of(src)
        began, ended = removals(box)
        assert began == ended and len(ended) == 3
        box.run("journal", "verify", box.journal)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_request_while_objects_are_removed(box, signals):
    with Held(box, False) as held:
        child, src = start_removal(box, held)
        report = box.dir / "report"
        for _ in range(signals):
            child.send_signal(signal.SIGTERM)
            wait_for(lambda: no_signal_waits(child), what="it took the signal")
        release(held)
        assert child.wait(60) == 128 + signal.SIGTERM
        box.gone()
        assert "interrupted; the same command resumes" in child.log.read_text() and not report.exists()
        rerun(box, held.target)
        assert held.names() == files_of(src)


def test_an_unfinished_upload_to_the_same_name_is_no_obstacle(box):
    """The file was changed, its upload was killed, and the file is gone now. The object is removed; `gc` aborts the upload."""
    target, src = Directory(box), tree(box)
    hold, arrived = threading.Event(), threading.Event()

    def before(request):
        if request.kind == "chunk":
            arrived.set()
            hold.wait(60)
            return CUT
        return None

    with MemoryStore() as store:
        target.url, target.args, target.env = "s3://bucket/p/", ("--endpoint-url", store.endpoint), store.env
        cp(box, target)
        random_file(src / "large", 12 * MIB, seed=98)
        store.before = before
        child = box.start_cp("-r", "--delete", "--chunk-size", "5MiB", *target.args, *LEASE, src, target.url, env=target.env)
        assert arrived.wait(30)
        box.kill_all()
        child.wait()
        store.before = None
        hold.set()
        (src / "large").unlink()
        wait_for(lambda: cp(box, target, status=None).returncode == 0, what="the lease of the killed uploader has ended", every=0.3)
        assert "p/large" not in store.objects and len(box.records("delete")) == 1 and store.uploads
        box.run("gc", "--yes", "--journal", box.journal, env=target.env)
        assert not store.uploads


def test_an_upload_waits_for_a_removal_under_way(box):
    """Another command wants to upload a file of the same name at this moment: its object is not the one that is removed."""
    with Held(box, False) as held:
        child, src = start_removal(box, held)
        os.rename(box.dir / "f2", src / "f2")
        other = box.start_cp("-r", *held.target.args, *LEASE, src, held.target.url, env=held.target.env)
        time.sleep(1)
        assert other.poll() is None
        assert len([r for r in held.store.requests if r.kind == "put" and r.key == "p/f2"]) == 1  # that of the first run
        release(held)
        assert other.wait(60) == 0
        assert child.wait(60) in (0, 1)
        rerun(box, held.target)
        assert held.names() == files_of(src) and held.store.objects["p/f2"]["body"] == (src / "f2").read_bytes()


# ---- a model ---------------------------------------------------------------------------------------------------


class Model:
    """A tree that changes at random between runs of `cp --delete`, some of which are killed."""

    def __init__(self, box, target, seed):
        self.box, self.target, self.random = box, target, random.Random(seed)
        self.src = box.dir / "src"
        self.names = [f"{d}n{i}" for d in ("", "a/", "a/b/", "c/") for i in range(12)]
        self.count = self.kills = 0
        self.takes_s = 0.2  # a run
        self.src.mkdir()
        self.foreign = {f"{d}foreign{i}" for d in ("", "a/", "z/", "y/y/") for i in range(25)}
        for name in self.foreign:
            target.put(name, name.encode())

    def write(self, name):
        self.count += 1
        random_file(self.src / name, self.random.choices(self.target.sizes, (3, 3, 3, 3, 1))[0], seed=self.count)

    def change(self):
        for _ in range(self.random.randrange(2, 15)):
            there = sorted(files_of(self.src))
            what = self.random.randrange(8)
            if what < 3 and there:
                (self.src / self.random.choice(there)).unlink()
            elif what == 3 and self.random.randrange(2) and (self.src / "a" / "b").is_dir():
                shutil.rmtree(self.src / self.random.choice(("a", "a/b")))
            else:
                self.write(self.random.choice(self.names))

    def args(self):
        return ("-r", "--delete", "--chunk-size", self.target.chunk, *self.target.args, *LEASE, self.src, self.target.url)

    def run_and_kill(self):
        """At a random moment, often during the removal: all programs, or one kind of them."""
        before = len(self.box.records("deleting")) if (self.box.journal / "journal.jsonl").exists() else 0
        child = self.box.start_cp(*self.args(), env=self.target.env)
        if self.random.randrange(3) == 0:
            time.sleep(self.random.uniform(0, self.takes_s))
        else:
            while child.poll() is None and b'"ev":"deleting"' not in self.journal_tail(before):
                pass
            time.sleep(self.random.uniform(0, 0.003))
        self.kills += child.poll() is None
        victims = self.random.choice((None, "chunklift", "chunklift-consumer", "chunklift-uploader"))
        self.box.kill_all(victims)
        child.wait(60)
        if victims is None:
            self.box.kill_all()

    def journal_tail(self, before):
        """The lines of the journal after so many `deleting` lines."""
        try:
            return (self.box.journal / "journal.jsonl").read_bytes().split(b'"ev":"deleting"', before)[-1]
        except FileNotFoundError:
            return b""

    def run(self):
        for _ in range(20):
            began = time.monotonic()
            done = self.box.cp(*self.args(), env=self.target.env, status=None)
            if done.returncode == 0:
                self.takes_s = min(time.monotonic() - began, 1)
                return
            assert done.returncode in (1, 3), done.stderr
            time.sleep(0.3)
        raise AssertionError(done.stderr)

    def check(self):
        names = files_of(self.src)
        for name in self.target.names() - names - self.foreign:
            assert self.target.is_unrecorded(name, self.box.records()), name
            self.target.remove(name)
        assert self.target.names() == names | self.foreign
        for name in names:
            assert self.target.body(name) == (self.src / name).read_bytes(), name
        for name in self.random.sample(sorted(self.foreign), 10):
            assert self.target.body(name) == name.encode()
        check_chain(self.box.journal)
        began, ended = ({r["upload"] for r in self.box.records(ev)} for ev in ("deleting", "delete"))
        assert ended <= began and len(self.box.records("delete")) == len(ended) and len(self.box.records("deleting")) == len(began)


def play(box, target, seed, rounds):
    model = Model(box, target, seed)
    for name in model.names[::2]:
        model.write(name)
    for _ in range(rounds):
        model.change()
        for _ in range(model.random.randrange(1, 4)):
            model.run_and_kill()
            if model.random.randrange(2):
                model.change()
        model.run()
        model.check()
    assert box.records("delete") and model.kills > 0
    print(f"{model.kills} commands were killed, {len(box.records('deleting'))} removals")


@pytest.mark.parametrize("seed", [1])
def test_the_destination_equals_the_source(box, target, seed):
    play(box, target, seed, 4)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(10, 14))
def test_the_destination_equals_the_source_for_long(box, target, seed):
    play(box, target, seed, 12)
