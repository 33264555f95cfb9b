"""After kill -9 at about half of an upload, the same command resends no recorded chunk and ends with the same object."""

import os
import re
import signal
import time

import pytest

from support.box import check_chain, check_one_record_each, random_file, sha256_of, wait_for

MIB = 1 << 20
LEASE_S = 3


class FileStore:
    """A local directory as destination."""

    def __init__(self, box):
        self.box = box
        self.args, self.env = [], {}
        self.dest = f"file://{box.dir}/out/big"

    def sha256(self):
        return sha256_of(self.box.dir / "out" / "big")

    def left_over(self):
        return [p.name for p in (self.box.dir / "out").iterdir() if p.name != "big"]


class S3Store:
    """A bucket of a real gateway; its access log lists the requests."""

    def __init__(self, box, rgw, key):
        self.box, self.rgw, self.key = box, rgw, key
        self.args = ["--endpoint-url", rgw.endpoint]
        self.env = rgw.env
        self.dest = f"s3://bucket/{key}"

    def sha256(self):
        out = self.box.dir / "read-back"
        self.rgw.aws("s3api", "get-object", "--bucket", "bucket", "--key", self.key, str(out))
        return sha256_of(out)

    def left_over(self):
        return [u for u in self.rgw.open_uploads("bucket") if u["Key"] == self.key]

    def parts_sent(self):
        """{part number: number of 200 replies of the gateway}, from its access log."""
        log = (self.rgw.dir / "log" / "client.rgw.log").read_text(errors="replace")
        sent = {}
        for part in re.findall(rf'"PUT /bucket/{re.escape(self.key)}\?partNumber=(\d+)&uploadId=\S+ HTTP/1.1" 200', log):
            sent[int(part)] = sent.get(int(part), 0) + 1
        return sent


@pytest.fixture(params=["file", "rgw"])
def store(request, box):
    if request.param == "file":
        return FileStore(box)
    name = re.sub(r"\W", "-", request.node.name)
    return S3Store(box, request.getfixturevalue("rgw"), f"kill/{name}")


def chunks_recorded(box):
    try:
        return (box.journal / "journal.jsonl").read_bytes().count(b'"ev":"chunk"')
    except FileNotFoundError:
        return 0


def start(box, store, src, *more):
    return box.start_cp("--no-progress", "--chunk-size", "5MiB", "--slots", 8, "--lease", f"{LEASE_S}s", *store.args, *more, src, store.dest, env=store.env)


def half_way(box, child, chunks):
    def there():
        assert child.poll() is None, f"it ended too early:\n{child.log.read_text()}"
        return chunks_recorded(box) >= chunks // 2
    wait_for(there, 120, "half of the chunks recorded", every=0.002)


def good_end(box, store, src, chunks):
    assert store.sha256() == sha256_of(src)
    records = box.records()
    check_chain(box.journal)
    check_one_record_each(records)
    assert sum(r["ev"] == "chunk" for r in records) == chunks
    assert sum(r["ev"] == "finish" for r in records) == 1
    assert store.left_over() == []


@pytest.mark.parametrize("mib", [256, pytest.param(1024, marks=pytest.mark.crash)])
def test_everything_is_killed_and_the_command_goes_on(box, store, mib):
    src = random_file(box.dir / "src" / "big", mib * MIB)
    chunks = (mib + 4) // 5
    child = start(box, store, src)
    half_way(box, child, chunks)
    box.kill_all()
    child.wait()
    recorded = {r["chunk"] for r in box.records("chunk")}
    assert 0 < len(recorded) < chunks
    sent_before = {}
    if isinstance(store, S3Store):  # the gateway writes its log a little after the reply
        wait_for(lambda: all(store.parts_sent().get(c + 1) for c in recorded), what="the access log shows every recorded chunk")
        sent_before = store.parts_sent()
    again = start(box, store, src)
    assert again.wait(120) == 0, again.log.read_text()
    box.gone()
    good_end(box, store, src, chunks)
    if isinstance(store, S3Store):
        sent = store.parts_sent()
        twice = {c for c in recorded if sent[c + 1] > sent_before.get(c + 1, 0)}
        assert not twice, f"recorded chunks sent again: {twice}"


def test_recorded_chunks_of_a_file_are_not_touched_again(box):
    """A resumed upload does not write recorded ranges again: marks written over them after the kill are there at the end."""
    store = FileStore(box)
    src = random_file(box.dir / "src" / "big", 256 * MIB)
    child = start(box, store, src)
    half_way(box, child, 52)
    box.kill_all()
    child.wait()
    recorded = {r["chunk"]: r for r in box.records("chunk")}
    part = next((box.dir / "out").iterdir())
    with open(part, "r+b") as f:
        for r in recorded.values():
            f.seek(r["offset"])
            f.write(b"recorded")
    again = start(box, store, src)
    assert again.wait(120) == 0, again.log.read_text()
    with open(src, "rb") as want, open(box.dir / "out" / "big", "rb") as have:
        for chunk in range(52):
            a, b = want.read(5 * MIB), have.read(5 * MIB)
            assert b == (b"recorded" + a[8:] if chunk in recorded else a), f"chunk {chunk}"


def took(start_time):
    return time.monotonic() - start_time


@pytest.mark.parametrize("victim", ["chunklift-uploader", "chunklift-consumer", "chunklift"])
def test_one_process_is_killed_and_it_goes_on(box, store, victim):
    mib = 256
    src = random_file(box.dir / "src" / "big", mib * MIB)
    chunks = (mib + 4) // 5
    began = time.monotonic()
    warm = start(box, store, src, "--journal", box.dir / "journal-warm")
    assert warm.wait(120) == 0, warm.log.read_text()
    undisturbed = took(began)
    box.gone()
    began = time.monotonic()
    child = start(box, store, src, "--force")
    half_way(box, child, chunks)
    os.kill(min(box.processes(victim)), signal.SIGKILL)
    if victim == "chunklift":
        child.wait()
        child = start(box, store, src)
    assert child.wait(120) == 0, child.log.read_text()
    seconds = took(began)
    box.gone()
    good_end(box, store, src, chunks)
    one_chunk = undisturbed / chunks * 16  # sixteen at a time
    print(f"{victim}: {seconds:.1f} s, undisturbed {undisturbed:.1f} s")
    assert seconds <= undisturbed * 1.5 + LEASE_S + one_chunk + 2
    if victim != "chunklift":
        assert "again" in child.log.read_text()


def test_interrupt_finishes_what_is_in_flight(box, store):
    mib = 256 if isinstance(store, S3Store) else 1024  # a local disk writes a quarter of that before cp handles a signal
    chunks = (mib + 4) // 5
    src = random_file(box.dir / "src" / "big", mib * MIB)
    child = start(box, store, src)
    half_way(box, child, chunks)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 128 + signal.SIGINT, child.log.read_text()
    assert "again to stop now" in child.log.read_text()
    box.gone()
    assert chunks // 2 <= len(box.records("chunk")) < chunks
    again = start(box, store, src, "--no-second-lease")
    assert again.wait(60) == 0, again.log.read_text()
    good_end(box, store, src, chunks)
    assert "; 0 B resent" in again.log.read_text()


def test_second_interrupt_stops_at_once(box):
    store = FileStore(box)
    src = random_file(box.dir / "src" / "big", 1024 * MIB)
    child = start(box, store, src)
    half_way(box, child, 52)
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert child.wait(30) == 128 + signal.SIGTERM
    assert took(began) < 5
    again = start(box, store, src)
    assert again.wait(60) == 0, again.log.read_text()
    good_end(box, store, src, 205)
