"""chunklift with each program on a host of its own.

    with Apart(box, hosts, store) as apart:          # store: a server with endpoint and env, on hosts["store"]
        apart.uploader("u1"); apart.uploader("u2")
        apart.producer(source, "s3://bucket/key").wait(60)

by: "reference" (uploaders read the files themselves; all hosts see them) or "fetch" (uploaders get the bytes from the producer; its files are hidden
from every other host). security: "insecure" or "curve" (one key for each host, one trust file).
"""

import collections
import contextlib
import json
import signal
import subprocess
from datetime import datetime

from support.box import BUILD, ROOT, check_chain, wait_for
from support.checker import LOG_LINE

JOBS, CONSUMER, DATA = 7700, 7701, 7702
WAYS = [("reference", "insecure"), ("reference", "curve"), ("fetch", "insecure"), ("fetch", "curve")]
CHECKER = ROOT / "tests" / "support" / "checker.py"
Chunk = collections.namedtuple("Chunk", "time worker length chunk")


def sparse_file(path, size):
    """A file of zeros for throughput tests. Reading it needs no disk."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def seconds_of(ts):
    return datetime.fromisoformat(ts.replace("Z", "+00:00")).timestamp()


def _help_of(program):
    done = subprocess.run([BUILD / f"chunklift-{program}", "--help"], capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def cannot(by, security):
    """The reason why this build's programs do not support the combination, or None."""
    if by == "fetch" and "--data" not in _help_of("producer"):
        return "the producer has no --data"
    if security == "curve" and "--trust" not in _help_of("consumer"):
        return "the consumer has no --trust"
    if security == "curve":
        tried = subprocess.run([BUILD / "chunklift", "keygen", "--help"], capture_output=True, text=True, timeout=30)
        return "there is no keygen" if tried.returncode else None
    return None


class Apart:
    def __init__(self, box, hosts, store, by="reference", security="insecure", lease="3s"):
        self.box, self.hosts, self.store, self.by, self.security = box, hosts, store, by, security
        self.children = {}
        self.sources = box.dir / "src"
        self.sources.mkdir(exist_ok=True)
        self.consumer_at = f"tcp://{hosts['consumer'].address}:{CONSUMER}"
        self.jobs_at = {}  # producer: its jobs endpoint
        if security == "curve":
            self._make_keys()
        if by == "fetch":
            for host in hosts:
                if not host.name.startswith(("producer", "reader")):
                    host.hide(self.sources)
        self.lease = lease

    def __enter__(self):
        self.start_consumer()
        return self

    def __exit__(self, *exc):
        self.box.kill_all()

    # keys ---------------------------------------------------------------------------------------------------------

    def _make_keys(self):
        lines = []
        for host in self.hosts:
            if not (self.box.dir / f"{host.name}.key").exists():  # a restarted host keeps its key
                self.box.run("keygen", self.box.dir / f"{host.name}.key")
            key = (self.box.dir / f"{host.name}.key.pub").read_text().split()[0]
            if host.name == "consumer":
                lines.append(f"{key} consumer tcp://{host.address}:{CONSUMER}")
            elif host.name.startswith("producer"):
                lines += [f"{key} producer tcp://{host.address}:{port}" for port in (JOBS, DATA)]
            elif host.name.startswith("u"):
                lines.append(f"{key} uploader")
        (self.box.dir / "trust").write_text("".join(f"{line} # a test\n" for line in lines))

    def _who(self, host):
        if self.security == "insecure":
            return ["--insecure"]
        return ["--key", self.box.dir / f"{host}.key", "--trust", self.box.dir / "trust"]

    # programs -----------------------------------------------------------------------------------------------------

    def _start(self, host, program, *args, **kw):
        child = self.hosts[host].start(*args, *self._who(host), program=f"chunklift-{program}", **kw)
        self.children[host] = child
        return child

    def start_consumer(self):
        child = self._start("consumer", "consumer", "--journal", self.box.journal, "--bind", f"tcp://{self.hosts['consumer'].address}:{CONSUMER}",
                            "--lease", self.lease)

        def serves():
            assert child.poll() is None, child.log.read_text()
            return (self.box.journal / "consumer").exists()
        wait_for(serves, what="the consumer serves")
        return child

    def uploader(self, host, *args, slots=4, producers=("producer",), before=()):
        jobs = [a for p in producers for a in ("--jobs", f"tcp://{self.hosts[p].address}:{JOBS}")]
        roots = ["--root", self.sources] if self.by == "reference" else []
        return self._start(host, "uploader", "--consumer", self.consumer_at, *jobs, *roots, "--allow", "s3://bucket/", "--slots", slots,
                           "--endpoint-url", self.store.endpoint, *args, env=self.store.env, before=before)

    def producer(self, *args, host="producer", chunk="5MiB"):
        address = self.hosts[host].address
        data = ["--data", f"tcp://{address}:{DATA}"] if self.by == "fetch" else []
        return self._start(host, "producer", "--consumer", self.consumer_at, "--jobs", f"tcp://{address}:{JOBS}", *data, "--chunk-size", chunk,
                           "--endpoint-url", self.store.endpoint, "--no-progress", *args)

    # results -----------------------------------------------------------------------------------------------------

    def ends_well(self, host, seconds):
        child = self.children[host]
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the {host} has not ended within {seconds} s:\n{child.log.read_text()}") from None
        assert status == 0, f"{host}: exit status {status}\n{child.log.read_text()}"
        return child.log.read_text()

    def stop(self, *hosts, seconds=20):
        """Sends SIGTERM and waits for a clean exit."""
        for host in hosts:
            self.children[host].send_signal(signal.SIGTERM)
        for host in hosts:
            self.ends_well(host, seconds)

    def stop_all(self):
        self.stop(*(h for h, c in self.children.items() if c.poll() is None and h != "consumer"))
        self.stop("consumer")
        check_chain(self.box.journal)

    def recorded(self):
        """The number of chunk records so far."""
        try:
            return (self.box.journal / "journal.jsonl").read_bytes().count(b'"ev":"chunk"')
        except FileNotFoundError:
            return 0

    def leases(self):
        """The number of leases alive, as a consumer without keys says."""
        said = self.hosts["consumer"].run(BUILD / "chunklift", "status", "--json", "--consumer", self.consumer_at, "--insecure").stdout
        return sum(line["leases"] for line in map(json.loads, said.splitlines()) if line["event"] == "upload")

    def chunks(self):
        return [Chunk(seconds_of(r["ts"]), r["worker"].split("/")[0], r["length"], r["chunk"]) for r in self.box.records("chunk")]

    def by_worker(self):
        """{host: its chunks}"""
        found = {}
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            for chunk in self.chunks():
                found.setdefault(chunk.worker, []).append(chunk)
        return found

    def seconds(self):
        """Seconds from the first intent to the last end."""
        records = self.box.records()
        return seconds_of([r["ts"] for r in records if r["ev"] in ("finish", "put")][-1]) - seconds_of(
            [r["ts"] for r in records if r["ev"] != "epoch"][0])

    def _check(self, *args):
        host = self.hosts["reader"]
        done = host.run("/usr/bin/python3", "-B", CHECKER, "--journal", self.box.journal, "--endpoint", self.store.endpoint, "--access-log",
                        self.store.dir / "log" / "client.rgw.log", *args, env=self.store.env, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    def sent_twice(self, dest):
        """The number of repeated PUTs of parts and objects under dest. The store's log may lag a little: call checked() first for exact counts."""
        path, count = dest.removeprefix("s3:/"), collections.Counter()
        for _, method, target, query, status in LOG_LINE.findall((self.store.dir / "log" / "client.rgw.log").read_text(errors="replace")):
            if method == "PUT" and target.startswith(path) and status == "200":
                count[target, query] += 1
        return sum(n - 1 for n in count.values())

    def checked(self, dest, sent_at_most):
        """Runs all checks of support/checker.py on the host "reader"."""
        status, said = self._check("--source", self.sources, "--dest", dest, "--sent-at-most", str(sent_at_most))
        assert status == 0, said
        return said
