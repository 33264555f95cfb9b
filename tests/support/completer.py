"""A peer that completes jobs and remembers all acknowledgements.

It speaks the protocol of docs/PROTOCOL.md to a real consumer, as a producer that plans and an uploader that completes, with many
COMPLETEs outstanding. It keeps its state in memory only, so the state survives any loss of the journal's disk. It uploads no bytes.
"""

import json
import os
import time

import msgpack
import zmq

from support.box import journal_lines

HELLO, WELCOME, PLAN, PLANNED, CLAIM, VERDICT, COMPLETE, ACK, ERROR, BYE = 1, 2, 3, 4, 6, 7, 13, 14, 20, 19
PRODUCER, UPLOADER = 1, 2
BEGIN, CHUNK, PUT = 1, 2, 5
CHUNK_SIZE = 64 << 10
CHUNKS = 60_000  # of each upload
HELLO_FIRST, STOPPING = 3, 7
AGAIN_S = 0.2


class Peer:
    """One DEALER socket and one incarnation."""

    def __init__(self, context, role):
        self.context, self.role = context, role
        self.sender = os.urandom(16)
        self.journal, self.number, self.welcome = b"", 0, None
        self.socket, self.said_hello = None, 0.0

    def connect(self, endpoint):
        self.close()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl = 5
        self.socket.connect(endpoint)
        self.welcome, self.said_hello = None, 0.0

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def send(self, kind, body):
        self.number += 1
        try:
            self.socket.send(msgpack.packb([1, kind, self.journal, self.sender, self.number, body]), zmq.DONTWAIT)
        except zmq.Again:
            pass
        return self.number

    def hello(self, now):
        if self.welcome is None and now - self.said_hello > AGAIN_S:
            self.said_hello = now
            self.send(HELLO, {1: self.role, 2: b"elsewhere", 3: b"0" * 32, 4: 4711, 5: 1, 6: 64})

    def receive(self):
        """[(type, number, body)] of all received messages."""
        got = []
        while True:
            try:
                _, kind, journal, _, number, body = msgpack.unpackb(self.socket.recv(zmq.DONTWAIT), strict_map_key=False)[:6]
            except zmq.Again:
                return got
            if kind == WELCOME:
                self.welcome, self.journal = body, journal
            elif kind == ERROR and body[1] == HELLO_FIRST:
                self.welcome, self.said_hello = None, 0.0
            got.append((kind, number, body))


class Completer:
    """acked: {(kind, upload, chunk): seq of its record}. A result is resent until it is acknowledged or refused.

    With in_doubt set, acknowledgements stop the resending but promise no durability: they arrived after the loss of the disk."""

    def __init__(self, rng, outstanding=24, etag=32):
        self.rng, self.outstanding = rng, outstanding
        self.context = zmq.Context()
        self.producer, self.uploader = Peer(self.context, PRODUCER), Peer(self.context, UPLOADER)
        self.etag = os.urandom(etag // 2).hex().encode()
        self.acked, self.refused, self.sent = {}, 0, {}  # sent: key -> crc
        self.in_doubt, self.doubted = False, {}
        self.waiting = {}  # request number: (time sent, results)
        self.kept = []  # lists of results to send or resend
        self.upload = self.handle = None
        self.planned, self.chunk, self.files, self.asked, self.opened, self.claim = None, 0, 0, 0.0, set(), {}
        self.stopping = False

    def close(self):
        for peer in (self.producer, self.uploader):
            peer.close()
        self.context.destroy(linger=0)

    def forget(self):
        """Drops all state, for use with another journal."""
        for peer in (self.producer, self.uploader):
            peer.journal = b""
        self.acked.clear()
        self.doubted.clear()
        self.waiting.clear()
        self.kept.clear()
        self.opened.clear()
        self.upload = self.handle = self.planned = None
        self.files, self.chunk = self.files + 1, 0

    def connect(self, endpoint):
        """Connects to a new consumer and queues all unanswered results for it."""
        self.stopping = self.in_doubt = False
        for peer in (self.producer, self.uploader):
            peer.connect(endpoint)
        self.kept += [results for _, results in self.waiting.values()]
        self.waiting.clear()
        self.claim.clear()
        self.asked = 0.0

    def turn(self, timeout_s, more=True):
        """Waits once, then processes replies and sends. more: also makes new results; otherwise it sends only queued ones."""
        poller = zmq.Poller()
        for peer in (self.producer, self.uploader):
            poller.register(peer.socket, zmq.POLLIN)
        poller.poll(max(0, timeout_s) * 1000)
        now = time.monotonic()
        for peer in (self.producer, self.uploader):
            for kind, number, body in peer.receive():
                self.take(kind, number, body)
            peer.hello(now)
        if self.producer.welcome is None or self.uploader.welcome is None or self.stopping:
            return
        if (more or self.planned) and not self.handle and now - self.asked > AGAIN_S:
            self.asked = now
            self.plan()
        for number, (when, results) in list(self.waiting.items()):
            if now - when > AGAIN_S:
                del self.waiting[number]
                self.kept.append(results)
        while len(self.waiting) < self.outstanding:
            if self.kept:
                results = self.kept.pop(0)
            elif more:
                results = self.make()
            else:
                return
            self.waiting[self.uploader.send(COMPLETE, {1: results})] = (now, results)

    def settle(self, seconds=20):
        """Waits until no result is queued or unanswered."""
        end = time.monotonic() + seconds
        while self.waiting or self.kept:
            self.turn(0.05, more=False)
            assert time.monotonic() < end, f"{len(self.waiting) + len(self.kept)} messages not answered within {seconds} s"

    # requests -----------------------------------------------------------------------------------------------

    def plan(self):
        """Plans a new file. Its begin is claimed, and its chunks follow once the begin is acknowledged."""
        source = {2: b"/nowhere/file-%d" % self.files, 3: CHUNK_SIZE * CHUNKS, 4: 1, 5: 1, 6: 7}
        target = {1: b"file:///nowhere/out/file-%d" % self.files}
        self.producer.send(PLAN, {1: [{1: self.files, 3: source, 4: target, 5: CHUNK_SIZE, 6: CHUNKS}]})

    def make(self):
        count = self.rng.choice((1, 2, 7, 40, 150))
        if self.handle and self.rng.random() < 0.7:
            first, self.chunk = self.chunk, min(self.chunk + count, CHUNKS)
            results = [self.chunk_result(c) for c in range(first, self.chunk)]
            if self.chunk == CHUNKS:
                self.handle = self.upload = None
                self.files, self.chunk = self.files + 1, 0
        else:
            results = [self.put_result() for _ in range(count)]
        self.rng.shuffle(results)
        return results

    def chunk_result(self, chunk):
        crc = self.rng.getrandbits(32)
        self.sent[(CHUNK, self.upload, chunk)] = crc
        return {1: {1: CHUNK, 2: self.upload, 3: chunk}, 2: 1, 5: self.handle, 7: chunk * CHUNK_SIZE, 8: CHUNK_SIZE, 10: crc, 11: self.etag,
                12: 1, 13: CHUNK_SIZE}

    def put_result(self):
        upload, crc = os.urandom(16), self.rng.getrandbits(32)
        self.sent[(PUT, upload, 0)] = crc
        name = upload.hex().encode()
        return {1: {1: PUT, 2: upload}, 2: 1, 8: 5, 9: 5, 10: crc, 11: self.etag, 12: 1, 13: 5,
                15: {2: b"/nowhere/" + name, 3: 5, 4: 1, 5: 1, 6: 8}, 16: {1: b"s3://bucket/" + name, 2: b"http://127.0.0.1:1"}}

    # replies --------------------------------------------------------------------------------------------------

    def take(self, kind, number, body):
        if kind == PLANNED:
            self.take_plan(body[2][0])
        elif kind == VERDICT and self.claim.pop(number, None):
            verdict = body[2][0]
            if verdict[2] == 1 and not self.in_doubt:
                self.opened.add(self.planned)
            if verdict[2] in (1, 3) or verdict.get(3) in (1, 2):  # granted, done, or held by the lease holder from before the cut
                self.kept.append([{1: {1: BEGIN, 2: self.planned}, 2: 1, 5: b"handle-" + self.planned.hex().encode(), 12: 1}])
        elif kind == ACK:
            self.take_acks(self.waiting.pop(number, (0, []))[1], body.get(1, []))
        elif kind == ERROR and body[1] == STOPPING:
            self.stopping = True

    def take_plan(self, planned):
        if planned.get(1, 0) != self.files:
            return
        self.planned = planned[2]
        if planned.get(4):
            self.begun(self.planned, planned[4])
        else:
            self.claim[self.uploader.send(CLAIM, {1: [{1: {1: BEGIN, 2: self.planned}}]})] = True

    def begun(self, upload, handle):
        if not self.handle and upload == self.planned:
            self.upload, self.handle = upload, handle

    def take_acks(self, results, acks):
        answered = set()
        for ack in acks:
            ref = ack[1]
            key = (ref[1], ref[2], ref.get(3, 0))
            answered.add(key)
            if ack[3] == 2:
                self.refused += 1
            else:
                book = self.doubted if self.in_doubt else self.acked
                before = self.acked.get(key) or book.setdefault(key, ack[5])
                assert before == ack[5], f"{key} was acknowledged with seq {before}, and again with {ack[5]}"
                if ref[1] == BEGIN and not self.in_doubt:
                    self.begun(ref[2], ack[6])
        left = [r for r in results if (r[1][1], r[1][2], r[1].get(3, 0)) not in answered]
        if left:
            self.kept.append(left)


class Lost(AssertionError):
    """An acknowledged record is missing in the journal, or differs from its acknowledgement."""


KINDS = {"begin": BEGIN, "chunk": CHUNK, "put": PUT}


def compare(directory, completer):
    """Every acknowledged record is in the journal once, with its seq and checksum. Returns the number of acknowledged records."""
    found, opened = {}, set()
    for line in journal_lines(directory):
        if b'"ev":"chunk"' not in line and b'"ev":"put"' not in line and b'"ev":"begin"' not in line and b'"ev":"open"' not in line:
            continue
        r = json.loads(line)
        if r["ev"] == "open":
            opened.add(bytes.fromhex(r["upload"]))
            continue
        key = (KINDS[r["ev"]], bytes.fromhex(r["upload"]), r.get("chunk", 0))
        if key in found:
            raise AssertionError(f"{r['ev']} {r['upload']} {key[2]} recorded twice, seq {found[key]} and {r['seq']}")
        if r["ev"] != "begin" and r["crc"] != f"crc32c:{completer.sent[key]:08x}":
            raise AssertionError(f"seq {r['seq']}: another checksum than was sent")
        found[key] = r["seq"]
    lost = [(key, seq) for key, seq in completer.acked.items() if found.get(key) != seq]
    if lost:
        key, seq = min(lost, key=lambda item: item[1])
        raise Lost(f"{len(lost)} of {len(completer.acked)} acknowledged records are lost, the first is seq {seq} ({key}), "
                   f"the journal has seq {found.get(key)} for it")
    if not completer.opened <= opened:
        raise Lost(f"a begin was granted and its open is lost: {completer.opened - opened}")
    return len(completer.acked)
