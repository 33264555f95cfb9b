"""The crash sweep: one process dies at every fault point of every program, and the result is the same as without a fault.

  alone       only the process at the point dies; the others continue by themselves (a `cp` that died is run again)
  everything  all processes are killed at that moment, then the same command is run again
  paused      the process is stopped for longer than its lease and continues (uploaders)

tests/support/checker.py judges each run; it shares no code with chunklift. Every result that an uploader logs as acknowledged must be in the
journal after any death (rule 8). With `everything` the test marks the recorded data at the destination while all processes are dead, so that a
second write shows. A test fails when its point was armed and not reached.

A plain upload does not reach every point: HOW has the preparation of the others. A few threads make the runs; a test waits for its own."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.box import ROOT, Box, random_file, wait_for
from support.faults import Faults, all_points

MIB = 1 << 20
CHECKER = ROOT / "tests" / "support" / "checker.py"
THREADS = 4
END_S = 60  # for a run of a second or two on a busy machine
POINTS = {p.name: p for p in all_points()}
LEFT_MS = 40  # delay before a sender dies, so that all sent messages leave it, wrong ones too
ACKNOWLEDGED = re.compile(r"chunklift: (\w+) (\d+) of upload (\w+) acknowledged: seq ([1-9]\d*)\n")


class How:
    """The preparation by which a run reaches a point."""

    def __init__(self, first=None, nth=1, change=False, rotate=0, again=False, pause=None, go_on="cont", too=None, action="die"):
        self.first = first    # a point: in an earlier run all processes were killed there
        self.nth = nth        # the number of the pass
        self.change = change  # the source was changed since
        self.rotate = rotate  # the journal is rotated at this size in bytes
        self.again = again    # the same source was uploaded before
        self.pause = pause    # a point: the process that reaches it is stopped for a while
        self.go_on = go_on    # cont: continues after a moment; late: after the point was passed; term: gets SIGTERM first
        self.too, self.action = too, action  # a point, and the action on the process that reaches it

    def plain(self):
        return not (self.first or self.pause or self.too or self.again)


HOW = {
    "recovery_copied.torn": How(first="journal_torn.chunk"),
    "recovery_copied.sync": How(first="journal_written.chunk"),
    "recovery_tail_kept.torn": How(first="journal_torn.chunk"),
    "recovery_renamed.torn": How(first="journal_torn.chunk"),
    "recovery_renamed.sync": How(first="journal_written.chunk"),
    "recovery_done.torn": How(first="journal_torn.chunk"),
    "recovery_done.sync": How(first="journal_written.chunk"),
    "file_sealed": How(rotate=900),
    "journal_marked.epoch": How(first="batch_committed.chunk"),
    "journal_torn.epoch": How(first="batch_committed.chunk"),
    "journal_written.epoch": How(first="batch_committed.chunk"),
    "journal_synced.epoch": How(first="batch_committed.chunk"),
    "lease_expired": How(pause="grant_read.chunk", go_on="late"),
    "release_handled": How(pause="offer_taken.chunk", go_on="term"),
    "release_sent": How(pause="offer_taken.chunk", go_on="term"),
    "answers_between": How(pause="plan_judged", go_on="cont"),
    "dead_noticed": How(too="grant_read.chunk"),
    "finish_doubted": How(first="temp_renamed.finish"),
    "finish_verified": How(first="temp_renamed.finish"),
    "s3_listed": How(first="s3_replied.begin"),
    "s3_adopted": How(first="s3_replied.begin"),
    "s3_doubted": How(too="s3_replied.finish", action="error"),
}
KINDS = {"abort": How(first="batch_committed.chunk", change=True), "stat": How(again=True), "rotation": How(rotate=900),
         "recovery": How(first="file_sealed_synced.rotation", rotate=900), "chunk": How(nth=2)}
# At these points no process is left that restarts a consumer: the next command does.
AT_THE_END = {"stop_decided", "snapshot_written", "snapshot_synced", "snapshot_named", "snapshot_done", "address_removed", "lock_cleared"}
ON_S3_ALONE = {"s3_asking", "s3_sent", "s3_replied", "s3_listed", "s3_adopted", "s3_doubted"}
ON_FILES_ALONE = {"temp_created", "temp_sized", "bytes_written", "bytes_synced", "temp_renamed", "dir_synced", "temp_unlinked",
                  "finish_doubted", "finish_verified"}
# Points between programs, or that depend on the store's state: also run with a real gateway. The journal has no data about transfers.
OF_THE_PROTOCOL = {"journal_marked", "lease_granted", "batch_committed", "answers_sent", "dead_noticed", "offer_taken", "claim_sent", "grant_read",
                   "parts_read", "result_noted", "complete_sent", "ack_read", "bytes_half", "lease_expired", "release_handled"}


class Case:
    def __init__(self, point, kind, store, death):
        self.point, self.kind, self.store, self.death = point, kind, store, death
        self.armed = point.armed(kind)
        self.how = HOW.get(self.armed) or HOW.get(point.name) or KINDS.get(kind) or How()
        self.id = f"{self.armed}-{store}-{death}"


def cases():
    for point in POINTS.values():
        for kind in point.kinds:
            if point.name not in ON_S3_ALONE:
                yield Case(point, kind, "file", "everything")
                yield Case(point, kind, "file", "alone")
                if point.program == "uploader":
                    yield Case(point, kind, "file", "paused")
            if point.name in ON_S3_ALONE | OF_THE_PROTOCOL and kind not in ("stat", "epoch", "stop"):
                yield Case(point, kind, "rgw", "everything")
                yield Case(point, kind, "rgw", "alone")


def short(case):
    """In the default set each point has one run: with its most significant kind, everything killed, into a directory."""
    telling = next((k for k in ("chunk", "rotation", "torn", "begin", "finish") if k in case.point.kinds), case.point.kinds[0])
    return case.store == "file" and case.death == "everything" and case.kind == telling


def parameters():
    for case in cases():
        yield pytest.param(case, id=case.id, marks=[] if short(case) else [pytest.mark.crash])


class FileStore:
    def __init__(self, box, big):
        self.dest = f"file://{box.dir}/out/" + ("big" if big else "small")
        self.args, self.env = ["--chunk-size", "640KiB"], {}  # more than one write
        self.check = []
        self.size = 5 * 640 * 1024 + 300_000 if big else 600_000


class S3Store:
    def __init__(self, box, rgw, big):
        self.dest = f"s3://bucket/sweep/{box.mark}/" + ("big" if big else "small")
        # Ceph 16 accepts a put with a wrong CRC32C: with `auto`, the probe for this counts as a resent put
        self.args, self.env = ["--chunk-size", "5MiB", "--integrity", "md5", "--endpoint-url", rgw.endpoint], rgw.env
        self.check = ["--endpoint", rgw.endpoint, "--access-log", rgw.dir / "log" / "client.rgw.log"]
        self.size = 11 * MIB if big else 3 * MIB


class Run:
    """One case from beginning to end, in a box of its own."""

    def __init__(self, box, case, rgw):
        self.box, self.case, self.how, self.deaths = box, case, case.how, 0
        big = case.kind != "put"
        self.store = FileStore(box, big) if case.store == "file" else S3Store(box, rgw, big)
        self.faults = Faults(box)
        # Live uploaders finish their transfers, and no chunk is sent twice (unless the machine is too busy for the lease).
        self.no_loss = case.store == "rgw" and case.death == "alone" and case.point.program == "consumer" and case.how.plain()
        self.lease = "5s" if self.no_loss else "1s"
        self.source = random_file(box.dir / "src" / "it", self.store.size, seed="sweep")
        if self.how.rotate:
            self.faults.set("rotate_bytes", self.how.rotate)

    def start(self):
        return self.box.start("cp", "--journal", self.box.journal, "--no-progress", "-v", "--lease", self.lease, "--slots", "1", *self.store.args,
                              self.source, self.store.dest, env=self.store.env)

    def to_the_end(self, child=None):
        child = child or self.start()
        status = child.wait(END_S)
        assert status == 0, f"cp ended with {status}"
        self.box.gone()

    def checker(self, *more, **kw):
        done = subprocess.run(["/usr/bin/python3", "-B", CHECKER, "--journal", self.box.journal, "--dest", self.store.dest,
                               "--marks", self.box.dir / "marks", *self.store.check, *more], env={**os.environ, **self.store.env},
                              capture_output=True, text=True, timeout=60, **kw)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_everything(self):
        while self.box.processes():  # a process may just have started another
            self.box.kill_all()
        for child in self.children:
            child.wait()
        if (self.box.journal / "journal.jsonl").exists():
            self.checker("--mark")

    def killed_at(self, armed, nth=1):
        """Runs the command until one process dies at the point, and kills all others."""
        self.faults.arm(armed, nth, "all")
        self.children = [self.start()]
        self.faults.wait(armed, END_S, meanwhile=lambda: self.children[0].poll() is None)
        self.kill_everything()
        self.deaths += 1

    def prepare(self):
        if self.how.first:
            self.killed_at(self.how.first)
        if self.how.again:
            self.to_the_end()
        if self.how.change:
            random_file(self.source, self.store.size, seed="changed")

    def stopped(self):
        def find():
            for pid in self.box.processes():
                try:
                    if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                        return pid
                except OSError:
                    continue  # it has just ended
            return None
        return wait_for(find, what="somebody stands still")

    def arm(self):
        action = {"alone": "die", "everything": "all", "paused": "stop"}[self.case.death]
        left = "sent" in self.case.point.name or self.case.point.program == "consumer"
        self.faults.arm(self.case.armed, self.how.nth, action, LEFT_MS if left else 0)

    def stop_before_a_grant(self, pid):
        """SIGTERM for an uploader that holds an offer. Without a consumer no grant can arrive before the uploader's signal thread runs."""
        consumers = list(self.box.processes("chunklift-consumer"))
        for consumer in consumers:
            os.kill(consumer, signal.SIGSTOP)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.3)  # a heartbeat: the uploader has seen the signal and released its jobs
        for consumer in consumers:
            os.kill(consumer, signal.SIGCONT)

    def come_by(self, child):
        """Continues the process stopped at the other point, so that the run reaches the armed one."""
        self.faults.wait(self.how.pause, END_S, meanwhile=lambda: child.poll() is None)
        pid = self.stopped()
        self.arm()
        if self.how.go_on == "term":
            self.stop_before_a_grant(pid)
            return
        if self.how.go_on == "cont":
            time.sleep(0.6)  # requests queue up: two heartbeats of every uploader
        elif self.how.go_on == "late":
            self.faults.wait(self.case.armed, END_S)
        if self.how.go_on != "late" or self.case.death != "everything":
            os.kill(pid, signal.SIGCONT)

    def run(self):
        self.prepare()
        if self.how.too:
            self.faults.arm(self.how.too, 1, self.how.action)
        if self.how.pause:
            self.faults.arm(self.how.pause, 1, "stop")
        else:
            self.arm()
        child = self.start()
        self.children = [child]
        if self.how.pause:
            self.come_by(child)
        if self.case.death == "everything":
            self.faults.wait(self.case.armed, END_S, meanwhile=lambda: child.poll() is None)
            self.kill_everything()
            self.to_the_end()
        else:
            if self.case.death == "paused":
                self.pause(child)
            self.goes_on(child)
        self.deaths += 1
        assert self.faults.fired(self.case.armed), f"{self.case.armed} was armed and nobody came by"
        self.checker("--source", self.source, *(["--sent-at-most", "1"] if self.no_loss else []))
        self.acknowledged_is_recorded()
        return self.deaths

    def pause(self, child):
        """Keeps the process stopped for longer than two leases, or until other uploaders have finished the upload."""
        self.faults.wait(self.case.armed, END_S, meanwhile=lambda: child.poll() is None)
        pid, until = self.stopped(), time.monotonic() + 2.3
        wait_for(lambda: time.monotonic() > until or child.poll() is not None)
        os.kill(pid, signal.SIGCONT)

    def acknowledged_is_recorded(self):
        records = {r["seq"]: r for r in self.box.records()}
        for log in self.box.dir.glob("out-*.log"):
            for kind, chunk, upload, seq in ACKNOWLEDGED.findall(log.read_text(errors="replace")):
                r = records.get(int(seq), {"ev": "nothing"})
                assert (r["ev"], r.get("upload"), r.get("chunk", 0)) == (kind, upload, int(chunk)), \
                    f"{kind} {chunk} was acknowledged as seq {seq}, where the journal has {r['ev']}"

    def goes_on(self, child):
        status = child.wait(END_S)
        if self.case.point.program in ("cp", "producer"):
            assert status == -signal.SIGKILL, f"cp ended with {status}"
            self.to_the_end()
        else:
            assert status == 0, f"cp ended with {status}: it should have gone on by itself"
            self.box.gone()
            if self.case.point.name in AT_THE_END or self.case.kind == "stop":
                self.to_the_end()

    def batches_were_too_few(self):
        """The point was passed less often than `nth`, because one batch had several records: a slow disk."""
        fired = self.faults.fired(self.case.armed)
        return self.how.nth > 1 and not fired and len({r["batch"] for r in self.box.records(self.case.kind)}) < self.how.nth

    def story(self):
        lines = [f"journal, from seq 1, in {self.box.journal}:"]
        for name in sorted(p.name for p in self.box.journal.glob("journal*.jsonl")):
            lines += [f"  {name}: {line[:230]}" for line in (self.box.journal / name).read_text(errors="replace").splitlines()]
        lines += [f"  {p.relative_to(self.box.dir)}" for top in ("journal", "out", "faults") for p in sorted((self.box.dir / top).rglob("*"))]
        for log in [*sorted(self.box.dir.glob("out-*.log")), self.box.journal / "consumer.log"]:
            if log.exists():
                lines += [f"{log.name}:", log.read_text(errors="replace")[-2500:]]
        return "\n".join(lines)


def run(case, rgw, tries=3):
    """The number of deaths survived, or the error with the run's log."""
    with Box() as box:
        r = Run(box, case, rgw)
        try:
            return r.run(), None
        except (AssertionError, subprocess.TimeoutExpired, OSError) as e:
            if tries == 1 or not r.batches_were_too_few():
                return r.deaths, f"{case.id}: {e}\n{r.story()}"
    return run(case, rgw, tries - 1)


@pytest.fixture(scope="module")
def sweep(request):
    """Futures of all chosen cases, by id."""
    chosen = [i.callspec.params["case"] for i in request.session.items if getattr(i, "module", None) is request.module and hasattr(i, "callspec")]
    rgw = request.getfixturevalue("rgw") if any(c.store == "rgw" for c in chosen) else None
    with ThreadPoolExecutor(THREADS) as pool:
        began = time.monotonic()
        futures = {c.id: pool.submit(run, c, rgw) for c in chosen}
        yield futures
        for f in futures.values():
            f.cancel()
        done = {c: futures[c.id].result() for c in chosen if futures[c.id].done() and not futures[c.id].cancelled()}
    deaths, points = sum(d for d, wrong in done.values() if not wrong), {c.point.name for c in done}
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(
            f"\n{len(points)} points, {deaths} deaths survived ({time.monotonic() - began:.0f} s)")


@pytest.mark.parametrize("case", parameters())
def test_somebody_dies_and_nothing_is_lost(sweep, case):
    _, wrong = sweep[case.id].result()
    if wrong:
        pytest.fail(wrong, pytrace=False)
