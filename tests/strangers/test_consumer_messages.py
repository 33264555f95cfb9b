"""Invalid messages to a running consumer: it replies or drops each, records none of them, and honest peers go on."""

import os

import msgpack
import pytest
import zmq

from strangers import wire
from strangers.site import MIB, SANITIZED
from strangers.wire import Dealer, pack
from support.box import random_file


def report(what, dealers, others, peak, uploads):
    errors = sum(n for key, n in others.items() if isinstance(key, tuple))
    answers = sum(n for key, n in others.items() if not isinstance(key, tuple))
    print(f"{what}: {sum(d.sent for d in dealers)} messages sent, {errors} answered ERROR, {answers} answered otherwise, none recorded; "
          f"at most {peak:.0f} MiB; {uploads} honest uploads")


def member(site, role):
    d = Dealer(site.endpoint)
    d.join(role)
    return d


def nested(depth):
    return b"\x91" * depth + b"\xc0"


def absurd(journal, sender):
    """Messages with false counts, lengths and depths."""
    head = msgpack.packb([1, wire.CLAIM, journal, sender, 7])[:-1]
    for tail in (b"\xdf\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc5\xff\xff", b"\xdb\xff\xff\xff\xff",
                 b"\xc9\xff\xff\xff\xff\x01", b"\x81\x01\xdd\xff\xff\xff\xff", b"\x81\x01\xdd\x00\x10\x00\x00" + b"\x80" * 1000,
                 b"\x81\x01\xdc\x10\x01" + b"\x80" * 4097, nested(7), nested(8), nested(9), nested(10000), nested(1 << 19),
                 b"\x81\x01" + nested(1 << 19), b"\x8f" + b"\x01\x90" * 15, b"\x80\x80"):
        for first in (b"\x96", b"\x95", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff"):
            yield first + head[1:] + b"\x07" + tail
    for depth in (1, 8, 9, 1000, 1 << 20):
        yield nested(depth)[:wire.FRAME_MAX]
    for number in (0, 21, 22, 23, 24, 255, 1 << 31, 1 << 63, (1 << 64) - 1):
        yield pack(number, {}, sender, journal)
    for version in (0, 2, 127, 128, 1 << 16, 1 << 63):
        yield pack(wire.STATUS, {}, sender, journal, version=version)
    for wrong in (-1, b"x", None, 1.5, [], {}, True, "text"):
        yield msgpack.packb([wrong, wire.STATUS, journal, sender, 1, {}])
        yield msgpack.packb([1, wrong, journal, sender, 1, {}])
        yield msgpack.packb([1, wire.STATUS, wrong, sender, 1, {}])
        yield msgpack.packb([1, wire.STATUS, journal, wrong, 1, {}])
        yield msgpack.packb([1, wire.STATUS, journal, sender, wrong, {}])
        yield msgpack.packb([1, wire.STATUS, journal, sender, 1, wrong])
    yield pack(wire.STATUS, {}, bytes(16), journal)
    yield pack(wire.HELLO, wire.hello_body(wire.READER), bytes(16), journal)
    yield pack(wire.STATUS, {}, sender, os.urandom(16))


def garbage(rng, journal, sender):
    yield b""
    for size in [1, 2, 3, 5, 8, 16, 33, 100, 256, 1000, 4096, 65536, 1 << 20]:
        for _ in range(40 if size <= 4096 else 3):
            yield rng.randbytes(size)
            yield b"\x96\x01" + rng.randbytes(size)[:-2]
    yield from absurd(journal, sender)


def test_garbage(site, rng):
    others = {}
    with site.honest_meanwhile(), Dealer(site.endpoint) as stranger, member(site, wire.UPLOADER) as d, \
            Dealer(site.endpoint, ROUTING_ID=b"n" * 16) as named, Dealer(site.endpoint, ROUTING_ID=b"l" * 17) as long_named:
        stranger.journal = d.journal
        dealers = [stranger, d, named, long_named]
        for sender in dealers:
            for frame in garbage(rng, d.journal, d.sender):
                sender.raw(frame)
            for parts in range(2, 100, 7):
                sender.raw(*[rng.randbytes(10)] * parts)
                sender.raw(b"", pack(wire.STATUS, {}, d.sender, d.journal))
                sender.raw(pack(wire.STATUS, {}, d.sender, d.journal), b"")
        for sender in (stranger, d, named):
            sender.barrier(others)
        long_named.say(wire.HELLO, wire.hello_body(wire.READER))
        assert long_named.receive(0.5) is None  # the sender's name is invalid, so no reply is possible
    assert others.get((wire.ERROR, wire.VERSION_ERROR), 0) + others.get((wire.ERROR, wire.MALFORMED), 0) >= 2, others
    report("garbage", dealers, others, site.check(), len(site.honest))


def mutations(frame):
    for i in range(len(frame)):
        yield frame[:i]
    for i, byte in enumerate(frame):
        for bit in range(8):
            yield frame[:i] + bytes([byte ^ (1 << bit)]) + frame[i + 1:]
        yield frame[:i] + bytes([byte ^ 0xFF]) + frame[i + 1:]


@pytest.mark.parametrize("role", [wire.PRODUCER, wire.UPLOADER])
def test_truncated_and_flipped(site, role):
    """The consumer survives every message cut at every byte, with each bit of each byte flipped, and with each byte inverted."""
    others = {}
    with site.honest_meanwhile(), member(site, role) as d:
        for kind, body in wire.questions().items():
            for i, changed in enumerate(mutations(d.frame(kind, body))):
                if kind == wire.BYE and changed[1:2] == b"\x13" and len(changed) > 40:
                    continue  # nearly all of these are valid BYEs, and each needs a new HELLO afterwards
                d.raw(changed)
                if i % 500 == 0:
                    d.barrier(others)
        d.barrier(others)
    report(f"truncated and flipped, role {role}", [d], others, site.check(), len(site.honest))


def test_wrong_roles_and_ids_of_nothing(site):
    asked = answered = 0
    allowed = {wire.PLAN: [wire.PRODUCER], wire.TAIL: [1, 2, 3], wire.STATUS: [1, 2, 3], wire.HELLO: [1, 2, 3], wire.BYE: [1, 2, 3],
               wire.SET: [wire.PRODUCER, wire.READER], wire.FORGET: [wire.PRODUCER, wire.READER]}
    with site.honest_meanwhile():
        for role in (wire.PRODUCER, wire.UPLOADER, wire.READER):
            with member(site, role) as d:
                for kind, body in wire.questions().items():
                    if kind == wire.BYE:
                        continue
                    may = role in allowed.get(kind, [wire.UPLOADER])
                    number = d.say(kind, {**body, 1: role} if kind == wire.HELLO else body)
                    asked += 1
                    if may and kind == wire.RELEASE:
                        continue
                    got, answer = d.answer(number)
                    answered += 1
                    assert (got == wire.ERROR) == (not may), (role, kind, answer)
                    if not may:
                        assert answer[1] == wire.ROLE_ERROR
                    if may and kind == wire.CLAIM:
                        assert {v.get(2) for v in answer[2]} == {2}  # all denied
                    if may and kind == wire.COMPLETE:
                        assert {a.get(3) for a in answer[1]} == {2}  # all refused
                    if may and kind == wire.PARTS:
                        assert 3 not in answer
                for kind in (wire.WELCOME, wire.PLANNED, wire.OFFER, wire.VERDICT, wire.BEAT, wire.PARTLIST, wire.ACK, wire.RECORDS, wire.STATE,
                             wire.ERROR):
                    d.say(kind, {1: 7, 2: 1} if kind == wire.WELCOME else {1: 7} if kind == wire.ERROR else {})
                    asked += 1
                d.barrier()
                if role != wire.READER:  # the same name with another role
                    got, answer = d.ask(wire.HELLO, wire.hello_body(wire.READER))
                    assert (got, answer[1]) == (wire.ERROR, wire.MALFORMED)
        with Dealer(site.endpoint) as d:
            for kind, body in wire.questions().items():
                if kind != wire.HELLO:
                    got, answer = d.ask(kind, body)
                    assert (got, answer[1]) == (wire.ERROR, wire.HELLO_FIRST)
                    asked += 1
            d.join(wire.UPLOADER)
            d.journal = os.urandom(16)
            for kind, body in wire.questions().items():
                got, answer = d.ask(kind, body)
                assert (got, answer[1]) == (wire.ERROR, wire.JOURNAL_ERROR)
                asked += 1
    peak = site.check()
    print(f"wrong roles and ids of nothing: {asked} messages, each answered as it must be; at most {peak:.0f} MiB")


def test_oversized(site):
    """The consumer closes a connection after the frame header of a 2 MiB or 100 MiB message and keeps no byte of it."""
    closed = 0
    with site.honest_meanwhile():
        for size in (wire.FRAME_MAX + 1, 2 * MIB, 100 * MIB, 1 << 40, (1 << 63) - 1):
            s = wire.handshake(site.endpoint)
            s.sendall(b"\x02" + size.to_bytes(8, "big"))
            try:
                for _ in range(min(size, 100 * MIB) // MIB + 1):
                    s.sendall(bytes(MIB))
                assert s.recv(1) == b""
            except (BrokenPipeError, ConnectionResetError):
                pass
            s.close()
            closed += 1
        with Dealer(site.endpoint) as d:
            for size in (2 * MIB, 100 * MIB):
                d.raw(bytes(size))
            d.join(wire.READER)  # libzmq reconnects
            got, _ = d.ask(wire.TAIL, {1: 1, 2: 1, 3: 1})
            assert got == wire.RECORDS
    peak = site.check(limit_mib=150 if not SANITIZED else 1500)
    print(f"oversized: {closed + 2} messages, all refused by closing the connection; at most {peak:.0f} MiB")


class Recorder:
    """A proxy between honest peers (ROUTER) and the consumer (one DEALER for each peer). It keeps all messages of the peers."""

    def __init__(self, front, back, server=None, client=None):
        """server, client: its own keys at each end (support.keys)."""
        self.context = zmq.Context.instance()
        self.router = self.make(zmq.ROUTER, server)
        self.client = client
        self.router.bind(front)
        self.back = back
        self.poller = zmq.Poller()
        self.poller.register(self.router, zmq.POLLIN)
        self.peers = {}
        self.said = []

    def make(self, kind, options):
        s = self.context.socket(kind)
        s.linger = 0
        for name, value in (options or {}).items():
            setattr(s, name, value)
        return s

    def run(self, until, seconds=90):
        for _ in range(int(seconds * 10)):
            if until():
                return
            for socket, _ in self.poller.poll(100):
                self.forward(socket)
        raise AssertionError("the honest conversation did not end")

    def forward(self, socket):
        while socket.poll(0):
            if socket is not self.router:
                name = next(n for n, s in self.peers.items() if s is socket)
                self.router.send_multipart([name, socket.recv()])
                continue
            name, frame = self.router.recv_multipart()
            self.said.append(frame)
            if name not in self.peers:
                self.peers[name] = self.make(zmq.DEALER, self.client)
                self.peers[name].connect(self.back)
                self.poller.register(self.peers[name], zmq.POLLIN)
            self.peers[name].send(frame)

    def close(self):
        for s in [self.router, *self.peers.values()]:
            s.close()


def test_replayed_conversation(box, site):
    """A replay of all messages of an honest producer and uploader, during their work and afterwards, adds no record, and the impersonated peers
    send HELLO again."""
    front = f"ipc://{box.dir}/front.sock"
    recorder = Recorder(front, site.endpoint)
    out = site.out / "recorded"
    source = random_file(box.dir / "src" / "recorded", 40 * MIB, seed="recorded")
    site.honest.append((source, out))
    jobs = f"ipc://{box.dir}/jobs.sock"
    uploader = box.start("--consumer", front, "--jobs", jobs, "--root", box.dir / "src", "--allow", site.out, program="chunklift-uploader")
    producer = box.start("--consumer", front, "--jobs", jobs, "--chunk-size", "64KiB", "--no-progress", source, out, program="chunklift-producer")
    try:
        recorder.run(lambda: len(recorder.said) > 60 or producer.poll() is not None)
        early = list(recorder.said)
        with Dealer(site.endpoint) as d:
            for frame in early:
                d.raw(frame)
            recorder.run(lambda: producer.poll() is not None)
            assert producer.returncode == 0, producer.log.read_text()
            uploader.terminate()
            recorder.run(lambda: uploader.poll() is not None)
            before = len(box.records())
            others = {}
            d.journal = msgpack.unpackb(early[-1], strict_map_key=False)[2]
            for _ in range(2):
                for frame in recorder.said:
                    d.raw(frame)
                d.barrier(others)
    finally:
        recorder.close()
    assert len(box.records()) == before
    report("replayed", [d], others, site.check(), len(site.honest))
    other = type(site)(Other(box), site.transport)
    with Dealer(other.endpoint) as d:
        others = {}
        for frame in recorder.said:
            d.raw(frame)
        d.barrier(others)
    assert others[(wire.ERROR, wire.JOURNAL_ERROR)] > 50
    other.upload("after")
    report("replayed to another journal", [d], others, other.check(), len(other.honest))


class Other:
    """A second site in the same box."""

    def __init__(self, box):
        self.box = box
        self.dir = box.dir / "other"
        self.dir.mkdir()

    def __getattr__(self, name):
        return getattr(self.box, name)


def test_liar(site):
    """The consumer trusts an uploader about its own results (the trust model), but a wrong handle, chunk or range, an early finish and a second
    result add no record."""
    with site.honest_meanwhile():
        pass
    path, dest = b"/no/such/source", b"file:///no/such/place/liar"
    with Dealer(site.endpoint) as producer, Dealer(site.endpoint) as liar:
        producer.join(wire.PRODUCER)
        liar.join(wire.UPLOADER)
        _, planned = producer.ask(wire.PLAN, {1: [wire.plan_file(path, dest)]})
        upload = planned[2][0][2]

        def complete(*results):
            got, body = liar.ask(wire.COMPLETE, {1: list(results)})
            assert got == wire.ACK
            return [(a[3], a.get(4, 0), a.get(5, 0)) for a in body[1]]

        def chunk(i, **wrong):
            body = {"_5": b"handle", "_7": i * (8 << 20), "_8": (8 << 20) if i < 2 else 4 << 20, "_10": 1, **wrong}
            return wire.result(wire.CHUNK_JOB, upload, chunk=i, **{k: v for k, v in body.items() if v != 0})

        stale, ended = 5, 6
        assert complete(chunk(0)) == [(2, stale, 0)]  # before any begin
        [(kind, _, begun)] = complete(wire.result(wire.BEGIN_JOB, upload, _5=b"handle"))
        assert kind == 1
        assert complete(chunk(0, _5=b"another"), chunk(0, _8=1), chunk(1, _7=1), chunk(3), wire.result(wire.FINISH_JOB, upload, _5=b"handle")) == \
            [(2, stale, 0)] * 5
        got, body = liar.ask(wire.CLAIM, {1: [{1: wire.ref(wire.FINISH_JOB, upload), 2: b"handle"}]})
        assert body[2][0][2] == 2  # denied: chunks before finish
        [(kind, _, seq)] = complete(chunk(1))
        assert (kind, seq) == (1, begun + 1)
        assert complete(chunk(1), chunk(1, _10=2)) == [(1, 0, seq)] * 2  # no second record, with any content
        assert complete(wire.result(wire.CHUNK_JOB, upload, 2, chunk=0, _3=2, _4=b"lie\x1b[2J\xff", _5=b"handle"))[0][0] == 1
    records = site.box.records()
    assert "\x1b" not in next(r for r in records if r["ev"] == "fail")["error"]
    peak = site.check(strangers=3)
    print(f"a liar: 3 records it was entitled to (begin, chunk, fail), 9 results refused or found recorded; at most {peak:.0f} MiB")
