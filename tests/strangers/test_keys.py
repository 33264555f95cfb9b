"""Tcp with keys: hosts with one key each work together. A host with no key, an unknown key, the wrong role or another expected server gets
no data, and one line in the log reports it."""

import os
import signal
import threading
import time

import msgpack
import pytest
import zmq

from servers.memory_store import MemoryStore
from strangers import wire
from strangers.curve import GREETING, Curve
from strangers.site import CONSUMER_MIB, MIB, Process, is_open, new_endpoint
from strangers.test_consumer_load import is_closed
from strangers.test_consumer_messages import Recorder, garbage
from strangers.wire import Dealer
from support.box import check_chain, check_one_record_each, random_file, read_journal, sha256_of, wait_for
from support.keys import Keys, stranger, tree_text


class Fleet:
    """A consumer, a producer and an uploader to start, and a key for each host."""

    def __init__(self, box, *options):
        self.box = box
        self.keys = Keys(box)
        self.at, self.jobs = new_endpoint(box, "tcp", ""), new_endpoint(box, "tcp", "")
        self.consumer_host = self.keys.make("consumer", "consumer", self.at)
        self.producer_host = self.keys.make("producer", "producer", self.jobs)
        self.uploader_host = self.keys.make("uploader", "uploader")
        self.reader_host = self.keys.make("reader", "reader")
        self.out = box.dir / "out"
        self.out.mkdir()
        (box.dir / "src").mkdir()
        self.start_consumer(*options)

    def start_consumer(self, *options, **kw):
        self.consumer = Process(self.box.start("--journal", self.box.journal, "--bind", self.at, *self.consumer_host.options, *options,
                                               program="chunklift-consumer", **kw))
        wait_for(lambda: is_open(self.at), what="a consumer that listens")

    def start_uploader(self, host=None, *more):
        host = host or self.uploader_host
        return Process(self.box.start("--consumer", self.at, "--jobs", self.jobs, *host.options, "--root", self.box.dir / "src", "--allow", self.out,
                                      "-v", *more, program="chunklift-uploader"))

    def start_producer(self, name="file", size=3 * MIB, *more, host=None):
        host = host or self.producer_host
        source = random_file(self.box.dir / "src" / name, size, seed=name)
        return Process(self.box.start("--consumer", self.at, "--jobs", self.jobs, *host.options, "--chunk-size", "64KiB", "--no-progress", *more,
                                      source, self.out / name, program="chunklift-producer"))

    def upload(self, name="file", size=3 * MIB):
        producer = self.start_producer(name, size)
        self.ended(producer, name)

    def ended(self, producer, name, seconds=60):
        assert producer.child.wait(seconds) == 0, producer.log()[-3000:] + self.consumer.log()[-3000:]
        assert sha256_of(self.box.dir / "src" / name) == sha256_of(self.out / name)

    def read(self, *command, host=None, status=0):
        host = host or self.reader_host
        return self.box.run(*command, "--consumer", self.at, *host.options, status=status)

    def check(self):
        peak = self.consumer.check_alive(CONSUMER_MIB)
        check_chain(self.box.journal)
        check_one_record_each(read_journal(self.box.journal))
        return peak


@pytest.fixture
def fleet(box):
    return Fleet(box)


# ---- accepted connections ------------------------------------------------------------------------------------------------

def test_hosts_with_keys_work_together(fleet):
    uploader = fleet.start_uploader()
    fleet.upload()
    assert "uploader" in fleet.read("status").stdout
    assert '"ev":"finish"' in fleet.read("journal", "tail").stdout
    for process in (uploader, fleet.consumer):
        for host in (fleet.uploader_host, fleet.consumer_host):
            assert host.secret.encode() not in tree_text(process.pid) and host.secret not in process.log()
    uploader.child.terminate()
    assert uploader.child.wait(20) == 0, uploader.log()
    fleet.check()


def test_cp_passes_its_keys_on(box):
    """cp with tcp for jobs and consumer serves its own uploaders and a remote one, and cp finds a consumer with keys through the journal."""
    fleet = Fleet(box)
    fleet.keys.allow(fleet.producer_host, "producer,uploader")
    fleet.keys.reread(fleet.consumer.child)
    source = random_file(box.dir / "src" / "a", 3 * MIB)
    box.run("cp", "--consumer", fleet.at, "--jobs", fleet.jobs, *fleet.producer_host.options, "--no-progress", "--chunk-size", "64KiB", source,
            fleet.out / "a")
    box.cp(*fleet.producer_host.options, "--no-progress", source, fleet.out / "b")
    assert sha256_of(source) == sha256_of(fleet.out / "a") == sha256_of(fleet.out / "b")
    refused = box.cp("--no-progress", "--retry-for", "2s", source, fleet.out / "c", status=None)
    assert refused.returncode in (2, 3) and "needs --key and --trust" in refused.stderr
    fleet.check()


def test_verify_compares_every_store_with_its_keys(box):
    fleet = Fleet(box)
    fleet.keys.allow(fleet.producer_host, "producer,uploader,reader,operator")
    fleet.keys.reread(fleet.consumer.child)
    source = random_file(box.dir / "src" / "a", 1000)
    at = ["--consumer", fleet.at, *fleet.producer_host.options]
    with MemoryStore() as store:
        to_store = ["--endpoint-url", store.endpoint]
        box.run("cp", *at, "--no-progress", source, fleet.out / "a")
        box.run("cp", *at, "--no-progress", *to_store, source, "s3://bucket/a", env=store.env)
        done = box.run("verify", *at, "--no-progress", env=store.env)
        assert "2 objects compared" in done.stderr and done.stdout == ""
        store.objects.clear()
        (fleet.out / "a").unlink()
        gone = box.run("verify", *at, "--no-progress", status=1, env=store.env).stdout
    assert sorted(line.split(": ")[1].rsplit("/", 1)[0] for line in gone.splitlines()) == [f"file://{fleet.out}", "s3://bucket"]
    fleet.check()


def test_keygen(box):
    done = box.run("keygen", "host")
    secret, public = box.dir / "host", box.dir / "host.pub"
    assert secret.stat().st_mode & 0o7777 == 0o600 and public.stat().st_mode & 0o7777 == 0o644
    lines = dict(line.split() for line in secret.read_text().splitlines() if not line.startswith("#"))
    key, comment = public.read_text().rstrip("\n").split(" # ")
    assert lines["public"] == key and len(lines["secret"]) == 40 and comment == os.uname().nodename
    assert lines["secret"] not in done.stdout + done.stderr
    assert zmq.curve_public(lines["secret"].encode()).decode() == key
    before = secret.read_bytes(), public.read_bytes()
    for name in ("host", "host.pub"):
        assert "exists" in box.run("keygen", name, status=2).stderr
    box.run("keygen", "other", status=0)
    (box.dir / "other").unlink()
    assert "other.pub: exists" in box.run("keygen", "other", status=2).stderr and not (box.dir / "other").exists()
    (box.dir / "link").symlink_to("nowhere")
    box.run("keygen", "link", status=2)
    assert not (box.dir / "nowhere").exists()
    assert (secret.read_bytes(), public.read_bytes()) == before
    box.run("keygen", "no/such/directory", status=3)
    box.run("keygen", status=2)
    box.run("keygen", "a", "b", status=2)
    assert "not a role" in box.run("keygen", "--roles", "boss", "c", status=2).stderr
    box.run("keygen", "--roles", "uploader,reader", "d")
    assert (box.dir / "d.pub").read_text().split()[1] == "uploader,reader"
    assert sorted(f.name for f in box.dir.iterdir() if f.name[0] in "abcdhlo" and f.is_file() and "out-" not in f.name) == \
        ["d", "d.pub", "host", "host.pub", "other.pub"]  # no incomplete key files


def test_commands_without_keys_are_refused(box):
    """A command without keys prints one line and exits with 2 before it starts anything."""
    keys = Keys(box)
    host, other = keys.make("host", "reader"), keys.make("other")
    random_file(box.dir / "src" / "f", 1000)
    at = "tcp://127.0.0.1:9"
    programs = [("chunklift-consumer", ["--journal", box.journal, "--bind", at]), ("chunklift-uploader", ["--allow", "out", "--consumer", at]),
                ("chunklift-uploader", ["--allow", "out", "--journal", box.journal, "--jobs", at]),
                ("chunklift", ["producer", "--consumer", at, "src/f", "out/f"]), ("chunklift", ["cp", "--consumer", at, "src/f", "out/f"]),
                ("chunklift", ["producer", "--journal", box.journal, "--jobs", at, "src/f", "out/f"]),
                ("chunklift", ["cp", "--journal", box.journal, "--jobs", at, "src/f", "out/f"]),
                ("chunklift", ["status", "--consumer", at]), ("chunklift", ["journal", "tail", "--consumer", at])]
    os.chmod(keys.dir / "other", 0o640)
    (keys.dir / "bad").write_text(f"{host.key} uploader\nnonsense\n")
    count = 0
    for program, args in programs:
        trials = [([], "needs --key and --trust"), (host.options[:2], "--trust FILE"), (host.options[2:], "--key FILE"),
                  (other.options, "others may read"), ([*host.options[:2], "--trust", keys.dir / "bad"], "bad:2: does not begin with a key")]
        if not {"--bind", "--jobs"} & set(args) or program == "chunklift-uploader":  # programs that connect
            trials.append((host.options, "has no line with the key of this address; add a line 'KEY"))
        for options, said in trials:
            done = box.run(*args, *options, program=program, status=2)
            assert said in done.stderr and done.stderr.count("\n") == 1, (program, args, options, done.stderr)
            count += 1
    assert not box.journal.exists() and not box.processes()
    print(f"{count} command lines refused")


# ---- refused connections -------------------------------------------------------------------------------------------------

def clients_refused(fleet):
    """(description, options of a pyzmq socket) of clients that the consumer and the producer must refuse."""
    unknown = fleet.keys.make("unknown")
    yield "no key", {}
    yield "an untrusted key", unknown.client(fleet.consumer_host)
    yield "another server expected", fleet.uploader_host.client(unknown)
    yield "a consumer's key", fleet.consumer_host.client(fleet.consumer_host)


def test_strangers_get_nothing(fleet):
    """A refused client receives no byte and none of its messages is processed, while honest hosts go on."""
    uploader = fleet.start_uploader()
    fleet.upload("before")
    sockets = []
    for what, options in clients_refused(fleet):
        at_jobs = dict(options)
        if options.get("CURVE_SERVERKEY") == fleet.consumer_host.key.encode():
            at_jobs["CURVE_SERVERKEY"] = fleet.producer_host.key.encode()
        asks = stranger(zmq.DEALER, fleet.at, **options)
        for kind, body in wire.questions().items():
            asks.send(wire.pack(kind, body, b"s" * 16, number=kind), zmq.DONTWAIT)
        sockets += [(what, asks), (what, stranger(zmq.PULL, fleet.jobs, **at_jobs)), (what, stranger(zmq.DEALER, fleet.jobs, **at_jobs))]
    reader = stranger(zmq.PULL, fleet.jobs, **fleet.reader_host.client(fleet.producer_host))
    sockets.append(("a reader's key", reader))
    peers = fleet.consumer.log().count("joined")
    fleet.upload("meanwhile", 12 * MIB)
    time.sleep(0.5)  # time for a leak to arrive
    for what, s in sockets:
        assert s.poll(0) == 0, f"{what}: {s.recv_multipart()}"
        s.close()
    assert fleet.consumer.log().count("joined") == peers
    records = fleet.box.records()
    assert {r["dest"] for r in records if "dest" in r} == {f"file://{fleet.out}/{n}" for n in ("before", "meanwhile")}
    log = fleet.consumer.log()
    assert log.count("refused, its key is not trusted here") == 1 and log.count("a wrong key for this host, was refused") == 1, log  # once a minute
    uploader.check_alive(CONSUMER_MIB)
    fleet.check()
    print(f"{len(sockets)} sockets without a right heard nothing")


@pytest.mark.strangers
def test_programs_with_the_wrong_key(fleet):
    """Each program prints the reason in one line and exits."""
    unknown, uploader = fleet.keys.make("nobody"), fleet.uploader_host
    said = fleet.read("journal", "tail", host=unknown, status=3).stderr
    assert "does not trust this host's key" in said
    assert "this host's key does not have the role 'reader'" in fleet.read("journal", "tail", host=uploader, status=3).stderr
    assert "does not have the role 'reader' in the consumer's trust file" in fleet.read("status", host=uploader, status=3).stderr
    wrong = fleet.start_uploader(fleet.reader_host)
    assert wrong.child.wait(20) == 3 and "refuses this uploader: this host's key does not have the role 'uploader'" in wrong.log()
    producer = fleet.start_producer("x", 1000, host=unknown)
    assert producer.child.wait(30) == 3 and "does not trust this host's key" in producer.log()
    assert not fleet.box.records("put") and not fleet.box.records("open")


@pytest.mark.parametrize("keys", [True, pytest.param(False, marks=pytest.mark.strangers)])
def test_man_in_the_middle(box, keys):
    """A server at the consumer's address with another key, or no key, receives no message of an uploader, a producer or a reader."""
    fleet = Fleet(box)
    false = fleet.keys.make("false")
    front = new_endpoint(box, "tcp", "")
    fleet.keys.allow(fleet.consumer_host, "consumer", front)
    heard = []
    server = zmq.Context.instance().socket(zmq.ROUTER)
    server.linger = 0
    for name, value in (false.server() if keys else {}).items():
        setattr(server, name, value)
    server.bind(front)
    fleet.at = front
    uploader, producer = fleet.start_uploader(), fleet.start_producer()
    reader = box.start("status", "--consumer", front, *fleet.reader_host.options)
    end = time.monotonic() + 30
    while not heard and time.monotonic() < end and not all("presented an unexpected key" in p.log() for p in (uploader, producer)):
        if server.poll(100):
            heard.append(server.recv_multipart())
    heard += [server.recv_multipart()] if server.poll(500) else []
    server.close()
    assert not heard
    assert uploader.is_alive() and reader.poll() in (None, 3)
    for p in (uploader.child, producer.child, reader):
        p.kill()


class Wire(threading.Thread):
    """A tcp proxy that records every byte in both directions."""

    def __init__(self, front, back):
        super().__init__(daemon=True)
        import socket
        host, port = front[6:].rsplit(":", 1)
        self.listener = socket.create_server((host, int(port)))
        self.back = back
        self.bytes = bytearray()
        self.sockets = []
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = wire.plain_socket(self.back)
            except OSError:
                return
            client.settimeout(None)
            server.settimeout(None)
            self.sockets += [client, server]
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                self.bytes += data
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(2)
            except OSError:
                pass

    def close(self):
        import socket
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.sockets:
            s.close()


def test_nothing_readable_on_the_wire(box):
    """The bytes between consumer, producer and uploader contain no readable text, and a replay of them on a second connection is closed."""
    fleet = Fleet(box)
    front = new_endpoint(box, "tcp", "")
    fleet.keys.allow(fleet.consumer_host, "consumer", front)
    back, fleet.at = fleet.at, front
    middle = Wire(front, back)
    try:
        fleet.start_uploader()
        fleet.upload("a-name-to-look-for", 3 * MIB)
        recorded = bytes(middle.bytes)
        for word in (b"a-name-to-look-for", b"producer", b"uploader", os.uname().nodename.encode() + b"/", str(fleet.out).encode(), b"crc32c", b"chunk"):
            assert word not in recorded, word
        assert len(recorded) > 5000 and b"MESSAGE" in recorded
        before = len(box.records())
        for _ in range(3):
            s = wire.plain_socket(back)
            try:
                s.sendall(recorded)
            except OSError:
                pass
            wait_for(lambda s=s: is_closed(s), 10, "the replaying connection is closed")
        assert len(box.records()) == before
    finally:
        middle.close()
    fleet.check()


def test_replayed_by_another_key(box):
    """A replay of a producer's and an uploader's messages over a connection with another key of the same roles, during their work and afterwards,
    changes no state and is refused, its HELLO included."""
    fleet = Fleet(box)
    relay, other = fleet.keys.make("relay", "producer,uploader"), fleet.keys.make("other", "producer,uploader")
    front = new_endpoint(box, "tcp", "")
    fleet.keys.allow(relay, "consumer", front)
    fleet.keys.reread(fleet.consumer.child)
    recorder = Recorder(front, fleet.at, relay.server(), relay.client(fleet.consumer_host))
    back, fleet.at = fleet.at, front
    uploader, producer = fleet.start_uploader(), fleet.start_producer("recorded", 20 * MIB)
    try:
        recorder.run(lambda: len(recorder.said) > 60 or producer.child.poll() is not None)
        early = list(recorder.said)
        with Dealer(back, **other.client(fleet.consumer_host)) as d:
            for frame in early:
                d.raw(frame)
            recorder.run(lambda: producer.child.poll() is not None)
            assert producer.child.returncode == 0, producer.log()
            before, answers = len(box.records()), {}
            for frame in recorder.said:
                d.raw(frame)
            while got := d.receive(1):
                key = (got[0], got[1].get(1)) if got[0] == wire.ERROR else got[0]
                answers[key] = answers.get(key, 0) + 1
        assert set(answers) <= {(wire.ERROR, wire.ROLE_ERROR), (wire.ERROR, wire.HELLO_FIRST)}, answers  # unknown since BYE
        assert answers[wire.ERROR, wire.ROLE_ERROR] >= 2 and sum(answers.values()) > 60, answers
    finally:
        recorder.close()
    uploader.child.kill()
    assert len(box.records()) == before
    fleet.ended(producer, "recorded")
    fleet.check()
    print(f"replayed by another key: {d.sent} messages; answers {answers}")


# ---- revoked and added keys ------------------------------------------------------------------------------------------------

def workers(box):
    return {r["worker"].rsplit("/", 1)[1] for r in box.records("chunk")}


def test_revoked_while_it_uploads(box):
    """Once consumer and producer reread the trust file, the revoked uploader gets no more jobs and the other one completes the upload."""
    fleet = Fleet(box)
    bad_host = fleet.keys.make("bad", "uploader")
    fleet.keys.reread(fleet.consumer.child)
    good, bad = fleet.start_uploader(), fleet.start_uploader(bad_host)
    producer = fleet.start_producer("file", 150 * MIB)
    wait_for(lambda: fleet.box.journal.joinpath("journal.jsonl").exists() and workers(box) == {str(good.pid), str(bad.pid)}, what="both upload")
    fleet.keys.revoke(bad_host)
    fleet.keys.reread(producer.child)
    fleet.keys.reread(fleet.consumer.child)
    wait_for(lambda: "revoked" in fleet.consumer.log(), what="it is said")
    seq = len(box.records())
    fleet.ended(producer, "file", 120)
    after = [r for r in box.records("chunk") if r["seq"] > seq]
    assert after and not [r for r in after if r["worker"].endswith(f"/{bad.pid}")]
    wait_for(lambda: "does not trust this host's key" in bad.log(), what="the revoked one says why")
    fleet.check()
    for p in (good, bad):
        p.child.kill()
    print(f"revoked: {len(after)} chunks after it, none of them by the revoked key")


def test_added_while_it_waits(fleet):
    """An uploader that consumer and producer do not trust yet is admitted after a new line in the trust file and SIGHUP."""
    late = fleet.keys.make("late")
    uploader = fleet.start_uploader(late)
    producer = fleet.start_producer()
    wait_for(lambda: "refused, its key is not trusted here" in fleet.consumer.log(), what="it is refused")
    wait_for(lambda: "refused, its key is not trusted here" in producer.log(), what="the producer refuses it too")
    wait_for(lambda: "does not trust this host's key" in uploader.log(), what="it says so")
    fleet.keys.write("damaged\n")
    fleet.keys.reread(fleet.consumer.child, "not taken over")
    assert "trust:6: does not begin with a key" in fleet.consumer.log()
    fleet.keys.allow(late, "uploader")
    began = time.monotonic()
    fleet.keys.reread(fleet.consumer.child)
    fleet.keys.reread(producer.child)
    fleet.ended(producer, "file")
    print(f"added: uploaded {time.monotonic() - began:.1f} s after it")
    uploader.child.send_signal(signal.SIGHUP)  # SIGHUP does not stop the uploader
    wait_for(lambda: "read again" in uploader.log(), what="the uploader reads it too")
    uploader.child.terminate()
    assert uploader.child.wait(20) == 0


def test_a_consumer_changes_its_key_under_load(fleet):
    """Peers with two lines for the consumer's endpoint go on after its key changes, and the old line can be removed."""
    fresh = fleet.keys.make("consumer-fresh", "consumer", fleet.at)
    uploader = fleet.start_uploader(None, "--bwlimit", "1MiB")
    producer = fleet.start_producer("file", 12 * MIB)
    wait_for(lambda: len(fleet.box.records("chunk")) > 8, what="work is under way with the old key")
    assert "uploader" in fleet.read("status").stdout
    fleet.consumer.child.terminate()
    assert fleet.consumer.child.wait(20) == 0, fleet.consumer.log()
    fleet.consumer_host = fresh
    fleet.start_consumer()
    before = len(fleet.box.records("chunk"))
    wait_for(lambda: len(fleet.box.records("chunk")) > before + 8, what="work goes on with the new key")
    assert "uploader" in fleet.read("status").stdout
    fleet.keys.lines = {k: v for k, v in fleet.keys.lines.items() if k[0] != "consumer"}  # removes the old line
    fleet.keys.write()
    for process in (uploader, producer):
        fleet.keys.reread(process.child)
    fleet.ended(producer, "file")
    fleet.check()
    uploader.child.kill()


@pytest.mark.strangers
def test_jobs_of_an_unknown_producer(fleet):
    """A producer that the consumer announces and the uploader's trust file lacks is logged once."""
    other_trust = fleet.keys.dir / "narrow"
    other_trust.write_text(f"{fleet.consumer_host.key} consumer\n")
    uploader = Process(fleet.box.start("--consumer", fleet.at, *fleet.uploader_host.options[:2], "--trust", other_trust, "--root", fleet.box.dir,
                                       "--allow", fleet.out, program="chunklift-uploader"))
    producer = fleet.start_producer()
    wait_for(lambda: "jobs at " in uploader.log(), what="it is said")
    time.sleep(1.2)  # more heartbeats announce it again
    assert uploader.log().count("has no line with the key of this address") == 1, uploader.log()
    for p in (uploader, producer):
        p.child.kill()


# ---- misuse of a socket with keys -----------------------------------------------------------------------------------------------

def test_curve_by_hand(fleet, rng):
    """A trusted client by hand that forges its metadata, flips bytes, sends garbage and repeats messages gains no rights."""
    def conversation(**properties):
        return Curve(fleet.at, fleet.reader_host, fleet.consumer_host).handshake(**properties)

    hello = wire.pack(wire.HELLO, wire.hello_body(wire.UPLOADER), b"i" * 16)
    c = conversation(User_Id=fleet.uploader_host.key.encode())
    c.say(hello)
    kind, body = wire.unpack(c.hear())[:2]
    assert (kind, body[1]) == (wire.ERROR, wire.ROLE_ERROR)  # the role of its key decides
    c.close()
    tried = 0
    for i in range(0, 90, 3):  # a message with any byte changed closes the connection
        c = conversation()
        message = bytearray(c.encrypt(wire.pack(wire.HELLO, wire.hello_body(wire.READER), b"j" * 16)))
        message[2 + i] ^= 0x10  # after the length field
        c.socket.sendall(message)
        wait_for(lambda c=c: is_closed(c.socket), 5, f"byte {i} changed: closed")
        tried += 1
    c = conversation()
    message = c.encrypt(wire.pack(wire.HELLO, wire.hello_body(wire.READER), b"k" * 16))
    c.socket.sendall(message + message)  # the same nonce twice
    wait_for(lambda: is_closed(c.socket), 5, "closed")
    c = conversation()
    for frame in garbage(rng, b"", b"l" * 16):
        c.say(frame[:200000])
    c.say(wire.pack(wire.HELLO, wire.hello_body(wire.READER), b"l" * 16, number=77))
    while wire.unpack(answer := c.hear())[0] == wire.ERROR:
        pass
    assert wire.unpack(answer)[0] == wire.WELCOME
    c.close()
    print(f"curve by hand: {tried} flipped messages; at most {fleet.check():.0f} MiB")


@pytest.mark.strangers
def test_handshakes_that_never_end(fleet):
    """1,000 connections that stop during the handshake are all closed within 5 s while honest hosts go on."""
    fleet.start_uploader()
    fleet.upload("before")
    before = fleet.consumer.rss_mib()
    nobody = fleet.keys.make("nobody")
    stages = [b"", GREETING[:10], GREETING, GREETING + b"\x04\x7f" + bytes(60), GREETING + bytes(300), wire.GREETING, wire.GREETING + wire.ready(b"DEALER"),
              b"GET / HTTP/1.1\r\n\r\n", GREETING + b"\x04\xc8\x05HELLO" + bytes(194)]
    sockets = []
    for i in range(1000):
        if i % 10 == 9:  # completes HELLO and WELCOME, then stops
            c = Curve(fleet.at, nobody, fleet.consumer_host)
            c.hello()
            c.welcome()
            sockets.append(c.socket)
            continue
        s = wire.plain_socket(fleet.at)
        try:
            s.sendall(stages[i % 10])
        except OSError:
            pass
        sockets.append(s)
    fleet.upload("meanwhile")
    wait_for(lambda: all(is_closed(s) for s in sockets), 30, "all are closed")
    for s in sockets:
        s.close()
    fleet.upload("after")
    grown = fleet.consumer.rss_mib() - before
    assert grown < 64, grown
    fleet.consumer.check_quiet()
    print(f"1,000 handshakes that never ended: closed; grown by {grown:.0f} MiB, at most {fleet.check():.0f} MiB")


@pytest.mark.strangers
def test_flood_of_handshakes(fleet):
    """While an untrusted key connects as fast as possible for five seconds, honest hosts go on more slowly and each attempt is refused."""
    fleet.start_uploader()
    fleet.upload("before")
    nobody, over, count = fleet.keys.make("nobody"), threading.Event(), [0]

    def flood():
        while not over.is_set():
            c = Curve(fleet.at, nobody, fleet.consumer_host)
            c.hello()
            c.welcome()
            c.initiate()
            assert c.read_command() == b"\x05ERROR\x03400"
            c.close()
            count[0] += 1

    thread = threading.Thread(target=flood)
    cpu = fleet.consumer.cpu_seconds()
    thread.start()
    try:
        time.sleep(1)  # the length of the measurement
        each_us = (fleet.consumer.cpu_seconds() - cpu) * 1e6 / max(1, count[0])
        end = time.monotonic() + 4
        while time.monotonic() < end:
            fleet.upload(f"meanwhile-{count[0]}", 3 * MIB)
    finally:
        over.set()
        thread.join()
    assert count[0] > 20
    fleet.consumer.check_quiet()
    print(f"a flood of handshakes: {count[0]} refused, {each_us:.0f} µs of CPU each; at most {fleet.check():.0f} MiB")


@pytest.mark.strangers
def test_a_trusted_key_pours(fleet):
    """Endless messages of a trusted key stay within the same limits as without keys."""
    fleet.start_uploader()
    fleet.upload("before")
    piece = bytes(900000)
    conversations = [Curve(fleet.at, fleet.reader_host, fleet.consumer_host).handshake() for _ in range(4)]
    sent = closed = 0
    for _ in range(200):
        for c in conversations:
            try:
                c.socket.settimeout(0.5)
                c.said = b""
                c.say(piece, more=True)
                sent += len(piece)
            except OSError:
                closed += 1
        if closed > 8:
            break
    for c in conversations:
        c.close()
    fleet.upload("after")
    fleet.consumer.check_quiet()
    assert closed and sent > 200 * MIB
    print(f"a trusted key pours: {sent // MIB} MiB of messages without an end, closed; at most {fleet.check():.0f} MiB")
