"""An S3 store in memory with replies defined by the test, for behaviour of stores, proxies and networks that real servers do not show on demand.

It implements the requests that chunklift sends. It does not check signatures; it checks the body digests named in `verifies`.
"""

import base64
import ctypes
import hashlib
import http.server
import struct
import threading
import time
import urllib.parse
import xml.etree.ElementTree
from xml.sax.saxutils import escape

ISAL = ctypes.CDLL("libisal.so.2")


def crc32c(data):
    """In base64, as in the header."""
    crc = ISAL.crc32_iscsi(data, len(data), 0xFFFFFFFF) & 0xFFFFFFFF
    return base64.b64encode(struct.pack(">I", crc ^ 0xFFFFFFFF)).decode()


class Answer:
    def __init__(self, status=200, body="", **headers):
        self.status, self.headers = status, {k.replace("_", "-"): v for k, v in headers.items()}
        self.body = body if isinstance(body, bytes) else body.encode()


def refuse(status, code, message="as the test wants it"):
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>")


SENT = object()  # the hook has written the reply itself
CUT = object()  # closes the connection without a reply


class Request:
    def __init__(self, handler):
        path, _, query = handler.path.partition("?")
        self.handler, self.method = handler, handler.command
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.bucket, _, self.key = urllib.parse.unquote(path).lstrip("/").partition("/")
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        self.body = handler.rfile.read(int(self.headers.get("content-length", 0)))
        self.trailer = {}

    def decode_aws_chunked(self):
        """Replaces the body by its bytes without frames; its last lines become the trailer."""
        rest, content = self.body, b""
        while True:
            length, rest = rest.split(b"\r\n", 1)
            if int(length, 16) == 0:
                break
            content, rest = content + rest[:int(length, 16)], rest[int(length, 16) + 2:]
        self.trailer = dict(line.split(":", 1) for line in rest.decode().split("\r\n") if line)
        assert len(content) == int(self.headers["x-amz-decoded-content-length"])
        self.body = content

    @property
    def kind(self):
        q = self.query
        if self.method == "POST":
            return "begin" if "uploads" in q else "deletes" if "delete" in q else "finish"
        if self.method == "PUT":
            return "chunk" if "partNumber" in q else "put"
        if self.method == "GET":
            return "parts" if "uploadId" in q else "uploads" if "uploads" in q else "get"
        if self.method == "DELETE":
            return "abort" if "uploadId" in q else "delete"
        return "head"

    @property
    def part(self):
        return int(self.query.get("partNumber", 0))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # connections that wait to be accepted: an uploader may open 256 at once; further ones hang for seconds


class MemoryStore:
    """with MemoryStore(before) as store. `verifies` names the digests that it checks; with "trailer" it knows aws-chunked. `undeletable` maps keys to the
    error codes that a deletion of them gets. before(request) is called for each request, with its body, and may change the body. It returns the reply:
    None (the usual one), an Answer, SENT or CUT. requests holds all of them."""

    env = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}

    def __init__(self, before=None, verifies=(), tls=None):
        self.before, self.verifies = before, set(verifies)
        self.objects, self.uploads, self.requests, self.made = {}, {}, [], 0
        self.undeletable = {}
        self.lock = threading.RLock()
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def serve(self):
                store.serve(Request(self))
            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

            def log_message(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    def count(self, kind):
        return sum(r.kind == kind for r in self.requests)

    def serve(self, request):
        with self.lock:
            self.requests.append(request)
        if "trailer" in self.verifies and request.headers.get("content-encoding") == "aws-chunked":
            request.decode_aws_chunked()
        answer = (self.before and self.before(request)) or self.answer(request)
        if answer is CUT:
            request.handler.close_connection = True
        elif answer is not SENT:
            self.send(request, answer)

    def send(self, request, answer):
        h = request.handler
        h.send_response_only(answer.status)
        for name, value in {"Content-Length": len(answer.body), **answer.headers}.items():
            h.send_header(name, str(value))
        h.end_headers()
        h.wfile.write(b"" if request.method == "HEAD" else answer.body)

    # the store ------------------------------------------------------------------------------------------------------

    def wrong_digest(self, request):
        sent, body = request.headers, request.body
        plain = {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()} | ({"STREAMING-UNSIGNED-PAYLOAD-TRAILER"} if "trailer" in self.verifies else set())
        if "sha256" in self.verifies and sent.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD") not in plain:
            return refuse(400, "XAmzContentSHA256Mismatch")
        if "md5" in self.verifies and "content-md5" in sent and sent["content-md5"] != base64.b64encode(hashlib.md5(body).digest()).decode():
            return refuse(400, "BadDigest")
        if "crc32c" in self.verifies and request.kind in ("chunk", "put") and self.crc_of(request) not in (None, crc32c(body)):
            return refuse(400, "BadDigest")
        return None

    def answer(self, request):
        with self.lock:
            return self.wrong_digest(request) or getattr(self, "on_" + request.kind)(request)

    def on_begin(self, request):
        self.made += 1
        upload = f"upload-{self.made}"
        self.uploads[upload] = {"key": request.key, "parts": {}, "meta": self.meta(request)}
        more = {"x_amz_checksum_algorithm": "CRC32C", "x_amz_checksum_type": "FULL_OBJECT"} if "crc32c" in self.verifies and "x-amz-checksum-algorithm" in request.headers else {}
        return Answer(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>", **more)

    @staticmethod
    def meta(request):
        return {k: v for k, v in request.headers.items() if k.startswith("x-amz-meta-")}

    def upload(self, request):
        return self.uploads.get(request.query["uploadId"])

    def on_chunk(self, request):
        upload = self.upload(request)
        if not upload:
            return refuse(404, "NoSuchUpload")
        upload["parts"][request.part] = request.body
        return Answer(200, ETag=f'"{self.etag(request.body)}"', **self.echo(request))

    @staticmethod
    def crc_of(request):
        return request.trailer.get("x-amz-checksum-crc32c") or request.headers.get("x-amz-checksum-crc32c")

    def echo(self, request):
        crc = self.crc_of(request)
        return {"x_amz_checksum_crc32c": crc} if crc and "crc32c" in self.verifies else {}

    @staticmethod
    def etag(body):
        return hashlib.md5(body).hexdigest()

    def is_kept(self, request, key):
        """With If-None-Match: * an object is not replaced."""
        return request.headers.get("if-none-match") == "*" and key in self.objects

    def on_put(self, request):
        if self.is_kept(request, request.key):
            return refuse(412, "PreconditionFailed")
        self.objects[request.key] = {"body": request.body, "meta": self.meta(request), "etag": self.etag(request.body)}
        return Answer(200, ETag=f'"{self.etag(request.body)}"', **self.echo(request))

    def on_parts(self, request):
        upload = self.upload(request)
        if not upload:
            return refuse(404, "NoSuchUpload")
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{self.etag(b)}</ETag><Size>{len(b)}</Size></Part>"
                        for n, b in sorted(upload["parts"].items()) if n > int(request.query.get("part-number-marker", 0)))
        return Answer(200, f"<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>")

    def on_finish(self, request):
        upload = self.upload(request)
        if not upload:
            return refuse(404, "NoSuchUpload")
        if self.is_kept(request, upload["key"]):
            return refuse(412, "PreconditionFailed")
        text = request.body.decode()
        wanted = [p.split("<")[0] for p in text.split("<PartNumber>")[1:]], [p.split("<")[0].strip('"') for p in text.split("<ETag>")[1:]]
        for number, etag in zip(*wanted):
            if self.etag(upload["parts"].get(int(number), b"none")) != etag:
                return refuse(400, "InvalidPart", f"part {number} is not there")
        body = b"".join(upload["parts"][int(n)] for n in wanted[0])
        self.objects[upload["key"]] = {"body": body, "meta": upload["meta"], "etag": f"{self.etag(body)}-{len(wanted[0])}"}
        del self.uploads[request.query["uploadId"]]
        return Answer(200, f"<CompleteMultipartUploadResult><ETag>{self.objects[upload['key']]['etag']}</ETag></CompleteMultipartUploadResult>")

    def on_abort(self, request):
        return Answer(204) if self.uploads.pop(request.query["uploadId"], None) else refuse(404, "NoSuchUpload")

    def on_uploads(self, request):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found = "".join(f"<Upload><Key>{escape(u['key'])}</Key><UploadId>{i}</UploadId><Initiated>{at}</Initiated></Upload>"
                        for i, u in self.uploads.items() if u["key"].startswith(request.query.get("prefix", "")))
        return Answer(200, f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{found}</ListMultipartUploadsResult>")

    def on_head(self, request):
        o = self.objects.get(request.key)
        return Answer(200, b"", **{"ETag": f'"{o["etag"]}"', "Content-Length": len(o["body"]), **o["meta"]}) if o else Answer(404)

    def on_get(self, request):
        o = self.objects.get(request.key)
        return Answer(200, o["body"]) if o else refuse(404, "NoSuchKey")

    def on_delete(self, request):
        if request.key in self.undeletable:
            return refuse(403, self.undeletable[request.key])
        self.objects.pop(request.key, None)
        return Answer(204)

    @staticmethod
    def keys_to_delete(request):
        """Of a DeleteObjects request."""
        return [key.text for key in xml.etree.ElementTree.fromstring(request.body).iterfind("{*}Object/{*}Key")]

    def on_deletes(self, request):
        if request.headers.get("content-md5") != base64.b64encode(hashlib.md5(request.body).digest()).decode():
            return refuse(400, "InvalidRequest", "Missing required header for this request: Content-MD5")
        refused = ""
        for key in self.keys_to_delete(request):
            if key in self.undeletable:
                refused += f"<Error><Key>{escape(key)}</Key><Code>{self.undeletable[key]}</Code><Message>as the test wants it</Message></Error>"
            else:
                self.objects.pop(key, None)
        return Answer(200, f"<DeleteResult>{refused}</DeleteResult>")
