"""An HTTP proxy in front of a store, on 127.0.0.1. It calls the test at chosen moments of a request and waits for its return.

Requests pass unchanged (their signature stays valid), bodies in small pieces, the requests of a connection one after the other. If a client
disconnects in the middle of a body, the server also sees a truncated request.
"""

import http.client
import socket
import threading
from urllib.parse import parse_qs, unquote

PIECE = 64 << 10


class Request:
    """The argument of the test's callback. stage: "head" (no byte forwarded yet), "body" (body partly forwarded), "sent" (request fully forwarded),
    "reply" (the server's reply received and not returned yet)."""

    def __init__(self, head):
        line, *rest = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ", 2)
        path, _, query = target.partition("?")
        self.path = unquote(path)
        self.query = parse_qs(query, keep_blank_values=True)
        self.headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in rest if h)}
        self.length = int(self.headers.get("content-length", 0))
        self.stage, self.passed = "head", 0

    @property
    def kind(self):
        """The job kind, named as in chunklift."""
        if self.method == "POST":
            return "begin" if "uploads" in self.query else "finish"
        if self.method == "PUT":
            return "chunk" if "partNumber" in self.query else "put"
        if self.method == "DELETE":
            return "abort"
        return self.method.lower()

    @property
    def part(self):
        return int(self.query.get("partNumber", ["0"])[0])


class Gate:
    """with Gate(port of the server) as gate: gate.endpoint. `moment` is called with every Request at every stage, in the thread of its connection.
    close() raises its exceptions again, except OSError, which closes the connection. `change` is called with a request and a piece of its body and
    returns the bytes to forward. At stage "head" `moment` may return a reply in the server's place: a status, or a status and an S3 error code."""

    def __init__(self, port, moment=None, change=None):
        self.port, self.moment, self.change = port, moment, change
        self.errors, self.threads, self.open = [], [], set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)  # so that a stopped body blocks its client soon
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        thread = threading.Thread(target=self.accept, daemon=True)
        thread.start()
        self.threads.append(thread)
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in list(self.open):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(20)
        if self.errors and not exc[0]:
            raise self.errors[0]

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(client)
            thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def serve(self, client):
        try:
            with client, client.makefile("rb") as incoming:
                while self.one(client, incoming):
                    pass
        except OSError:
            pass  # one side disconnected
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
        finally:
            self.open.discard(client)

    def ask(self, request, stage):
        request.stage = stage
        return self.moment(request) if self.moment else None

    def one(self, client, incoming):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = incoming.readline()
            if not line:
                return False
            head += line
        request = Request(head)
        status = self.ask(request, "head")
        if status:
            incoming.read(request.length)
            status, code = status if isinstance(status, tuple) else (status, None)
            body = f"<Error><Code>{code}</Code><Message>said the gate</Message></Error>" if code else ""
            client.sendall(f"HTTP/1.1 {status} Gate\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            return True
        if "expect" in request.headers:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = b"".join(h + b"\r\n" for h in head[:-4].split(b"\r\n") if not h.lower().startswith(b"expect:")) + b"\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as server:
            server.sendall(head)
            while request.passed < request.length:
                piece = incoming.read1(min(PIECE, request.length - request.passed))
                if not piece:
                    return False
                server.sendall(self.change(request, piece) if self.change else piece)
                request.passed += len(piece)
                self.ask(request, "body")
            self.ask(request, "sent")
            reply = http.client.HTTPResponse(server, method=request.method)
            reply.begin()
            body = reply.read()
            self.ask(request, "reply")
            lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
            lines += [f"{k}: {v}" for k, v in reply.getheaders() if k.lower() not in ("transfer-encoding", "content-length", "connection")]
            length = reply.getheader("content-length") if request.method == "HEAD" else str(len(body))
            lines.append(f"Content-Length: {length or 0}")
            client.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return True
