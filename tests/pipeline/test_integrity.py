"""The store has the bytes that were sent: a bit flipped in transit is never a success, and records state the check that was used."""

import ssl
import subprocess
import threading

import pytest

from servers.memory_store import CUT, MemoryStore, refuse
from support.box import check_chain, check_one_record_each, random_file, sha256_of
from support.gate import Gate

MIB = 1 << 20


@pytest.fixture(params=["rgw", "swift", pytest.param("minio", marks=pytest.mark.interop), pytest.param("versitygw", marks=pytest.mark.interop)])
def store(request):
    return request.getfixturevalue(request.param)


def cp(box, store, *args, **kw):
    return box.cp("--endpoint-url", store.endpoint, "--no-progress", "--chunk-size", "5MiB", *args, env={**store.env, **kw.pop("env", {})}, **kw)


def integrity(box, ev):
    return [r.get("integrity") for r in box.records(ev)]


class Flip:
    """Flips one bit of each kind of body, once."""

    def __init__(self):
        self.flipped, self.lock = [], threading.Lock()

    def __call__(self, request, piece):
        kind = request.kind if request.kind != "put" else f"put {request.length > MIB}"
        with self.lock:
            if kind not in ("chunk", "put True", "put False") or kind in self.flipped or request.length < 200:
                return piece
            self.flipped.append(kind)
        return bytes([piece[0] ^ 1]) + piece[1:]


def test_a_bit_that_flips_on_the_way_to_a_real_store(box, store, request):
    name = request.node.callspec.id
    flip = Flip()
    files = {f"{name}/flip/{n}": random_file(box.dir / f"f{n}", size, seed=size) for n, size in (("chunks", 12 * MIB), ("large", 2 * MIB), ("small", 999))}
    with Gate(store.port, change=flip) as gate:
        gate.env = store.env
        for key, src in files.items():
            cp(box, gate, src, f"s3://bucket/{key}")
    assert sorted(flip.flipped) == ["chunk", "put False", "put True"]
    for key, src in files.items():
        out = box.dir / "back"
        store.get_object(key, out)
        assert sha256_of(out) == sha256_of(src), key
    strong = {"crc32c", "sha256", "md5"}
    assert set(integrity(box, "finish") + integrity(box, "put") + integrity(box, "chunk")) <= strong
    assert len(integrity(box, "finish")) == 1 and len(integrity(box, "put")) == 2
    check_one_record_each(box.records())
    check_chain(box.journal)


@pytest.mark.parametrize("verifies", ["crc32c", "sha256", "md5"])
def test_the_check_that_the_store_really_uses(box, verifies):
    """Each uploader probes the store once with a wrong digest, and the probe leaves nothing."""
    src, small = random_file(box.dir / "f", 12 * MIB), random_file(box.dir / "small", 100)

    def before(request):
        if request.kind in ("chunk", "put") and store.answer(request).status != 200:
            refused.append(request)
            return store.answer(request)

    refused = []
    with MemoryStore(before, verifies=[verifies]) as store:
        done = cp(box, store, "-v", "--uploaders", "1", src, "s3://bucket/k")
        assert f"refuses a wrong {verifies}" in done.stderr and f"integrity {verifies}" in done.stderr
        first = refused[0].part
        assert len(refused) == 1 and refused[0].body == src.read_bytes()[(first - 1) * 5 * MIB:][:5 * MIB]
        cp(box, store, "--uploaders", "1", small, "s3://bucket/small")
        assert len(refused) == 2 and refused[1].body == small.read_bytes()
        assert {k: o["body"] for k, o in store.objects.items()} == {"k": src.read_bytes(), "small": small.read_bytes()}
    assert integrity(box, "chunk") == [verifies] * 3 and integrity(box, "finish") == [verifies] and integrity(box, "put") == [verifies]


def chunks_sent(store, framed):
    return [r for r in store.requests if r.kind == "chunk" and (r.headers.get("content-encoding") == "aws-chunked") == framed]


def test_a_checksum_in_a_trailer_saves_the_second_read(box):
    """The probe is a small part behind the last one."""
    src = random_file(box.dir / "f", 17 * MIB)
    with MemoryStore(verifies=["crc32c", "trailer"]) as store:
        done = cp(box, store, "-v", "--uploaders", "1", src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
    assert "refuses a wrong crc32c in a trailer" in done.stderr and "; 0 B resent" in done.stderr
    probe, *parts = chunks_sent(store, framed=True)
    assert (probe.part, len(probe.body) < 100, sorted(r.part for r in parts)) == (5, True, [1, 2, 3, 4])
    assert all("x-amz-checksum-crc32c" in r.trailer for r in parts) and not chunks_sent(store, framed=False)
    assert integrity(box, "chunk") == ["crc32c"] * 4 and integrity(box, "finish") == ["crc32c"]


@pytest.mark.parametrize("reply", ["accepts it", "NotImplemented", "InternalError", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch", "no reply"])
def test_a_store_without_trailers_gets_one_probe(box, reply):
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if request.headers.get("content-encoding") == "aws-chunked" and reply != "accepts it":
            return CUT if reply == "no reply" else refuse({"NotImplemented": 501, "InternalError": 500}.get(reply, 400), reply)

    with MemoryStore(before, verifies=["crc32c"]) as store:
        cp(box, store, "--uploaders", "1", src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
    probes = chunks_sent(store, framed=True)
    # Without a verdict each chunk asks, until one was accepted with a header; libcurl repeats a request on a used connection.
    assert len(probes) <= {"accepts it": 1, "NotImplemented": 1, "no reply": 6}.get(reply, 3)
    assert {r.part for r in probes} == {4}
    assert integrity(box, "chunk") == ["crc32c"] * 3 and integrity(box, "finish") == ["crc32c"]


@pytest.mark.parametrize("code", ["NotImplemented", "BadDigest"])
def test_a_store_that_stops_taking_trailers(box, code):
    """After the first whole chunk, each trailer is refused; the chunks go with a header."""
    src, taken = random_file(box.dir / "f", 40 * MIB), []

    def before(request):
        if request.trailer and len(request.body) > MIB:
            taken.append(request)
            return refuse(501 if code == "NotImplemented" else 400, code) if len(taken) > 1 else None

    with MemoryStore(before, verifies=["crc32c", "trailer"]) as store:
        cp(box, store, "--uploaders", "1", "--slots", "1", src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
    assert 2 <= len(taken) <= 4  # some start before the first one is accepted with a header
    assert integrity(box, "chunk") == ["crc32c"] * 8


def test_a_flipped_bit_before_a_trailer(box):
    src = random_file(box.dir / "f", 12 * MIB)
    flipped = []

    def before(request):
        if request.trailer and len(request.body) > MIB and not flipped:
            flipped.append(request)
            request.body = bytes([request.body[0] ^ 1]) + request.body[1:]

    with MemoryStore(before, verifies=["crc32c", "trailer"]) as store:
        cp(box, store, src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
    assert flipped and integrity(box, "finish") == ["crc32c"]


@pytest.mark.interop
def test_minio_takes_trailers(box, minio):
    """Also with chunks that are larger than a frame may be there."""
    src = random_file(box.dir / "f", 103 * MIB)
    done = cp(box, minio, "-v", "--uploaders", "1", "--chunk-size", "25MiB", src, "s3://bucket/trailers")
    assert "refuses a wrong crc32c in a trailer" in done.stderr and "; 0 B resent" in done.stderr
    minio.get_object("trailers", box.dir / "back")
    assert sha256_of(box.dir / "back") == sha256_of(src)
    assert integrity(box, "chunk") == ["crc32c"] * 5


def test_a_store_that_verifies_nothing_is_said_and_recorded(box):
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if request.kind in ("chunk", "put"):
            answer = store.answer(request)
            answer.headers["ETag"] = '"opaque"'
            return answer

    with MemoryStore(before) as store:
        store.etag = lambda body: "opaque"
        done = cp(box, store, "--uploaders", "1", src, "s3://bucket/k")
        assert done.stderr.count("nothing shows that bytes arrive as they were sent") == 1
        assert store.objects["k"]["body"] == src.read_bytes()
    assert integrity(box, "finish") == ["none"]


def test_etags_that_are_md5_are_compared_where_there_is_nothing_better(box):
    src = random_file(box.dir / "f", 12 * MIB)
    flipped = []

    def before(request):
        if request.kind == "chunk" and request.part == 2 and not flipped:
            flipped.append(True)
            request.body = bytes([request.body[0] ^ 1]) + request.body[1:]

    with MemoryStore(before) as store:
        cp(box, store, src, "s3://bucket/k")
        assert flipped and store.objects["k"]["body"] == src.read_bytes()
    assert integrity(box, "finish") == ["md5"]


def test_a_wanted_check_that_the_store_ignores_fails_the_file(box):
    src = random_file(box.dir / "f", 6 * MIB)
    with MemoryStore() as store:
        for kind, part in (("sha256", src), ("crc32c", src), ("sha256", random_file(box.dir / "s", 10))):
            done = cp(box, store, "--integrity", kind, part, "s3://bucket/k", status=1)
            assert f"--integrity {kind}: the store at {store.endpoint} does not verify it; use --integrity auto" in done.stderr
        assert not box.records("finish") and not box.records("put")


def test_what_is_wanted_is_what_is_sent(box):
    src = random_file(box.dir / "f", 6 * MIB)
    with MemoryStore(verifies=["sha256", "md5", "crc32c"]) as store:
        for option in ("--integrity=none", "--integrity=md5", "--content-md5", "--integrity=sha256", "--integrity=crc32c", "--integrity=auto"):
            cp(box, store, option, src, f"s3://bucket/{option}")
    assert integrity(box, "finish") == ["none", "md5", "md5", "sha256", "crc32c", "crc32c"]
    plain = [r for r in store.requests if r.kind in ("begin", "chunk", "finish") and r.key == "--integrity=none"]
    assert plain and not [r for r in plain if "content-md5" in r.headers or any(h.startswith("x-amz-checksum") for h in r.headers)]
    assert {r.headers["x-amz-content-sha256"] for r in plain if r.kind == "chunk"} == {"UNSIGNED-PAYLOAD"}


def test_an_encrypted_connection_is_enough(box):
    src = random_file(box.dir / "f", 6 * MIB)
    key, cert = box.dir / "key.pem", box.dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with MemoryStore(tls=tls) as store:
        cp(box, store, src, "s3://bucket/k", env={"AWS_CA_BUNDLE": str(cert)})
        assert store.count("chunk") == 2  # no probe request
    assert integrity(box, "finish") == ["tls"]


def test_a_run_without_a_check_is_not_forgotten(box):
    """`finish` records the weakest check of all chunks, including those of an earlier run."""
    from support.box import wait_for
    src = random_file(box.dir / "f", 40 * MIB)
    with MemoryStore(verifies=["sha256"]) as store:
        child = box.start_cp("--endpoint-url", store.endpoint, "--no-progress", "--chunk-size", "5MiB", "--uploaders", "1", "--slots", "1", "--bwlimit", "10MiB", "--integrity", "none",
                             src, "s3://bucket/k", env=store.env)
        wait_for(lambda: (box.journal / "journal.jsonl").exists() and box.records("chunk"), what="a chunk recorded")
        box.kill_all()
        child.wait()
        cp(box, store, "--lease", "2s", "--bwlimit", "none", src, "s3://bucket/k")  # the previous limit is stored in the journal
        assert store.objects["k"]["body"] == src.read_bytes()
    assert {"none", "sha256"} == set(integrity(box, "chunk")) and integrity(box, "finish") == ["none"]


def test_status_says_it(box):
    src = random_file(box.dir / "f", 20 * MIB)
    seen = []

    def before(request):
        if request.kind == "finish" and not seen:
            import time
            for _ in range(50):  # the uploader's next HEARTBEAT reports it
                seen.append(box.run("status", "--journal", box.journal).stdout)
                if "integrity sha256" in seen[-1]:
                    return
                time.sleep(0.1)

    with MemoryStore(before, verifies=["sha256"]) as store:
        cp(box, store, src, "s3://bucket/k")
    assert "integrity sha256" in seen[-1]
