"""The leftover sweep: promise 7 of docs/DURABILITY.md. All processes are killed at a fault point. Then the source is unchanged, replaced or
deleted, and the next command is the same one, one to another destination, or `journal forget --unfinished`.

After the same command succeeded, and after `forget`, the destination has no leftovers: no temporary file, no open multipart upload. After another
command, or one that failed because its source is gone, each leftover is an unfinished upload of the journal, and `forget` removes it.

`./check crash` has a fixed quarter of the runs, `./check soak` the others: all of them take about 20 minutes."""

import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import test_sweep as sweep

from support.box import Box, random_file

SOURCES = ("unchanged", "replaced", "deleted")
COMMANDS = ("same", "other", "forget")
TELLING = {("replaced", "same"), ("unchanged", "other"), ("deleted", "forget")}
SHORT = {"file": {"temp_created.begin", "bytes_synced.chunk", "temp_created.put"}, "rgw": {"s3_replied.begin"}}  # in the default set, TELLING alone
ENDS = {"finish", "put", "abort", "forget"}
SMALL = 40_000  # one request sends all of it


class Leftovers(sweep.Run):
    def __init__(self, box, case, rgw, client, source, command):
        super().__init__(box, case, rgw)
        self.client, self.source_is, self.command = client, source, command

    def crash(self):
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
        self.faults.wait(self.case.armed, sweep.END_S, meanwhile=lambda: child.poll() is None)
        self.kill_everything()

    def kill_everything(self):
        while self.box.processes():
            self.box.kill_all()
        for child in self.children:
            child.wait()

    def change(self):
        if self.source_is == "replaced":
            small = zlib.crc32(self.case.id.encode()) % 2
            random_file(self.source, SMALL if small else self.store.size, seed="replaced")
        elif self.source_is == "deleted":
            self.source.unlink()

    def left(self):
        """The files and uploads at the destinations that are not objects."""
        if not self.client:
            return sorted(p.name for p in (self.box.dir / "out").glob("**/.chunklift-*"))
        found = self.client.list_multipart_uploads(Bucket="bucket", Prefix=f"sweep/{self.box.mark}/")
        return [f"{u['Key']} {u['UploadId']}" for u in found.get("Uploads", [])]

    def unfinished(self):
        records = self.box.records()
        ended = {r["upload"] for r in records if r["ev"] in ENDS}
        return {r["upload"] for r in records if r["ev"] in ("open", "begin")} - ended

    def upload(self):
        status = self.start().wait(sweep.END_S)
        self.box.gone()
        assert (status == 0) == (self.source_is != "deleted"), f"cp ended with {status}"
        return status == 0

    def forget(self):
        known = self.unfinished()
        done = self.box.run("journal", "forget", "--unfinished", "--journal", self.box.journal, self.store.dest, env=self.store.env, status=None,
                            timeout=sweep.END_S)
        words = ("knows no such upload", "no journal in this directory", "no such journal directory")  # it died before the first record
        nothing = any(w in done.stderr for w in words)
        assert done.returncode == 0 or (not known and nothing), f"forget ended with {done.returncode}: {done.stderr}"
        self.box.gone()
        assert not self.unfinished()

    def run(self):
        """The leftovers at the destination that must not exist."""
        self.crash()
        self.change()
        clean = False
        if self.command == "same":
            clean = self.upload()
        elif self.command == "other":
            first, self.store.dest = self.store.dest, self.store.dest + "-other"
            self.upload()
            self.store.dest = first
        else:
            self.forget()
            clean = True
        left = self.left()
        if not clean and left:
            assert len(left) <= len(self.unfinished()), f"left and not in the journal: {left}"
            self.forget()
            left = self.left()
        return left


def kill_points():
    """Each point once for a store and a kind of job, with the death of everything."""
    return [c for c in sweep.cases() if c.death == "everything"]


def parameters():
    for case in kill_points():
        for source in SOURCES:
            for command in COMMANDS:
                short = case.armed in SHORT[case.store] and (source, command) in TELLING
                name = f"{case.armed}-{case.store}-{source}-{command}"
                often = zlib.crc32(name.encode()) % 4 == 0
                yield pytest.param(case, source, command, id=name, marks=[] if short else [pytest.mark.crash if often else pytest.mark.soak])


def run(case, source, command, rgw, client):
    """(leftovers, None), or (None, the error with the run's log)."""
    with Box() as box:
        r = Leftovers(box, case, rgw, client if case.store == "rgw" else None, source, command)
        try:
            return r.run(), None
        except (AssertionError, sweep.subprocess.TimeoutExpired, OSError) as e:
            return None, f"{case.id}, source {source}, {command}: {e}\n{r.story()}"


def store_client(rgw):
    from awscli.botocore import config, session  # pylint: disable=import-outside-toplevel  # installed only on machines with a store
    return session.Session().create_client("s3", endpoint_url=rgw.endpoint, region_name=rgw.region, aws_access_key_id=rgw.access_key,
                                           aws_secret_access_key=rgw.secret_key, config=config.Config(s3={"addressing_style": "path"}))


@pytest.fixture(scope="module")
def runs(request):
    """Futures of all chosen runs; their counts are printed at the end."""
    items = [i.callspec.params for i in request.session.items if getattr(i, "module", None) is request.module and hasattr(i, "callspec")]
    rgw = request.getfixturevalue("rgw") if any(p["case"].store == "rgw" for p in items) else None
    client = store_client(rgw) if rgw else None
    with ThreadPoolExecutor(sweep.THREADS) as pool:
        began = time.monotonic()
        futures = {(p["case"].id, p["source"], p["command"]): pool.submit(run, p["case"], p["source"], p["command"], rgw, client) for p in items}
        yield futures
        for f in futures.values():
            f.cancel()
        done = {k: f.result() for k, f in futures.items() if f.done() and not f.cancelled()}
    points, left = {k[0] for k in done}, sum(len(left or []) for left, _ in done.values())
    failed = sum(1 for _, wrong in done.values() if wrong)
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(
            f"\n{len(points)} kill points, {len(done)} runs, {failed} failed, {left} leftovers ({time.monotonic() - began:.0f} s)")


@pytest.mark.parametrize("case, source, command", parameters())
def test_nothing_is_left_over(runs, case, source, command):
    left, wrong = runs[(case.id, source, command)].result()
    if wrong:
        pytest.fail(wrong, pytrace=False)
    assert not left
