"""A running consumer, honest peers that upload through it, and the checks of both after a test."""

import os
import resource
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from support.box import check_chain, check_one_record_each, free_port, random_file, read_journal, sha256_of, wait_for

MIB = 1 << 20
SANITIZED = "asan" in os.environ.get("CHUNKLIFT_BUILD", "")
# Limits from docs/ARCHITECTURE.md: 256 MiB unread, 64 MiB unsent, 32 MiB in one round, 64 MiB for everything else, and the bytes that arrive
# between two checks of the connections (0.1 s on loopback). AddressSanitizer adds its quarantine and its shadow memory.
CONSUMER_MIB = 600 if not SANITIZED else 2400
CLIENT_MIB = 250 if not SANITIZED else 1200


class Process:
    """A process of the box: its memory, its CPU time and its log."""

    def __init__(self, child):
        self.child = child

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        return self.child.log.read_text(errors="replace")

    def is_alive(self):
        return self.child.poll() is None

    def rss_mib(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize() / MIB

    def peak_mib(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_quiet(self, seconds=0.5, share=0.3):
        before = self.cpu_seconds()
        time.sleep(seconds)  # the length of the measurement, not a wait for a condition
        return self.cpu_seconds() - before < seconds * share

    def check_quiet(self):
        wait_for(self.is_quiet, 30, "the program has nothing to do any more")

    def check_alive(self, limit_mib):
        assert self.is_alive(), self.log()[-4000:]
        assert "Sanitizer" not in self.log() and "runtime error" not in self.log(), self.log()[-4000:]
        peak = self.peak_mib()
        assert peak < limit_mib, f"{peak:.0f} MiB at its largest; {limit_mib} are stated"
        return peak


def new_endpoint(box, transport, name):
    if transport == "tcp":
        return f"tcp://127.0.0.1:{free_port()}"
    return f"ipc://{box.dir}/{name}"


def is_open(endpoint):
    from strangers.wire import plain_socket
    try:
        plain_socket(endpoint).close()
        return True
    except OSError:
        return False


class Site:
    def __init__(self, box, transport, *options, **kw):
        self.box = box
        self.transport = transport
        self.endpoint = new_endpoint(box, transport, "consumer.sock")
        self.journal = box.dir / "journal"
        self.out = box.dir / "out"
        self.out.mkdir(exist_ok=True)
        self.honest = []  # (source, destination)
        self.consumer = Process(box.start("--journal", self.journal, "--bind", self.endpoint, "--insecure", *options,
                                          program="chunklift-consumer", **kw))
        wait_for(lambda: is_open(self.endpoint) or not self.consumer.is_alive(), what="a consumer that listens")

    # honest peers ---------------------------------------------------------------------------------------------

    def start_upload(self, name, size=3 * MIB, uploaders=1):
        source = random_file(self.box.dir / "src" / name, size, seed=name)
        self.honest.append((source, self.out / name))
        return Process(self.box.start("cp", "--journal", self.journal, "--insecure", "--no-progress", "--uploaders", uploaders, "--chunk-size",
                                      "64KiB", source, self.out / name))

    def upload(self, name, size=3 * MIB, seconds=60):
        self.ended(self.start_upload(name, size), seconds)

    def ended(self, upload, seconds=60):
        status = upload.child.wait(seconds)
        assert status == 0, f"exit status {status}\n{upload.log()[-3000:]}\n{self.consumer.log()[-3000:]}"

    @contextmanager
    def honest_meanwhile(self, size=12 * MIB):
        """Uploads one file after another while the body of the `with` runs, and one more that starts after it."""
        self.upload("before")
        over, trouble = threading.Event(), []

        def go_on():
            try:
                while not over.is_set():
                    self.upload(f"meanwhile-{len(self.honest)}", size, 120)
            except BaseException as e:
                trouble.append(e)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if trouble:
            raise trouble[0]
        self.upload("after")

    # checks ------------------------------------------------------------------------------------------------------

    def check(self, strangers=0, limit_mib=CONSUMER_MIB, intents=False):
        """The consumer is alive, within its memory limit and idle; honest files are complete; the journal is valid and has only expected records.
        strangers: number of records made by strangers that follow the protocol. intents: allows any number of granted jobs without a result."""
        peak = self.consumer.check_alive(limit_mib)
        self.consumer.check_quiet()
        for source, there in self.honest:
            assert sha256_of(source) == sha256_of(there), there
        check_chain(self.journal)
        records = read_journal(self.journal)
        check_one_record_each(records)
        assert self.box.run("journal", "verify", self.journal).stdout.startswith("ok ")
        wanted = {f"file://{there}" for _, there in self.honest}
        ours = {r["upload"] for r in records if r["ev"] in ("open", "put", "begin") and r["dest"] in wanted}
        foreign = [r for r in records if "upload" in r and r["upload"] not in ours]
        if intents:
            foreign = [r for r in foreign if r["ev"] not in ("open", "fail")]
        assert len(foreign) == strangers, foreign[:5]
        finished = [r for r in records if r["ev"] in ("finish", "put") and r["upload"] in ours]
        assert len(finished) == len(self.honest)
        chunks = [r for r in records if r["ev"] == "chunk" and r["upload"] in ours]
        assert len(chunks) == sum(-(-source.stat().st_size // (64 << 10)) for source, _ in self.honest)
        return peak
