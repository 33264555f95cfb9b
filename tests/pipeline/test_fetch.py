"""Uploaders that cannot open the files fetch the bytes from the producer."""

import json
import os
import signal

import pytest

from support import mounts
from support.box import check_chain, check_one_record_each, free_port, random_file, sha256_of, wait_for
from support.site import Site, memory_kib

MIB = 1 << 20


def via(box, ev="chunk"):
    return {r.get("via") for r in box.records(ev)}


@pytest.fixture(params=["ipc", "tcp"])
def site(box, request):
    return Site(box, tcp=request.param == "tcp")


def test_an_uploader_without_roots_fetches(box, site):
    site.uploader()
    source = random_file(box.dir / "src" / "f", 20 * MIB + 7)
    site.upload("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    assert sha256_of(source) == sha256_of(box.dir / "out" / "f")
    assert via(box) == {"fetch"} and len(box.records("chunk")) == 21
    check_one_record_each(box.records())
    check_chain(box.journal)
    wait_for(lambda: fetched_bytes(box, site) == 20 * MIB + 7, what="status shows what was fetched")


def fetched_bytes(box, site):
    lines = box.run("status", "--json", "--consumer", site.at, *site.tcp).stdout.splitlines()
    return sum(json.loads(line).get("fetched_bytes", 0) for line in lines)


def test_sizes_around_pieces_and_bundles(box, site):
    site.uploader()
    sizes = [0, 1, 4096, 262143, 262144, 262145, 2 * MIB, 3 * MIB + 1, 9 * MIB]
    for n, size in enumerate(sizes):
        random_file(box.dir / "src" / f"f{n}", size, seed=n)
    for n in range(300):
        random_file(box.dir / "src" / "small" / f"{n}", n * 17, seed=n)
    site.upload("-r", "--chunk-size", "1MiB", box.dir / "src", f"{box.dir}/out/")
    for name in sorted(p.relative_to(box.dir / "src") for p in (box.dir / "src").rglob("*") if p.is_file()):
        assert sha256_of(box.dir / "src" / name) == sha256_of(box.dir / "out" / name), name
    assert via(box) == {"fetch"} and via(box, "put") == {"fetch"}


def test_one_reads_and_one_fetches(box, site):
    """Two uploaders share a file, one by reading and one by fetching, and every chunk is sent once."""
    source = random_file(box.dir / "src" / "f", 128 * MIB)
    reads = site.uploader(root=box.dir / "src", slots=1)
    site.uploader(slots=1)
    reads.send_signal(signal.SIGSTOP)  # until the other one has begun
    child = site.producer("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    wait_for(lambda: (box.journal / "journal.jsonl").read_bytes().count(b'"via":"fetch"') >= 4, what="some chunks were fetched", every=0.002)
    reads.send_signal(signal.SIGCONT)
    assert child.wait(60) == 0, child.log.read_text()
    assert sha256_of(source) == sha256_of(box.dir / "out" / "f")
    chunks = box.records("chunk")
    by_worker = {w: {c.get("via") for c in chunks if c["worker"] == w} for w in {c["worker"] for c in chunks}}
    assert sorted(map(str, by_worker.values())) == ["{'fetch'}", "{None}"], by_worker
    check_one_record_each(box.records())


def test_an_uploader_with_another_root_fetches(box):
    site = Site(box)
    (box.dir / "other").mkdir()
    site.uploader(root=box.dir / "other")
    source = random_file(box.dir / "src" / "f", 3 * MIB)
    site.upload("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    assert sha256_of(source) == sha256_of(box.dir / "out" / "f") and via(box) == {"fetch"}


@pytest.mark.parametrize("there", ["another file", "nothing"])
def test_what_lies_at_that_path_here_is_not_the_file(box, there):
    """A path under a root that leads to another file, or to none, is not read as the source, as on another host."""
    if reason := mounts.missing():
        pytest.skip(reason)
    site = Site(box)
    source = random_file(box.dir / "src" / "f", 3 * MIB, seed="the one")
    (box.dir / "host2").mkdir()
    if there == "another file":
        other = random_file(box.dir / "host2" / "f", 3 * MIB, seed="the other")
        st = os.stat(source)
        os.utime(other, ns=(st.st_atime_ns, st.st_mtime_ns))
    mount = f'mount --bind "{box.dir}/host2" "{box.dir}/src" && exec "$@"'
    site.uploader(root=box.dir / "src", before=["unshare", "-m", "--propagation", "unchanged", "sh", "-c", mount, "sh"])
    site.upload("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    assert sha256_of(source) == sha256_of(box.dir / "out" / "f") and via(box) == {"fetch"}


def test_an_uploader_that_cannot_reach_the_data_says_so(box):
    """Rule 2: when neither way works, the producer logs the unreachable address and continues once an uploader can serve the job."""
    site = Site(box, lease="1s")
    random_file(box.dir / "src" / "f", 3 * MIB)
    site.uploader()
    child = site.producer("--chunk-size", "1MiB", "--insecure", "--retry-for", "30s", box.dir / "src" / "f", f"{box.dir}/out/f", data="tcp://127.0.0.1:*")
    wait_for(lambda: "no connected uploader can serve it: not under a --root" in child.log.read_text(), what="the producer says that nobody can")
    site.uploader(root=box.dir / "src")  # these two uploaders refuse tcp without keys; a root allows reading
    assert child.wait(30) == 0, child.log.read_text()
    assert via(box) == {None}


@pytest.mark.skipif(os.geteuid() != 0, reason="wants a network of its own")
def test_a_data_address_nobody_answers_at_is_named(box):
    """The producer logs a data address that an uploader cannot reach (own network: ipc works, tcp does not), and another uploader does the job."""
    site = Site(box, lease="1s")
    random_file(box.dir / "src" / "f", 3 * MIB)
    site.uploader("--insecure", before=["unshare", "-n"])
    child = site.producer("--chunk-size", "1MiB", "--insecure", "--retry-for", "30s", box.dir / "src" / "f", f"{box.dir}/out/f",
                          data=f"tcp://127.0.0.1:{free_port()}")
    wait_for(lambda: "no connected uploader can serve it: its producer does not answer at tcp://127.0.0.1:" in child.log.read_text(), 30,
             "the producer says where nobody answers")
    site.uploader("--insecure")
    assert child.wait(30) == 0, child.log.read_text()
    assert via(box) == {"fetch"}


def test_into_a_gateway(box, rgw):
    """Parts, puts with a checksum in the header, and bundled small puts arrive; another client reads them back."""
    site = Site(box, store=rgw)
    site.uploader(slots=8)
    sizes = {"empty": 0, "one": 1, "small": 60_000, "put": 3 * MIB + 5, "parts": 21 * MIB + 1}
    for name, size in sizes.items():
        random_file(box.dir / "src" / name, size, seed=name)
    for n in range(200):
        random_file(box.dir / "src" / "tree" / f"{n}", 100 * n, seed=n)
    site.upload("-r", "--chunk-size", "5MiB", box.dir / "src", "s3://bucket/fetch/")
    for name in ("empty", "put", "parts", "tree/199"):
        out = box.dir / "read"
        rgw.get_object(f"fetch/{name}", out)
        assert sha256_of(out) == sha256_of(box.dir / "src" / name), name
    assert via(box) == {"fetch"} and via(box, "put") == {"fetch"} and len(box.records("put")) == 204
    check_one_record_each(box.records())


@pytest.mark.fetch
def test_a_large_file_into_a_gateway(box, rgw):
    site = Site(box, store=rgw, tcp=True)
    site.uploader(slots=8)
    site.uploader(slots=8)
    source = random_file(box.dir / "src" / "f", 256 * MIB)
    site.upload(source, "s3://bucket/fetch/large")
    out = box.dir / "read"
    rgw.get_object("fetch/large", out)
    assert sha256_of(out) == sha256_of(source) and via(box) == {"fetch"}
    for child in site.uploaders:
        assert memory_kib(child.pid) < 96 << 10, "eight windows of 1 MiB, libcurl's buffers, and what libzmq holds"
