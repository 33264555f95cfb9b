"""A store with a fixed request rate: it refuses further requests with 503 SlowDown, as real stores do. It implements only enough S3 for uploads,
keeps no data, and notes the times of accepted and refused requests. For tests of the fleet's brakes and budgets, not of correctness."""

import selectors
import socket
import threading
import time

REPLY = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\n%s\r\n%s"
BEGIN = b"<InitiateMultipartUploadResult><UploadId>throttle</UploadId></InitiateMultipartUploadResult>"
FINISH = b"<CompleteMultipartUploadResult><ETag>\"throttle-1\"</ETag></CompleteMultipartUploadResult>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Connection:
    def __init__(self, sock):
        self.sock, self.head, self.body, self.status = sock, b"", None, None


class ThrottlingStore:
    """rate: requests a second (None: unlimited), with bursts of a fifth of a second. retry_after: seconds, sent with each refusal. took and refused
    hold times; bytes holds (time, count)."""

    def __init__(self, rate=None, retry_after=None, delay=0.0):
        self.rate, self.retry_after, self.delay = rate, retry_after, delay
        self.took, self.refused, self.bytes = [], [], []
        self.tokens, self.at = 1.0, time.monotonic()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.env = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake, self.ended = socket.socketpair()
        self.selector.register(self.ended, selectors.EVENT_READ)
        self.due = []  # (time, connection): delayed replies
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.wake.close()
        self.thread.join(20)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def admit(self):
        now = time.monotonic()
        if self.rate is not None:
            self.tokens = min(max(2.0, self.rate / 5), self.tokens + (now - self.at) * self.rate)
            self.at = now
            if self.tokens < 1:
                self.refused.append(now)
                return False
            self.tokens -= 1
        self.took.append(now)
        return True

    def answer(self, c):
        line = c.head.split(b"\r\n", 1)[0]
        body = BEGIN if b"?uploads" in line and line.startswith(b"POST") else FINISH if line.startswith(b"POST") else b""
        status, more = b"200 OK", b""
        if line.startswith(b"HEAD"):
            status = b"404 Not Found"
        if not c.status:
            status, body = b"503 Slow Down", SLOW_DOWN
            more = b"Retry-After: %d\r\n" % self.retry_after if self.retry_after else b""
        c.sock.setblocking(True)
        c.sock.sendall(REPLY % (status, len(body), more, b"" if line.startswith(b"HEAD") else body))
        c.sock.setblocking(False)
        c.head, c.body = b"", None

    def take(self, c, data):
        if c.body is None:
            c.head += data
            head, end, rest = c.head.partition(b"\r\n\r\n")
            if not end:
                return
            c.head, data = head, rest
            length = [h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
            c.body = int(length[0].split(b":")[1]) if length else 0
            c.status = self.admit()
            if b"100-continue" in head.lower():
                c.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if data:
            self.bytes.append((time.monotonic(), len(data)))
        c.body -= len(data)
        if c.body <= 0:
            self.due.append((time.monotonic() + self.delay, c))

    def serve(self):
        while True:
            now = time.monotonic()
            for entry in [d for d in self.due if d[0] <= now]:
                self.due.remove(entry)
                try:
                    self.answer(entry[1])
                except OSError:
                    pass
            wait = min((d[0] for d in self.due), default=now + 1) - now
            for key, _ in self.selector.select(max(wait, 0)):
                if key.fileobj is self.ended:
                    return
                if key.fileobj is self.listener:
                    sock = self.listener.accept()[0]
                    sock.setblocking(False)
                    self.selector.register(sock, selectors.EVENT_READ, Connection(sock))
                    continue
                try:
                    data = key.fileobj.recv(1 << 18)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if data:
                    self.take(key.data, data)
                else:
                    self.due = [d for d in self.due if d[1] is not key.data]
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()

    def rate_between(self, begin, end):
        return sum(begin <= t < end for t in self.took) / (end - begin)

    def bytes_between(self, begin, end):
        return sum(n for t, n in list(self.bytes) if begin <= t < end)
