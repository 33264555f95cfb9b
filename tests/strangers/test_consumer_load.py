"""Overload of a running consumer: connections, endless messages, requests with unread replies, incarnations."""

import os
import random
import resource
import select
import socket
import time

import pytest

from strangers import wire
from strangers.site import CONSUMER_MIB, MIB, SANITIZED, Site
from strangers.wire import Dealer, pack
from support.box import random_file, wait_for

@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 1 << 20 else 1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def tcp_site(box):
    return Site(box, "tcp")


def is_closed(s):
    """The peer has closed this connection."""
    s.setblocking(False)
    try:
        while s.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


# ---- bytes that are not ZMTP ----------------------------------------------------------------------------------------

def test_raw_bytes(site, rng):
    """A connection without a greeting is closed within 5 s."""
    head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: stranger\r\n\r\n"
    v1 = b"\x01\x00" * 20 + b"\x02\x00x" * 20
    v2 = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\x00\x00" + b"\x00\x05hello" * 5
    curve = wire.GREETING.replace(b"NULL".ljust(20, b"\0"), b"CURVE".ljust(20, b"\0"))
    sent = [head, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", v1, v2, curve, wire.GREETING[:10], wire.GREETING[:63], wire.GREETING,
            wire.GREETING + wire.ready(b"PUB"), wire.GREETING + wire.ready(b"PUSH"), wire.GREETING + wire.ready(b"X" * 200),
            wire.GREETING + b"\x04\x7f" + bytes(60), wire.GREETING + b"\x06" + (1 << 62).to_bytes(8, "big"), b"", b"\xff"]
    sent += [rng.randbytes(rng.choice([1, 9, 10, 64, 1000, 100000])) for _ in range(60)]
    with site.honest_meanwhile(4 * MIB):
        sockets = []
        for data in sent:
            s = wire.plain_socket(site.endpoint)
            try:
                s.sendall(data)
            except OSError:
                pass
            sockets.append(s)
        slow = wire.plain_socket(site.endpoint)  # sends one byte at a time
        for byte in wire.GREETING[:40]:
            slow.sendall(bytes([byte]))
            time.sleep(0.002)  # makes the sender slow; not a wait for a condition
        sockets.append(slow)
        wait_for(lambda: all(is_closed(s) for s in sockets), 20, "connections without a greeting closed")
    peak = site.check()
    print(f"raw bytes: {len(sockets)} connections, all closed; at most {peak:.0f} MiB")


def test_flipped_handshake(site):
    """A handshake and HELLO that are cut at any byte or changed in any byte do not disturb the consumer."""
    good = wire.GREETING + wire.ready(b"DEALER") + wire.zmtp(pack(wire.HELLO, wire.hello_body(wire.READER), os.urandom(16)))
    connections = 0
    with site.honest_meanwhile(4 * MIB):
        for i, byte in enumerate(good):
            for data in (good[:i], good[:i] + bytes([byte ^ 0xFF]) + good[i + 1:], good[:i] + bytes([byte ^ (1 << i % 8)]) + good[i + 1:]):
                s = wire.plain_socket(site.endpoint)
                try:
                    s.sendall(data)
                except OSError:
                    pass
                s.close()
                connections += 1
    print(f"flipped handshakes: {connections}; at most {site.check():.0f} MiB")


@pytest.mark.strangers
def test_slow_peer_is_no_trouble(site):
    """A peer that sends its message one byte at a time after the handshake is served."""
    with site.honest_meanwhile(4 * MIB):
        s = wire.handshake(site.endpoint)
        sender = os.urandom(16)
        for byte in wire.zmtp(pack(wire.HELLO, wire.hello_body(wire.READER), sender)):
            s.sendall(bytes([byte]))
            time.sleep(0.005)
        assert wire.unpack(wire.read_frame(s))[0] == wire.WELCOME
        s.close()
    print(f"a slow peer: welcomed in the end; at most {site.check():.0f} MiB")


# ---- connections ----------------------------------------------------------------------------------------------------

def connect_all(endpoint, count, greet):
    sockets = []
    for _ in range(count):
        s = wire.plain_socket(endpoint)
        if greet:
            s.sendall(wire.GREETING + wire.ready(b"DEALER"))
        sockets.append(s)
    return sockets


def test_two_thousand_connections(site):
    """2,000 idle connections that completed the handshake all stay open and use the documented memory."""
    with site.honest_meanwhile():
        before = site.consumer.rss_mib()
        sockets = connect_all(site.endpoint, 2000, True)
        wait_for(lambda: all(select_readable(sockets)), 30, "2,000 greetings")
        for i, s in enumerate(sockets):
            if i % 4 == 0:
                s.sendall(wire.zmtp(pack(wire.HELLO, wire.hello_body(wire.READER), os.urandom(16))))
        with Dealer(site.endpoint) as d:
            assert d.join(wire.READER)[0] == wire.WELCOME
        each = (site.consumer.rss_mib() - before) * 1024 / 2000
        assert not any(is_closed(s) for s in sockets)
        site.consumer.check_quiet()
    for s in sockets:
        s.close()
    assert each < 128, f"{each:.0f} KiB for each connection"
    peak = site.check()
    print(f"2,000 connections, 500 of them peers: all kept, {each:.0f} KiB each; at most {peak:.0f} MiB")


def select_readable(sockets):
    poller = select.poll()
    for s in sockets:
        poller.register(s, select.POLLIN)
    ready = {fd for fd, _ in poller.poll(0)}
    return [s.fileno() in ready for s in sockets]


@pytest.mark.parametrize("greet", [pytest.param(False, marks=pytest.mark.strangers), True])
def test_connections_beyond_the_limit(box, transport, greet):
    """At its file limit the consumer logs it, stays idle and serves connected peers; over tcp, silent connections make room for new ones."""
    files = 256 if transport == "tcp" else 2048  # libzmq aborts on an ipc connection when no descriptor is left

    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    site = Site(box, transport, preexec_fn=few_files)
    site.upload("before")
    with Dealer(site.endpoint) as d:
        d.join(wire.READER)
        running = site.start_upload("running", 200 * MIB)
        wait_for(lambda: b'"chunk":99,' in (site.journal / "journal.jsonl").read_bytes(), what="an upload that runs")
        sockets = []
        try:
            for _ in range(3000):
                s = socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET)
                s.setblocking(False)
                address = site.endpoint[6:] if transport == "ipc" else ("127.0.0.1", int(site.endpoint.rsplit(":", 1)[1]))
                try:
                    s.connect(address)
                    if greet:
                        s.sendall(wire.GREETING + wire.ready(b"DEALER"))
                except OSError:  # not connected yet, or refused
                    pass
                sockets.append(s)
            wait_for(lambda: "connections is reached" in site.consumer.log(), 20, "a word about the limit")
            site.consumer.check_quiet()
            for _ in range(5):
                assert d.ask(wire.STATUS, {})[0] == wire.STATE
            site.ended(running)
            if transport == "tcp" or not greet:  # over ipc the consumer cannot tell silent connections apart
                site.upload("new while they are there", seconds=60)
        finally:
            for s in sockets:
                s.close()
    site.upload("after")
    assert len(os.listdir(f"/proc/{site.consumer.pid}/fd")) < files
    assert site.consumer.log().count("connections is reached") == 1
    peak = site.check()
    print(f"3,000 connections to a process with {files} open files, greeting {greet}: said once, honest peers go on and come; at most {peak:.0f} MiB")


# ---- too much to read -----------------------------------------------------------------------------------------------

def pour(sockets, piece, seconds):
    """Writes piece repeatedly to all sockets for that many seconds. Returns the bytes written and the number of closed connections."""
    end = time.monotonic() + seconds
    left = {s: b"" for s in sockets}
    written, closed = 0, 0
    poller = select.poll()
    for s in sockets:
        s.setblocking(False)
        poller.register(s, select.POLLOUT)
    by_fd = {s.fileno(): s for s in sockets}
    while left and time.monotonic() < end:
        for fd, _ in poller.poll(100):
            s = by_fd[fd]
            try:
                data = left[s] or piece
                n = s.send(data)
                written += n
                left[s] = memoryview(data)[n:]
            except BlockingIOError:
                pass
            except OSError:
                closed += 1
                poller.unregister(s)
                del left[s]
    return written, closed


def test_flood_of_large_messages(site):
    """Honest uploads complete while eight peers send requests of nearly 1 MiB as fast as possible."""
    sender, upload = os.urandom(16), os.urandom(16)
    frame = pack(wire.CLAIM, {1: [{1: wire.ref(wire.CHUNK_JOB, upload, i + 1), 2: b"h" * 200} for i in range(4096)]}, sender)
    assert 900_000 < len(frame) < wire.FRAME_MAX
    with site.honest_meanwhile():
        sockets = [wire.handshake(site.endpoint) for _ in range(8)]
        for s in sockets[:4]:
            s.sendall(wire.zmtp(pack(wire.HELLO, wire.hello_body(wire.UPLOADER), sender)))
        written, closed = pour(sockets, wire.zmtp(frame), 3)
        for s in sockets:
            s.close()
    peak = site.check(limit_mib=CONSUMER_MIB)
    print(f"flood: {written // MIB} MiB in messages of {len(frame)} bytes, {closed} connections closed; at most {peak:.0f} MiB")


def test_messages_without_an_end(tcp_site):
    """Connections that send message parts without a last one are closed before they fill the memory."""
    with tcp_site.honest_meanwhile():
        written = closed = rounds = 0
        while rounds < 2 or (closed == 0 and rounds < 8):  # a busy machine sends slowly
            rounds += 1
            sockets = [wire.handshake(tcp_site.endpoint) for _ in range(6)]
            more, gone = pour(sockets, wire.zmtp(bytes(MIB), more=True), 1.5)
            written, closed = written + more, closed + gone
            for s in sockets:
                s.close()
    peak = tcp_site.check()
    assert written > 400 * MIB and closed > 0, (written // MIB, closed)
    assert "faster than they can be read" in tcp_site.consumer.log()
    print(f"messages without an end: {written // MIB} MiB, {closed} of 12 connections closed; at most {peak:.0f} MiB")


@pytest.mark.strangers
def test_many_unfinished_messages(tcp_site):
    """900 connections that each hold back the last byte of the largest message do not exceed the memory limit."""
    with tcp_site.honest_meanwhile():
        sockets = [wire.handshake(tcp_site.endpoint) for _ in range(900)]
        piece = wire.zmtp(bytes(wire.FRAME_MAX))[:-1]
        closed = 0
        for s in sockets:
            try:
                s.sendall(piece)
            except OSError:
                closed += 1
        wait_for(lambda: sum(map(is_closed, sockets)) > 300, 20, "the heaviest connections closed")
        closed = sum(map(is_closed, sockets))
        for s in sockets:
            s.close()
    peak = tcp_site.check()
    print(f"unfinished messages: {len(sockets)} MiB on as many connections, {closed} closed; at most {peak:.0f} MiB")


# ---- too much to write ----------------------------------------------------------------------------------------------

def test_answers_that_nobody_reads(site):
    """Peers that request the whole journal repeatedly and read no reply do not exceed the memory limit."""
    tree = site.box.dir / "tree"
    for i in range(1000):
        random_file(tree / ("long-name-" * 8 + str(i)), 100, seed=i)
    site.box.run("cp", "--journal", site.journal, "--insecure", "--no-progress", "-r", tree, f"{site.box.dir}/treeout/")
    journal = sum(f.stat().st_size for f in site.journal.glob("journal*.jsonl"))
    assert journal > MIB / 2
    asked = 0
    with site.honest_meanwhile(4 * MIB):
        peers = []
        for i in range(100):
            s = wire.handshake(site.endpoint)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sender = os.urandom(16)
            s.sendall(wire.zmtp(pack(wire.HELLO, wire.hello_body(1 + i % 3), sender)))
            journal_id = wire.unpack(wire.read_frame(s))[3]
            questions = [pack(wire.TAIL, {1: 1, 2: 1, 3: 1}, sender, journal_id), pack(wire.STATUS, {}, sender, journal_id),
                         pack(wire.HELLO, wire.hello_body(1 + i % 3), sender, journal_id)]
            s.setblocking(False)
            peers.append((s, b"".join(wire.zmtp(q) for q in questions)))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for s, questions in peers:
                try:
                    s.sendall(questions)
                    asked += 3
                except OSError:
                    pass
            time.sleep(0.01)  # a few thousand requests a second
        with Dealer(site.endpoint) as d:  # a peer that reads gets replies
            assert d.ask_again(wire.HELLO, wire.hello_body(wire.READER))[0] == wire.WELCOME
            got, body = d.ask_again(wire.TAIL, {1: 1, 2: 1, 3: 1})
            assert got == wire.RECORDS and body[3] > 0
        held = site.consumer.rss_mib()
        for s, _ in peers:
            s.close()
    tree_records = [r for r in site.box.records() if r.get("dest", "").startswith(f"file://{site.box.dir}/treeout/")]
    tree_uploads = {r["upload"] for r in tree_records}
    # 64 MiB of replies, 32 KiB for each peer, and the consumer's own memory
    peak = site.check(strangers=sum(r.get("upload") in tree_uploads for r in site.box.records()), limit_mib=160 if not SANITIZED else 800)
    print(f"answers nobody reads: {asked} questions of 100 peers, {held:.0f} MiB held meanwhile; at most {peak:.0f} MiB")


# ---- incarnations ---------------------------------------------------------------------------------------------------

def test_ten_thousand_incarnations(site):
    """Of 10,000 incarnations on one connection 4,096 are accepted, the rest get too-many, and honest peers take over places silent for 3 s."""
    site.upload("before")
    running = site.start_upload("running", 40 * MIB)
    with Dealer(site.endpoint) as d:
        producers = incarnations(d, 200, wire.hello_body(wire.PRODUCER, _7=b"ipc:///nowhere"))
        readers = incarnations(d, 10000, wire.hello_body(wire.READER))
    site.ended(running)
    site.upload("after")
    peak = site.check()
    assert most_at_once(producers) <= 64 and most_at_once(readers) <= 4096
    print(f"10,000 incarnations: {len(readers)} welcomed, {most_at_once(readers)} within 2.9 s; of 200 producers {len(producers)}; at most {peak:.0f} MiB")


def incarnations(d, count, hello):
    """Sends HELLO from count incarnations, 100 at a time. Returns the time of each WELCOME; every other reply is too-many."""
    welcomed = []
    for _ in range(count // 100):
        numbers = set()
        for _ in range(100):
            d.sender = os.urandom(16)
            numbers.add(d.say(wire.HELLO, hello))
        while numbers:
            got = d.receive()
            assert got, "no answer"
            kind, body, number, _, _ = got
            numbers.discard(number)
            if kind == wire.WELCOME:
                welcomed.append(time.monotonic())
            else:
                assert (kind, body[1]) == (wire.ERROR, wire.TOO_MANY)
    return welcomed


def most_at_once(times, seconds=2.9):
    """The largest number of times within one window of `seconds`. It counts concurrent incarnations: one that is silent for 3 s may be evicted."""
    most = first = 0
    for i, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, i - first + 1)
    return most


@pytest.mark.strangers
def test_one_connection_changes_its_mind(site):
    """Honest uploads complete while one connection sends HELLO, requests and BYE under a new incarnation each time."""
    with site.honest_meanwhile(4 * MIB):
        with Dealer(site.endpoint) as d:
            d.join(wire.READER)
            rng = random.Random(1)
            for _ in range(3000):
                d.sender = rng.randbytes(16)
                role = rng.choice([wire.PRODUCER, wire.UPLOADER, wire.READER])
                d.say(wire.HELLO, wire.hello_body(role))
                for kind in rng.sample([wire.PLAN, wire.CLAIM, wire.HEARTBEAT, wire.COMPLETE, wire.TAIL, wire.STATUS], 2):
                    d.say(kind, wire.questions()[kind])
                d.say(wire.BYE, {})
                if d.number % 100 < 5:
                    d.barrier()
            d.barrier()
            sent = d.sent
    print(f"HELLO and BYE: {sent} messages; at most {site.check():.0f} MiB")
