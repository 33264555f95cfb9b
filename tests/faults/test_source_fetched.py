"""With test_source.py's changes while the bytes come through the producer, the destination gets one whole version of a file, or nothing."""

import os
import re
import signal

import pytest

from faults.test_source import LATE, MIB, MOMENTS, Bucket, Directory, Files, again, judge, store_rgw, tally  # noqa: F401
from support.box import sha256_of, wait_for
from support.gate import Gate
from support.site import Site


class Apart:
    """Three programs instead of cp; they end together with the producer."""

    def __init__(self, box, store, files, on_change, *more):
        self.site = Site(box, lease="3s", tcp=on_change == "restart", store=store if store.env else None)
        allow = store.dest if not store.env else "s3://open/"
        self.uploader = self.site.uploader(*store.args[2:], allow=allow, slots=8)
        self.producer = self.site.producer("--no-progress", "--on-change", on_change, *store.args, *more, *[files.root / n for n in files.names], store.dest)
        self.log, self.pid = self.producer.log, self.producer.pid

    def wait(self, seconds):
        status = self.producer.wait(seconds)
        for child in (self.uploader, self.site.consumer):
            child.send_signal(signal.SIGTERM)
            child.wait(20)
        return status


def endpoint_of(store, gate):
    store.endpoint = gate.endpoint
    return store


MOST = ["before the first byte", "in the middle of a chunk", "at the end of a chunk", "in the middle of the last chunk", "before finish is looked at",
        "after finish", "before a small put", "in the middle of a put"]
SOON_READ = {*LATE, "in the middle of a put"}  # the producer may have read the whole unchanged file by then


@pytest.mark.fetch
@pytest.mark.parametrize("on_change", ["fail", "restart"])
@pytest.mark.parametrize("moment", MOST)
def test_at_a_gateway(box, store_rgw, moment, on_change):  # noqa: F811
    size, matches = MOMENTS[moment]
    files = Files(box, size)
    slug = re.sub(r"\W+", "-", f"fetched {moment} {on_change}")

    def hook(r):
        name = r.path.rsplit("/", 1)[1]
        if name in files.new or name not in files.names:
            return
        if matches(r) if matches else (r.kind == "chunk" and r.stage == "reply" and r.part == 5):
            files.change(name)

    with Gate(store_rgw.port, hook) as gate:
        store = endpoint_of(Bucket(store_rgw, gate, slug), gate)
        child = Apart(box, store, files, on_change)
        output, failed = judge(box, store, files, child, on_change)
        assert len(files.new) == len(files.names), "a file was not changed at all"
        if moment not in SOON_READ and on_change == "fail":
            assert len(failed) >= len(files.names), f"{failed}\n{output}"
        again(box, store, files)


@pytest.mark.parametrize("what, on_change", [("chunks", "fail"), pytest.param("chunks", "restart", marks=pytest.mark.fetch),
                                             pytest.param("put", "fail", marks=pytest.mark.fetch)])
def test_at_a_directory(box, what, on_change):
    """Producer and uploader are stopped after a third of the bytes, and every file is changed. The producer reads what it sends; a lent file is read by the
    uploader."""
    size = {"chunks": 24 * MIB + 99, "put": 3 * MIB}[what]
    files = Files(box, size)
    store = Directory(box, "out")
    before = {}
    for name in files.names[::2]:
        (store.out).mkdir(exist_ok=True)
        (store.out / name).write_bytes(b"previous " + name.encode())
        before[name] = sha256_of(store.out / name)
    child = Apart(box, store, files, on_change)
    pids = (child.pid, child.uploader.pid)

    def read_bytes(pid):
        try:
            with open(f"/proc/{pid}/io", encoding="ascii") as f:
                return int(re.search(r"rchar: (\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            return 1 << 62
    wait_for(lambda: max(map(read_bytes, pids)) >= size * len(files.names) // 3, 30, "a third is read", every=0.0005)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    files.change_all()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    judge(box, store, files, child, on_change, before)
    again(box, store, files)
