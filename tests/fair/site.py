"""A consumer, uploaders and producers, started one by one; the test sets the disk rate of each uploader."""

import json
import signal
import time

from support.box import check_one_record_each, preloaded, read_journal, sha256_of, wait_for

MIB = 1 << 20


class Uploader:
    def __init__(self, site, number, slots, rate, *more):
        self.rate_file = site.box.dir / f"rate-{number}"
        self.rate(rate)
        jobs = [] if "--jobs" in more else site.jobs
        self.child = site.box.start("uploader", "--consumer", site.at, "--root", site.source, "--allow", f"file://{site.out}/", "--slots", slots,
                                    *jobs, *more, env={**preloaded("slow_disk"), "SLOW_DISK": f"{site.out}:{self.rate_file}"})
        self.pid = self.child.pid

    def rate(self, bytes_a_second):
        self.rate_file.write_text(f"{bytes_a_second}\n")

    def signal(self, sig):
        self.child.send_signal(sig)


class Site:
    def __init__(self, box, *consumer_options):
        self.box = box
        self.at = f"ipc://{box.dir}/run/consumer"
        self.source, self.out = box.dir / "src", box.dir / "out"
        self.source.mkdir()
        self.out.mkdir()
        self.jobs = []  # read from the consumer
        self.uploaders, self.producers = [], []
        self.consumer = box.start("consumer", "--journal", box.journal, "--bind", self.at, "--json", *consumer_options)
        wait_for((box.journal / "consumer").exists, what="the consumer serves")

    def uploader(self, slots=2, rate=0, *more):
        self.uploaders.append(Uploader(self, len(self.uploaders), slots, rate, *more))
        return self.uploaders[-1]

    def producer(self, source, dest, *more):
        child = self.box.start("producer", "--consumer", self.at, "--json", "--chunk-size", "1MiB", *more, source, dest)
        child.began = time.monotonic()
        self.producers.append(child)
        return child

    def status(self):
        """The lines of `status --json`, grouped by event."""
        lines = [json.loads(line) for line in self.box.run("status", "--consumer", self.at, "--json").stdout.splitlines()]
        return {event: [line for line in lines if line["event"] == event] for event in ("consumer", "upload", "uploader", "producer")}

    def records(self, ev=None):
        active = self.box.journal / "journal.jsonl"
        return [r for r in read_journal(self.box.journal) if ev in (None, r["ev"])] if active.exists() else []

    def check(self, source, name):
        assert sha256_of(source) == sha256_of(self.out / name)
        check_one_record_each(self.records())

    def end(self):
        for u in self.uploaders:
            if u.child.poll() is None:
                u.signal(signal.SIGCONT)
                u.signal(signal.SIGTERM)
        for u in self.uploaders:
            u.child.wait(30)
        self.consumer.send_signal(signal.SIGTERM)
        assert self.consumer.wait(20) == 0, self.consumer.log.read_text()
        self.box.run("journal", "verify", self.box.journal)


def events(child, event=None):
    """The events that a program with --json has printed so far."""
    said = []
    for line in child.log.read_text(errors="replace").splitlines():
        if line.startswith("{") and line.endswith("}"):
            said.append(json.loads(line))
    return [e for e in said if event in (None, e["event"])]
