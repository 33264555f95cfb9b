"""The CURVE handshake (ZeroMQ RFC 26) over a plain socket, with libsodium, for clients that libzmq does not allow."""

import ctypes
import os
import struct

from zmq.utils import z85

from strangers import wire

SODIUM = ctypes.CDLL("libsodium.so.23")  # the library that libzmq uses
GREETING = wire.GREETING.replace(b"NULL".ljust(20, b"\0"), b"CURVE".ljust(20, b"\0"))


def keypair():
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    SODIUM.crypto_box_keypair(public, secret)
    return public.raw, secret.raw


def box(data, nonce, public, secret):
    out = ctypes.create_string_buffer(len(data) + 16)
    assert SODIUM.crypto_box_easy(out, bytes(data), ctypes.c_ulonglong(len(data)), nonce, public, secret) == 0
    return out.raw


def unbox(data, nonce, public, secret):
    out = ctypes.create_string_buffer(max(1, len(data) - 16))
    assert SODIUM.crypto_box_open_easy(out, bytes(data), ctypes.c_ulonglong(len(data)), nonce, public, secret) == 0, "not for us"
    return out.raw[:len(data) - 16]


def command(body):
    return bytes([4, len(body)]) + body if len(body) < 256 else bytes([6]) + struct.pack(">Q", len(body)) + body


def metadata(**properties):
    return b"".join(bytes([len(n)]) + n.encode() + struct.pack(">I", len(v)) + v for n, v in ((k.replace("_", "-"), v) for k, v in properties.items()))


class Curve:
    """A connection that has exchanged greetings. The caller performs each step of the handshake. self.said keeps all bytes sent."""

    def __init__(self, endpoint, host, server):
        self.public, self.secret = z85.decode(host.key), z85.decode(host.secret)
        self.server = z85.decode(server.key)
        self.short_public, self.short_secret = keypair()
        self.number = 0
        self.said = b""
        self.socket = wire.plain_socket(endpoint)
        self.send(GREETING)
        wire.read_exactly(self.socket, 64)

    def send(self, data):
        self.said += data
        self.socket.sendall(data)

    def nonce(self):
        self.number += 1
        return struct.pack(">Q", self.number)

    def read_command(self):
        flags = wire.read_exactly(self.socket, 1)[0]
        size = struct.unpack(">Q", wire.read_exactly(self.socket, 8))[0] if flags & 2 else wire.read_exactly(self.socket, 1)[0]
        return wire.read_exactly(self.socket, size)

    def hello(self):
        nonce = self.nonce()
        signature = box(bytes(64), b"CurveZMQHELLO---" + nonce, self.server, self.short_secret)
        self.send(command(b"\x05HELLO\x01\x00" + bytes(72) + self.short_public + nonce + signature))

    def welcome(self):
        body = self.read_command()
        assert body.startswith(b"\x07WELCOME"), body[:20]
        plain = unbox(body[24:], b"WELCOME-" + body[8:24], self.server, self.short_secret)
        self.short_server, self.cookie = plain[:32], plain[32:]

    def initiate(self, **properties):
        vouch_nonce, nonce = os.urandom(16), self.nonce()
        vouch = box(self.short_public + self.server, b"VOUCH---" + vouch_nonce, self.short_server, self.secret)
        plain = self.public + vouch_nonce + vouch + metadata(**{"Socket_Type": b"DEALER", "Identity": b"", **properties})
        self.send(command(b"\x08INITIATE" + self.cookie + nonce + box(plain, b"CurveZMQINITIATE" + nonce, self.short_server, self.short_secret)))

    def ready(self):
        body = self.read_command()
        assert body.startswith(b"\x05READY"), body[:40]
        return unbox(body[14:], b"CurveZMQREADY---" + body[6:14], self.short_server, self.short_secret)

    def handshake(self, **properties):
        self.hello()
        self.welcome()
        self.initiate(**properties)
        self.ready()
        return self

    def encrypt(self, frame, more=False):
        nonce = self.nonce()
        body = b"\x07MESSAGE" + nonce + box(bytes([int(more)]) + frame, b"CurveZMQMESSAGEC" + nonce, self.short_server, self.short_secret)
        return wire.zmtp(body)

    def say(self, frame, more=False):
        self.send(self.encrypt(frame, more))

    def hear(self):
        body = wire.read_frame(self.socket)
        return unbox(body[16:], b"CurveZMQMESSAGES" + body[8:16], self.short_server, self.short_secret)[1:]

    def close(self):
        self.socket.close()
