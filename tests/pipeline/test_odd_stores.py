"""cp into stores with unusual replies, and through proxies and networks that modify traffic."""

import threading
import time

import pytest

from servers.memory_store import CUT, SENT, Answer, MemoryStore, refuse
from support.box import check_chain, check_one_record_each, random_file

MIB = 1 << 20


def cp(box, store, *args, **kw):
    """Runs cp without the requests that probe the store's checks."""
    return box.cp("--endpoint-url", store.endpoint, "--no-progress", "--chunk-size", "5MiB", "--integrity", "none", *args, env={**store.env, **kw.pop("env", {})}, **kw)


def sent_parts(store):
    return sorted(r.part for r in store.requests if r.kind == "chunk")


def test_parts_answered_without_an_etag(box):
    """When a proxy drops the ETag header, cp takes the ETags from ListParts."""
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if request.kind == "chunk":
            answer = store.answer(request)
            answer.headers.pop("ETag", None)
            return answer

    with MemoryStore(before) as store:
        cp(box, store, src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
        assert sent_parts(store) == [1, 2, 3] and store.count("finish") == 1
    assert not box.records("redo")


def test_etags_that_a_proxy_appends_to(box):
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if request.kind == "chunk":
            answer = store.answer(request)
            answer.headers["ETag"] = answer.headers["ETag"][:-1] + '-gzip"'
            return answer

    with MemoryStore(before) as store:
        cp(box, store, src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
        assert sent_parts(store) == [1, 2, 3]


def test_a_part_that_the_store_loses_each_time(box):
    """After three redos the file fails with the store's message; the same command tries again and can succeed."""
    src = random_file(box.dir / "f", 12 * MIB)
    loses = [True]

    def before(request):
        if request.kind == "chunk" and request.part == 2 and loses[0]:
            answer = store.answer(request)
            del store.upload(request)["parts"][2]
            return answer

    with MemoryStore(before) as store:
        done = cp(box, store, src, "s3://bucket/k", status=1)
        assert "chunk 1 was sent 4 times and the store does not have it: 400 InvalidPart: part 2 is not there" in done.stderr
        assert [r.part for r in store.requests if r.kind == "chunk"].count(2) == 4
        assert [r["chunk"] for r in box.records("redo")] == [1, 1, 1] and not box.records("finish")
        loses[0] = False
        cp(box, store, src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
    check_one_record_each(box.records())
    check_chain(box.journal)


@pytest.mark.slow
def test_retry_for_bounds_a_job_beside_others_that_succeed(box):
    """Success of another file restarts the endpoint's retry time, and the job keeps its own."""
    src = box.dir / "src"
    for i in range(500):
        random_file(src / f"{i:03}", 100, seed=i)

    ended = threading.Event()

    def before(request):
        if request.key == "000":
            return refuse(500, "InternalError")
        if request.kind == "put" and not ended.is_set():
            time.sleep(0.3)  # the others last until it has failed
            if box.records("fail"):
                ended.set()

    with MemoryStore(before) as store:  # with eight slots the others last 18 s
        done = cp(box, store, "-r", "--retry-for", "1s", "--lease", "1s", "--uploaders", "1", "--slots", "8", src, "s3://bucket/", status=1)
        assert len(store.objects) == 499
    failed = box.records("fail")
    assert len(failed) == 1 and "no success for 1 s: 500 InternalError" in failed[0]["error"], done.stderr
    assert sum(r["seq"] > failed[0]["seq"] for r in box.records("put")) > 8


def test_a_complete_that_sends_white_space_while_it_works(box):
    """Bytes of the reply show that the store works: the Complete is not resent, and its lease is renewed."""
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if request.kind == "finish":
            answer, h = store.answer(request), request.handler
            h.send_response_only(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            for _ in range(10):  # longer than two leases, and than two response timeouts
                time.sleep(0.3)
                h.wfile.write(b"1\r\n \r\n")
            h.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body))
            return SENT

    with MemoryStore(before) as store:
        cp(box, store, "--response-timeout", "1s", "--lease", "1s", src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
        assert store.count("finish") == 1 and store.count("head") == 0
    assert box.records("finish")[0]["ms"] >= 3000


def test_a_store_that_refuses_every_checksum_header(box):
    """Requests succeed without checksum headers, including the HEAD that checks a Complete after a lost reply."""
    src = random_file(box.dir / "f", 12 * MIB)

    def before(request):
        if any(h.startswith("x-amz-checksum") for h in request.headers):
            return Answer(400) if request.kind == "head" else refuse(400, "InvalidArgument", "Unsupported header")
        if request.kind == "finish" and store.count("finish") == 1:
            store.answer(request)
            return CUT

    with MemoryStore(before) as store:
        # One uploader: another one, without a reply before, would first find out whether the endpoint speaks TLS.
        cp(box, store, "--uploaders", "1", "--retry-for", "10s", src, "s3://bucket/k")
        assert store.objects["k"]["body"] == src.read_bytes()
        assert store.count("finish") == 1
        cp(box, store, box.dir / "f", "s3://bucket/small")
    assert len(box.records("finish")) == 2
