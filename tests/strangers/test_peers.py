"""Faulty servers against a producer, an uploader and readers: they stay alive, do no work beyond their permissions, stay within their memory
and go on with honest peers."""

import itertools
import json
import os
import time

import pytest
import zmq

from strangers import wire
from strangers.site import CLIENT_MIB, MIB, Process, Site, is_open, new_endpoint
from strangers.test_consumer_load import pour
from strangers.test_consumer_messages import garbage, mutations
from strangers.wire import Dealer, pack, unpack
from support.box import check_chain, random_file, sha256_of, wait_for


class Fake:
    """A bound socket that sends any reply."""

    def __init__(self, kind, endpoint):
        self.socket = zmq.Context.instance().socket(kind)
        self.socket.linger = 0
        self.socket.sndtimeo = 20000
        self.socket.bind(endpoint)
        self.sent = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def hear(self, seconds=20):
        """(route, message) of the next message."""
        assert self.socket.poll(seconds * 1000), "nobody spoke"
        route, frame = self.socket.recv_multipart()
        return route, unpack(frame)

    def send(self, *parts):
        self.socket.send_multipart(parts)
        self.sent += 1

    def try_send(self, *parts):
        """False if the message cannot be sent within a second."""
        self.socket.sndtimeo = 1000
        try:
            self.send(*parts)
            return True
        except zmq.Again:
            return False
        finally:
            self.socket.sndtimeo = 20000


def start_uploader(box, consumer, jobs, *more):
    args = [a for j in jobs for a in ("--jobs", j)]
    return Process(box.start("--consumer", consumer, *args, "--root", box.dir / "src", "--allow", box.dir / "out", "--insecure", "--retry-for", "60s",
                             *more, program="chunklift-uploader"))


def start_producer(box, consumer, jobs, source, dest, *more):
    return Process(box.start("--consumer", consumer, "--jobs", jobs, "--insecure", "--no-progress", "--chunk-size", "64KiB", *more, source, dest,
                             program="chunklift-producer"))


def answers(journal, sender, upload):
    """Each message that a consumer may send: {type: body}."""
    chunk = wire.ref(wire.CHUNK_JOB, upload, 1)
    return {
        wire.WELCOME: {1: 7, 2: 1000, 3: 99, 4: b"0" * 32, 5: [b"ipc:///nowhere/jobs", b"tcp://127.0.0.1:1"], 6: 5, 7: b"/journal", 8: 4711},
        wire.PLANNED: {1: 9, 2: [{1: 1, 2: upload, 3: 3, 4: b"handle", 6: 65536, 7: 64, 8: b"\xff" * 3, 9: 65536,
                                  12: [{1: chunk, 2: 500}], 13: b"because"}]},
        wire.VERDICT: {1: 1000, 2: [{1: chunk, 2: 1}, {1: wire.ref(wire.BEGIN_JOB, upload), 2: 1, 6: 1}, {1: chunk, 2: 2, 3: 1, 4: 10}, {1: chunk, 2: 3, 5: 7}]},
        wire.BEAT: {1: [chunk, wire.ref(wire.BEGIN_JOB, upload)], 2: [b"ipc:///nowhere/jobs"]},
        wire.PARTLIST: {1: upload, 2: 1, 3: 64, 4: [{1: 1, 2: 7, 3: 65536, 4: b"etag"}]},
        wire.ACK: {1: [{1: chunk, 2: 1, 3: 1, 5: 9}, {1: wire.ref(wire.BEGIN_JOB, upload), 2: 1, 3: 2, 4: 5, 6: b"another"}]},
        wire.RECORDS: {1: 7, 2: b'{"seq":1,"batch":1}\n', 3: 1, 4: 2, 5: [{1: chunk, 2: 1, 6: b"h/1", 7: b"detail"}], 6: 9, 7: {1: 1, 2: 8, 3: 8, 4: 8}},
        wire.STATE: {1: 7, 2: 9, 3: 4711, 4: b"0" * 32, 6: [{1: upload, 2: b"/x\x1b[2J", 3: b"file:///y", 4: 9, 7: 1}], 7: [{1: 2, 2: b"h/1", 3: 8}]},
        wire.ERROR: {1: 5, 2: b"too many\x1b[2J\xff"},
    }


# ---- the uploader's offers -----------------------------------------------------------------------------------------------

def bad_jobs(box, upload):
    """Jobs that this uploader must not execute, even with a lease."""
    src, names = str(box.dir / "src/honest").encode(), itertools.count()

    def make(kind=wire.PUT_JOB, path=src, dest=None, **more):
        return wire.job(kind, upload, path, dest or f"file://{box.dir}/out/stolen-{next(names)}".encode(), **more)

    for path in (b"/etc/passwd", src + b"/../../../../../etc/passwd", b"etc/passwd", b"", str(box.dir / "srcs/x").encode(), str(box.dir).encode()):
        yield make(path=path or b"x")
    for dest in (f"file://{box.dir}/elsewhere", f"file://{box.dir}/out/../elsewhere", f"file://{box.dir}/outer", "file:///etc/chunklift-stolen",
                 "s3://bucket/key", "http://127.0.0.1/x", "file://", "file://host/x", "x"):
        yield make(dest=dest.encode())
        yield make(wire.BEGIN_JOB, dest=dest.encode())
    for wrong in ({"chunk_size": 1}, {"chunk_size": 1 << 62}, {"size": (1 << 63) - 1}):
        yield make(wire.CHUNK_JOB, **wrong)
    for key, value in ((2, 1), (3, 1 << 62), (3, 0), (6, b""), (8, 0), (9, 1), (9, 524288)):
        yield {**make(wire.CHUNK_JOB, chunk=1), key: value}
    yield {**make(wire.CHUNK_JOB, chunk=1), 1: wire.ref(wire.CHUNK_JOB, upload, 524287)}


def test_malicious_producer(box, transport):
    """An uploader with PUSH sockets that offer garbage, oversized messages and forbidden jobs still serves an honest producer."""
    site = Site(box, transport)
    source = random_file(box.dir / "src/honest", 16 * MIB)
    site.honest.append((source, site.out / "honest"))
    good = new_endpoint(box, transport, "good.sock")
    upload = os.urandom(16)
    with Dealer(site.endpoint) as d:
        d.join(wire.PRODUCER)

        def offer(*jobs):
            return pack(wire.OFFER, {1: list(jobs), 2: b"tcp://127.0.0.1:7702"}, d.sender, d.journal, 0)

        def planned(j):
            """The same job with the id of a planned upload. The consumer grants it, so only the uploader's own checks can refuse it."""
            put = {7: 2} if j[1][1] == wire.PUT_JOB else {}
            size, chunk = j[4].get(3, 0), 8 << 20
            if -(-size // chunk) > 524288:
                return j
            file = {1: 7, 3: {**j[4], 2: b"/" + j[4][2].lstrip(b"/")}, 4: j[5], 5: chunk, 6: -(-size // chunk), **put}
            got, body = d.ask(wire.PLAN, {1: [file]})
            return {**j, 1: {**j[1], 2: body[2][0].get(2, j[1][2])}} if got == wire.PLANNED else j

        one = offer(wire.job(wire.CHUNK_JOB, upload, b"/src/x", b"file:///out/x", chunk=1))
        stolen = f"file://{box.dir}/out/stolen".encode()
        groups = {  # one socket for each group: an uploader disconnects from a socket with unusable offers
            "not here": [[offer(planned(j))] for j in bad_jobs(box, upload)],
            "flipped": [[changed] for changed in mutations(one)],
            "garbage": [[b"\x96" + os.urandom(200)] for _ in range(500)] + [[b""], [b"\xc1"], [os.urandom(16000)]],
            "parts": [[one] * parts for parts in (2, 3, 50)] + [[b"", one], [one, b""]],
            "large": [[bytes(size)] for size in (17000, 2 * MIB, 100 * MIB)] + [[one]],
            "of no plan": [[offer(wire.job(wire.CHUNK_JOB, os.urandom(16), str(source).encode(), stolen, 16 * MIB))] for _ in range(200)],
        }
        bad = {name: new_endpoint(box, transport, f"bad-{i}.sock") for i, name in enumerate(groups)}
        uploader = start_uploader(box, site.endpoint, [*bad.values(), good])
        producer = start_producer(box, site.endpoint, good, source, site.out / "honest")
        sent = {}
        for name, messages in groups.items():
            with Fake(zmq.PUSH, bad[name]) as push:
                for parts in messages:
                    if not push.try_send(*parts):
                        break
                sent[name] = push.sent
        assert producer.child.wait(60) == 0, producer.log()
        uploader.check_quiet()
        peak = uploader.check_alive(CLIENT_MIB)
        second = random_file(box.dir / "src/second", 3 * MIB, seed=2)
        site.honest.append((second, site.out / "second"))
        again = start_producer(box, site.endpoint, good, second, site.out / "second")
        assert again.child.wait(60) == 0, again.log()
    uploader.child.terminate()
    assert uploader.child.wait(30) == 0, uploader.log()
    assert sorted(f.name for f in site.out.iterdir()) == ["honest", "second"]
    assert not (box.dir / "elsewhere").exists() and not os.path.exists("/etc/chunklift-stolen")
    site.check(intents=True)  # a path that leaves the root through ".." is detected only at open
    print(f"malicious producer: {sum(sent.values())} offers ({', '.join(f'{k} {n}' for k, n in sent.items())}), none done; "
          f"the uploader at most {peak:.0f} MiB")


def test_offers_without_an_end(box):
    """A PUSH that sends message parts without a last one does not exceed the uploader's memory limit."""
    site = Site(box, "tcp")
    bad, good = new_endpoint(box, "tcp", "bad"), new_endpoint(box, "tcp", "good")
    source = random_file(box.dir / "src/honest", 4 * MIB)
    site.honest.append((source, site.out / "honest"))
    with EndlessServer(bad) as server:
        uploader = start_uploader(box, site.endpoint, [bad, good])
        sent = server.pour(1.5, wire.zmtp(bytes(16000), more=True), b"PUSH")
        producer = start_producer(box, site.endpoint, good, source, site.out / "honest")
        assert producer.child.wait(60) == 0, producer.log()
        peak = uploader.check_alive(CLIENT_MIB)
        uploader.check_quiet()
    site.check()
    assert sent > 17 * MIB
    print(f"offers without an end: {sent // MIB} MiB; the uploader at most {peak:.0f} MiB")


class EndlessServer:
    """Listens on a plain socket, completes the handshake, and sends without end."""

    def __init__(self, endpoint):
        import socket
        host, port = endpoint[6:].rsplit(":", 1)
        self.listener = socket.create_server((host, int(port)))
        self.listener.settimeout(20)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()

    def pour(self, seconds, piece, kind):
        end, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            s, _ = self.listener.accept()
            s.settimeout(20)
            s.sendall(wire.GREETING + wire.ready(kind))
            try:
                wire.read_exactly(s, 64)
                flags, size = wire.read_exactly(s, 2)
                wire.read_exactly(s, size)
                sent += pour([s], piece * 8, end - time.monotonic())[0]
            except OSError:
                pass
            s.close()
        return sent


# ---- a false consumer ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("welcomed", [False, True])
def test_malicious_consumer(box, transport, welcomed, rng):
    """Clients that receive garbage from a false consumer survive: without a WELCOME they later use the real consumer at that address, and after a
    false WELCOME they stop without a crash."""
    endpoint, jobs = new_endpoint(box, transport, "consumer.sock"), new_endpoint(box, transport, "jobs.sock")
    source = random_file(box.dir / "src/honest", 4 * MIB)
    (box.dir / "out").mkdir()
    journal, sender, upload = os.urandom(16), os.urandom(16), os.urandom(16)
    with Fake(zmq.ROUTER, endpoint) as router:
        peers = [start_uploader(box, endpoint, [jobs]), start_producer(box, endpoint, jobs, source, box.dir / "out/honest", "--retry-for", "60s")]
        routes = {}
        while len(routes) < 2:
            route, (_, body, number, _, _) = router.hear()
            if route not in routes and welcomed:
                router.send(route, pack(wire.WELCOME, answers(journal, sender, upload)[wire.WELCOME], sender, journal, number))
            routes[route] = body[1]
        for route in routes:
            for frame in garbage(rng, journal, sender):
                if welcomed or len(frame) < 2 or frame[1:2] != b"\x01":
                    router.send(route, frame)
            for kind, body in answers(journal, sender, upload).items():
                if kind == wire.WELCOME and not welcomed:
                    continue
                for changed in mutations(pack(kind, body, sender, journal, 1)):
                    # a flipped ERROR may read `version`, which ends the client; one that reads WELCOME binds it to a journal
                    if len(changed) < 3 or (changed[1:2] == b"\x01" and changed[2:3] not in (b"\x14", b"\x02")) or (welcomed and kind != wire.ERROR):
                        router.send(route, changed)
            router.send(route, b"", b"")
            for size in (2 * MIB, 100 * MIB):
                router.send(route, bytes(size))
        sent = router.sent
        for p in peers:
            if not welcomed:
                p.check_quiet()
        peaks = [p.check_alive(CLIENT_MIB) if p.is_alive() else 0 for p in peers]
    if welcomed:
        for p in peers:
            p.child.terminate()
        for p in peers:
            assert p.child.wait(30) in (0, 1, 3, 143), p.log()
            assert "Sanitizer" not in p.log() and "runtime error" not in p.log(), p.log()
        assert not list((box.dir / "out").iterdir())
    else:
        if transport == "ipc":
            os.unlink(endpoint[6:])
        box.start("--journal", box.journal, "--bind", endpoint, "--insecure", program="chunklift-consumer")
        wait_for(lambda: is_open(endpoint), what="the real consumer")
        assert peers[1].child.wait(60) == 0, peers[1].log()
        assert sha256_of(source) == sha256_of(box.dir / "out/honest")
        check_chain(box.journal)
    print(f"malicious consumer, welcomed {welcomed}: {sent} messages to an uploader and a producer, at most {max(peaks):.0f} MiB")


def test_consumer_without_an_end(box):
    """A reply of endless parts does not exceed the memory limit of an uploader and a producer."""
    source = random_file(box.dir / "src/honest", MIB)
    for program, args in (("chunklift-uploader", ["--jobs", f"ipc://{box.dir}/j1", "--root", box.dir, "--allow", box.dir]),
                          ("chunklift-producer", ["--jobs", f"ipc://{box.dir}/j2", source, box.dir / "x"])):
        endpoint = new_endpoint(box, "tcp", "")
        with EndlessServer(endpoint) as server:
            p = Process(box.start("--consumer", endpoint, "--insecure", "--no-progress" if "producer" in program else "-v", *args, program=program))
            sent = server.pour(1.5, wire.zmtp(bytes(500000), more=True), b"ROUTER")
            peak = p.check_alive(CLIENT_MIB)
            p.child.kill()
            p.child.wait()
        print(f"a consumer without an end: {sent // MIB} MiB to {program}, at most {peak:.0f} MiB")
        assert sent > 70 * MIB


@pytest.mark.parametrize("line", [b"\x1b[2Jno record\n", b'{"seq":1}\n', b"no newline", b"\xff\xfe\n", b"\n", b'{"seq":1,"batch":1,"ts":"2026-11-21T08:40:00.000000Z",'
                                  b'"ev":"later\x1b[2J","h":"00112233445566778899aabbccddeeff"}\n'])
def test_readers_print_no_lies(box, line):
    """`journal tail --consumer` prints only records, and `status --consumer` prints no terminal control codes."""
    endpoint = f"ipc://{box.dir}/fake.sock"
    journal, sender = os.urandom(16), os.urandom(16)
    with Fake(zmq.ROUTER, endpoint) as router:
        for command in (["journal", "tail"], ["status"], ["status", "--json"]):
            reader = box.start(*command, "--consumer", endpoint)
            while reader.poll() is None:
                if not router.socket.poll(50):
                    continue
                route, (kind, _, number, _, _) = router.hear()
                said = answers(journal, sender, os.urandom(16))
                said[wire.WELCOME][3] = 1
                said[wire.RECORDS][2] = line
                reply = {wire.HELLO: wire.WELCOME, wire.TAIL: wire.RECORDS, wire.STATUS: wire.STATE}.get(kind)
                if reply:
                    router.send(route, pack(reply, said[reply], sender, journal, number))
            text = reader.log.read_bytes()
            assert b"\x1b" not in text and b"\xff" not in text, text
            text.decode()
            if command[0] == "journal":
                assert reader.returncode == 3 and b"no records" in text and text.count(b"\n") == 1, text
            elif "--json" in command:
                [json.loads(entry) for entry in text.splitlines()]


# ---- the producer's jobs -----------------------------------------------------------------------------------------------

def test_strangers_at_the_jobs_socket(box, transport, rng):
    """After raw bytes, sockets of the wrong type, hundreds of connections and PULLs that take offers and drop them,
    an honest uploader completes all jobs."""
    site = Site(box, transport)
    jobs = new_endpoint(box, transport, "jobs.sock")
    source = random_file(box.dir / "src/honest", 8 * MIB)
    site.honest.append((source, site.out / "honest"))
    producer = start_producer(box, site.endpoint, jobs, source, site.out / "honest")
    wait_for(lambda: is_open(jobs), what="a producer that listens")
    context, sockets, plain = zmq.Context.instance(), [], []
    for kind in (zmq.PULL, zmq.PULL, zmq.DEALER, zmq.SUB, zmq.PAIR, zmq.REQ, zmq.PUSH):
        s = context.socket(kind)
        s.linger = 0
        s.connect(jobs)
        sockets.append(s)
    for data in [b"GET / HTTP/1.1\r\n\r\n", wire.GREETING[:20], wire.GREETING + wire.ready(b"PUSH"), b"", rng.randbytes(1000)]:
        s = wire.plain_socket(jobs)
        try:
            s.sendall(data)
        except OSError:
            pass
        plain.append(s)
    for i in range(300):
        s = wire.plain_socket(jobs)
        if i % 2:
            s.sendall(wire.GREETING + wire.ready(b"PULL"))
        plain.append(s)
    poured = 0
    if transport == "tcp":  # an ipc peer runs as the same user, so its bytes are not limited
        poured, _ = pour([wire.handshake(jobs, b"PULL") for _ in range(3)], wire.zmtp(rng.randbytes(16000), more=True), 1)
    uploader = start_uploader(box, site.endpoint, [jobs])
    stolen, end = 0, time.monotonic() + 1.5
    while producer.is_alive() and time.monotonic() < end:
        if sockets[0].poll(20):
            stolen += len(unpack(sockets[0].recv())[1].get(1, []))
    peak = producer.check_alive(CLIENT_MIB) if producer.is_alive() else 0
    for s in sockets + plain:
        s.close()
    assert producer.child.wait(120) == 0, producer.log()[-2000:]
    uploader.child.terminate()
    uploader.child.wait(30)
    site.check()
    print(f"strangers at --jobs: 312 connections, {poured // MIB} MiB poured in, {stolen} offers taken and not done; at most {peak:.0f} MiB")
