"""--slots auto: the number of transfers follows the store, and `status` says why."""

import http.server
import json
import threading
import time

from bench.conftest import start_sink  # noqa: F401  (a fixture)
from support.box import random_file, wait_for


def uploaders(box):
    out = box.run("status", "--journal", box.journal, "--json", status=None).stdout
    return [line for line in map(json.loads, out.splitlines()) if line["event"] == "uploader"]


def test_a_slow_store_gets_more_transfers_and_a_given_number_stays(box, start_sink):  # noqa: F811
    for i in range(600):
        random_file(box.dir / "tree" / f"{i:03}", 10)
    cp = box.start("cp", "-r", "--quiet", "--journal", box.journal, "--uploaders", "1", "--endpoint-url", start_sink("-d", "500"), box.dir / "tree",
                   "s3://bucket/", env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    grown = wait_for(lambda: [u for u in uploaders(box) if u["slots"] > 16], what="more slots than for a near store")
    assert grown[0]["slots_why"] in ("reply", "most"), grown
    box.run("set", "--journal", box.journal, "--slots", "3")
    wait_for(lambda: [u for u in uploaders(box) if u["slots"] == 3 and u["slots_why"] == "given"], what="the number that was set")
    box.run("set", "--journal", box.journal, "--slots", "0")
    wait_for(lambda: [u for u in uploaders(box) if u["slots"] > 16], what="auto again")
    assert cp.wait(60) == 0, cp.log.read_text()
    assert len(box.records("put")) == 600


UNPROVEN = 32  # AUTO_SLOTS_UNPROVEN of uploader/policy/auto_slots.h
NEARLY = 29  # a number is left alone that would grow by less than a tenth (GROWS of uploader/capacity.c)


class SlowServer(http.server.ThreadingHTTPServer):
    """A listen queue of 5, and replies that take 0.3 s once the gate is open. Counts the connections that wait for their first reply."""

    request_queue_size = 5
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Slow)
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.waiting = self.replies = self.beyond = 0


class Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    first = True

    def do_PUT(self):  # noqa: N802
        server, first = self.server, self.first
        self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.waiting += first
            server.beyond = max(server.beyond, server.waiting - server.replies)
        server.gate.wait()
        time.sleep(0.3)
        with server.lock:
            server.waiting -= first
            server.replies += 1
        self.first = False
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("ETag", '"0123456789abcdef0123456789abcdef"')
        self.end_headers()

    def log_message(self, *_):
        pass


def test_few_connections_wait_for_their_first_reply(box):
    """A server that does not answer at first gets no more transfers than one that is not known; then as many more as it has answered."""
    for i in range(400):
        random_file(box.dir / "tree" / f"{i:03}", 10)
    with SlowServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cp = box.start("cp", "-r", "--quiet", "--journal", box.journal, "--uploaders", "1", "--integrity", "none", "--endpoint-url",
                       f"http://127.0.0.1:{server.server_port}", box.dir / "tree", "s3://bucket/", env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
        wait_for(lambda: server.waiting >= NEARLY, what="as many as may wait")
        wait_for(lambda: [u for u in uploaders(box) if u["slots"] >= NEARLY], what="their number in status")
        server.gate.set()
        assert cp.wait(60) == 0, cp.log.read_text()
        server.shutdown()
    assert len(box.records("put")) == 400
    assert server.beyond <= UNPROVEN, server.beyond
