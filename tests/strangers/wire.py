"""The protocol of docs/PROTOCOL.md in python3-zmq and python3-msgpack, without code of chunklift. For misbehaving peers it also has ZMTP by hand
over a plain socket."""

import os
import socket
import struct
import time

import msgpack
import zmq

HELLO, WELCOME, PLAN, PLANNED, OFFER, CLAIM, VERDICT, HEARTBEAT, BEAT, RELEASE = range(1, 11)
PARTS, PARTLIST, COMPLETE, ACK, TAIL, RECORDS, STATUS, STATE, BYE, ERROR = range(11, 21)
SET, SETTINGS, FORGET, FORGOTTEN = 23, 24, 25, 26
PRODUCER, UPLOADER, READER = 1, 2, 3
BEGIN_JOB, CHUNK_JOB, FINISH_JOB, ABORT_JOB, PUT_JOB, STAT_JOB = range(1, 7)
VERSION_ERROR, MALFORMED, HELLO_FIRST, JOURNAL_ERROR, TOO_MANY, ROLE_ERROR, STOPPING = range(1, 8)
FRAME_MAX = 1 << 20


def pack(kind, body, sender, journal=b"", number=1, version=1):
    return msgpack.packb([version, kind, journal, sender, number, body], use_bin_type=True)


def unpack(frame):
    """(type, body, number, journal, sender)"""
    version, kind, journal, sender, number, body = msgpack.unpackb(frame, strict_map_key=False)[:6]
    assert version == 1
    return kind, body, number, journal, sender


def hello_body(role, **more):
    body = {1: role, 2: b"stranger", 3: b"0" * 32, 4: 4194000, 5: 1}
    if role == UPLOADER:
        body[6] = 8
    body.update({int(k[1:]): v for k, v in more.items()})
    return body


def ref(kind, upload, chunk=0):
    return {1: kind, 2: upload, **({3: chunk} if chunk else {})}


def plan_file(path, dest, size=20 << 20, chunk_size=8 << 20):
    chunks = -(-size // chunk_size)
    return {1: 7, 3: {2: path, 3: size, 4: 1, 5: 1, 6: 1}, 4: {1: dest}, 5: chunk_size, 6: chunks}


def result(kind, upload, outcome=1, chunk=0, **more):
    body = {1: ref(kind, upload, chunk), 2: outcome}
    body.update({int(k[1:]): v for k, v in more.items()})
    return body


def job(kind, upload, path, dest, size=20 << 20, chunk_size=8 << 20, chunk=0, handle=b"handle"):
    chunks = -(-size // chunk_size)
    body = {1: ref(kind, upload, chunk), 4: {2: path, 3: size, 4: 1, 5: 1, 6: 1}, 5: {1: dest}, 8: chunk_size, 9: chunks}
    if kind == CHUNK_JOB:
        body[2] = chunk * chunk_size
        body[3] = min(chunk_size, size - chunk * chunk_size)
    if kind == PUT_JOB:
        body[3] = size
        del body[8], body[9]
    if kind in (CHUNK_JOB, FINISH_JOB, ABORT_JOB):
        body[6] = handle
    return {k: v for k, v in body.items() if v}


def questions(upload=None):
    """One of each message that a client may send: {type: body}. Its ids refer to no upload."""
    upload = upload or os.urandom(16)
    return {
        HELLO: hello_body(READER, _9=b"stranger 1.0"),
        PLAN: {1: [plan_file(b"/no/such/file", b"file:///no/such/place")]},
        CLAIM: {1: [{1: ref(k, upload, 3 if k == CHUNK_JOB else 0), 2: b"handle"} for k in range(1, 6)]},
        HEARTBEAT: {1: 8, 2: 1, 3: 7, 4: [{1: ref(CHUNK_JOB, upload, 3), 2: 1 << 20}], 5: 1 << 30, 6: 3},
        RELEASE: {1: [{1: ref(CHUNK_JOB, upload, 3), 2: 10, 3: 1000, 4: b"the store wants a pause"}]},
        PARTS: {1: upload, 2: b"handle", 3: 2},
        COMPLETE: {1: [
            result(BEGIN_JOB, upload, _5=b"handle", _6=1),
            result(CHUNK_JOB, upload, chunk=3, _5=b"handle", _7=24 << 20, _8=8 << 20, _10=0x1A2B3C4D, _11=b"etag", _12=3, _13=8 << 20),
            result(FINISH_JOB, upload, _5=b"handle", _9=20 << 20, _10=7), result(ABORT_JOB, upload, _5=b"handle"),
            result(CHUNK_JOB, upload, 2, chunk=4, _3=2, _4=b"cannot be read", _5=b"handle"), result(CHUNK_JOB, upload, 3, chunk=5, _5=b"handle"),
            result(FINISH_JOB, upload, 4, _5=b"handle")]},
        TAIL: {1: 1, 2: 1, 3: 1, 5: 100},
        STATUS: {1: 5},
        SET: {4: 1 << 40},  # changes no setting: no flags
        FORGET: {1: upload * 2},
        BYE: {},
    }


class Dealer:
    """A well-formed socket for a stranger."""

    def __init__(self, endpoint, kind=zmq.DEALER, **options):
        self.context = zmq.Context.instance()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        for name, value in options.items():
            setattr(self.socket, name, value)
        self.socket.connect(endpoint)
        self.sender = os.urandom(16)
        self.journal = b""
        self.number = 1 << 40  # above every number in replayed messages
        self.sent = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def raw(self, *parts, seconds=20):
        if not self.socket.poll(seconds * 1000, zmq.POLLOUT):
            raise AssertionError("the socket cannot be written to")
        self.socket.send_multipart(parts, zmq.DONTWAIT)
        self.sent += 1

    def frame(self, kind, body):
        self.number += 1
        return pack(kind, body, self.sender, self.journal, self.number)

    def say(self, kind, body):
        self.raw(self.frame(kind, body))
        return self.number

    def receive(self, seconds=20):
        if not self.socket.poll(seconds * 1000):
            return None
        return unpack(self.socket.recv())

    def answer(self, number, seconds=20, others=None):
        """(type, body) of the reply with this number. Replies to other requests are dropped, or counted by type in others."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = self.receive(max(0.01, end - time.monotonic()))
            if got and got[2] == number:
                self.journal = self.journal or got[3]
                return got[0], got[1]
            if got and others is not None:
                key = (got[0], got[1].get(1)) if got[0] == ERROR else got[0]
                others[key] = others.get(key, 0) + 1
        raise AssertionError(f"no answer to {number} within {seconds} s")

    def ask(self, kind, body, seconds=20, others=None):
        return self.answer(self.say(kind, body), seconds, others)

    def ask_again(self, kind, body, times=10):
        """Repeats a request until a reply arrives, as real peers do."""
        for _ in range(times):
            try:
                return self.ask(kind, body, 2)
            except AssertionError:
                pass
        raise AssertionError(f"no answer, asked {times} times")

    def join(self, role, **more):
        kind, body = self.ask(HELLO, hello_body(role, **more))
        return kind, body

    def barrier(self, others=None):
        """Returns after the consumer has processed all earlier messages: the reply to a new HELLO comes after them."""
        return self.ask(HELLO, hello_body(READER), others=others)


# ---- ZMTP 3.0 by hand -------------------------------------------------------------------------------------------------

GREETING = b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + b"\0" * 31


def ready(kind):
    properties = b"".join(bytes([len(n)]) + n + struct.pack(">I", len(v)) + v for n, v in ((b"Socket-Type", kind), (b"Identity", b"")))
    body = b"\x05READY" + properties
    return bytes([4, len(body)]) + body


def zmtp(frame, more=False):
    if len(frame) > 255:
        return bytes([2 | more]) + struct.pack(">Q", len(frame)) + frame
    return bytes([int(more), len(frame)]) + frame


def plain_socket(endpoint, seconds=20):
    if endpoint.startswith("ipc://"):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        end = time.monotonic() + seconds
        while True:
            try:
                s.connect(endpoint[6:])
                break
            except BlockingIOError:  # the socket buffer is full
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)
        s.settimeout(seconds)
    else:
        host, port = endpoint[6:].rsplit(":", 1)
        s = socket.create_connection((host, int(port)), timeout=seconds)
    return s


def read_exactly(s, size):
    got = b""
    while len(got) < size:
        piece = s.recv(size - len(got))
        if not piece:
            raise ConnectionError("closed")
        got += piece
    return got


def handshake(endpoint, kind=b"DEALER"):
    """A plain socket after the handshake; zmtp() frames follow."""
    s = plain_socket(endpoint)
    s.sendall(GREETING + ready(kind))
    read_exactly(s, 64)
    flags, size = read_exactly(s, 2)
    assert flags == 4
    read_exactly(s, size)
    return s


def read_frame(s):
    """The next frame that is not a command."""
    while True:
        flags = read_exactly(s, 1)[0]
        size = struct.unpack(">Q", read_exactly(s, 8))[0] if flags & 2 else read_exactly(s, 1)[0]
        body = read_exactly(s, size)
        if not flags & 4:
            return body
