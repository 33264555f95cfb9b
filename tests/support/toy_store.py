"""An S3 store in memory for replies that a real store does not give on demand. It does not check signatures; the test inspects the requests it kept.

with ToyStore() as store: store.url. `answer` is called with every request first: None continues as usual, a Reply is sent, "cut" closes the
connection without a reply. tls: an ssl.SSLContext; the store then speaks HTTPS. clock_ahead: seconds, of the dates that it sends."""

import hashlib
import html
import http.server
import re
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)


def error(status, code, **headers):
    return Reply(status, f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode(), headers)


@dataclass
class Request:
    method: str
    target: str  # as sent: absolute if the store is used as a proxy
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def signed_for(self):
        """[key id, day, region, ...] of its signature; empty without one."""
        _, _, rest = self.headers.get("authorization", "").partition("Credential=")
        return rest.partition(",")[0].split("/") if rest else []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle_expect_100(self):
        return True  # the store reads the body without "100 Continue"

    def serve(self):
        store = self.server.store
        target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = Request(self.command, self.path, unquote(target.path), {k: v[0] for k, v in parse_qs(target.query, keep_blank_values=True).items()},
                          {k.lower(): v for k, v in self.headers.items()}, body)
        with store.lock:
            store.requests.append(request)
            reply = (store.answer and store.answer(request)) or store.reply(request)
        if reply == "cut":
            self.close_connection = True
            return
        self.send_response(reply.status)
        if "content-length" not in {k.lower() for k in reply.headers}:
            self.send_header("Content-Length", str(len(reply.body)))
        for k, v in reply.headers.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command not in ("HEAD", "CONNECT"):
            self.wfile.write(reply.body)

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.server.store.clock_ahead)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_CONNECT = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass  # the client disconnected


class ToyStore:
    def __init__(self, answer=None, tls=None, clock_ahead=0):
        self.answer, self.tls, self.clock_ahead = answer, tls, clock_ahead
        self.objects, self.uploads, self.requests, self.lock = {}, {}, [], threading.RLock()

    def __enter__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.store = self
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, r):
        upload = self.uploads.get(r.query.get("uploadId"))
        if "uploadId" in r.query and upload is None:
            return error(404, "NoSuchUpload")
        if r.method == "POST" and "delete" in r.query:
            for key in re.findall(rb"<Key>([^<]*)</Key>", r.body):
                self.objects.pop(f"{r.path.rstrip('/')}/{html.unescape(key.decode())}", None)
            return Reply(body=b"<DeleteResult/>")
        if r.method == "POST" and "uploads" in r.query:
            name = f"upload-{len(self.uploads)}"
            self.uploads[name] = {"parts": {}, "headers": r.headers}
            return Reply(body=f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
        if r.method == "PUT" and upload is not None:
            upload["parts"][int(r.query["partNumber"])] = r.body
            return Reply(headers={"ETag": '"%s"' % hashlib.md5(r.body).hexdigest()})
        if r.method == "POST" and upload is not None:
            listed = [int(n) for n in re.findall(rb"<PartNumber>(\d+)<", r.body)]  # other parts may have been sent, for example a probe
            return self.store(r.path, b"".join(upload["parts"][n] for n in listed), upload["headers"], complete=True)
        if r.method == "PUT":
            return self.store(r.path, r.body, r.headers)
        if r.method == "DELETE":
            if upload is None:
                self.objects.pop(r.path, None)
            self.uploads.pop(r.query.get("uploadId"), None)
            return Reply(204)
        if r.method == "GET" and "uploads" in r.query:
            return Reply(body=b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>")
        if r.path in self.objects:
            body, headers = self.objects[r.path]
            meta = {k: v for k, v in headers.items() if k.startswith("x-amz-meta-")}
            return Reply(headers={"Content-Length": str(len(body)), "ETag": '"e"', **meta}, body=body)
        return error(404, "NoSuchKey")

    def store(self, path, body, headers, complete=False):
        self.objects[path] = (body, headers)
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        return Reply(body=f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>".encode()) if complete else Reply(headers={"ETag": etag})

    def body(self, path):
        return self.objects.get(path, (None,))[0]


def make_tls(directory):
    """Makes a CA and a server certificate for 127.0.0.1: (path of the CA's certificate, ssl.SSLContext of the server)."""
    ca, key, cert, names = (directory / n for n in ("ca.pem", "server.key", "server.pem", "names"))
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run = lambda *args: subprocess.run(args, check=True, capture_output=True)
    run(*new, "-x509", "-keyout", directory / "ca.key", "-out", ca, "-days", "2", "-subj", "/CN=toy ca")
    run(*new, "-keyout", key, "-out", directory / "server.csr", "-subj", "/CN=toy")
    run("openssl", "x509", "-req", "-in", directory / "server.csr", "-CA", ca, "-CAkey", directory / "ca.key", "-CAcreateserial", "-out", cert,
        "-days", "2", "-extfile", names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return ca, context
