"""Rule 2: with one host that cannot serve the destination and two that can, no file fails, and `status` names that host and the reason."""

import errno
import json
import random
import signal
import time

import pytest

from support.box import preloaded, random_file, sha256_of, wait_for
from support.site import Site
from support.toy_store import ToyStore, error, make_tls

KIB, MIB, DAY = 1 << 10, 1 << 20, 86400
BATCHES = 4  # batches of files until status names the sick host; during the last one no other host takes jobs before that


def disk_fault(box, error):
    """From the first change under out/ on, every change there fails on this host."""
    return {**preloaded("disk_faults"), "DISK_FAULTS": f"{box.dir}/out:1:{error}:stay:{box.dir}/faults"}


# kind: (True if the destination is a store, environment of the sick host, error text in status)
SICK = {
    "wrong-secret": (True, lambda box: {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
    "clock": (True, lambda box: {**preloaded("other_clock"), "OTHER_CLOCK_S": str(DAY)}, "RequestTimeTooSkewed"),
    "clock-behind": (True, lambda box: {**preloaded("other_clock"), "OTHER_CLOCK_S": str(-DAY)}, "RequestTimeTooSkewed"),
    "no-route": (True, lambda box: preloaded("no_route"), "onnect"),
    "read-only": (False, lambda box: disk_fault(box, errno.EROFS), "Read-only file system"),
    "full": (False, lambda box: disk_fault(box, errno.ENOSPC), "No space left"),
    "wrong-root": (False, lambda box: {}, "not under a --root"),
}


class Fleet:
    """A consumer, a sick uploader and two healthy ones. Files are read by reference: the uploaders cannot reach the producer's data socket."""

    def __init__(self, box, kind, store):
        self.box, self.kind = box, kind
        of_store, env, self.said = SICK[kind]
        self.site = Site(box, store=store if of_store else None)
        self.source = box.dir / "src"
        self.source.mkdir()
        wrong = box.dir / "elsewhere"
        wrong.mkdir()
        self.sick = self.site.uploader(root=wrong if kind == "wrong-root" else self.source, env=env(box))
        self.healthy = [self.site.uploader(root=self.source) for _ in range(2)]
        wait_for(lambda: len(self.status("uploader")) == 3, what="three uploaders joined")

    def status(self, event):
        said = self.box.run("status", "--consumer", self.site.at, "--json").stdout
        return [line for line in map(json.loads, said.splitlines()) if line["event"] == event]

    def is_named(self):
        return any(t["worker"].endswith(f"/{self.sick.pid}") and self.said in t["error"] for t in self.status("trouble"))

    def upload(self, name, sizes, alone):
        """alone: the healthy hosts are stopped until status names the sick one. Otherwise the first host to learn of a producer may take all jobs."""
        folder = self.source / name
        for i, size in enumerate(sizes):
            random_file(folder / str(i), size, seed=f"{name}/{i}")
        dest = f"s3://bucket/{self.box.mark}/{name}/" if self.site.store else f"{self.box.dir}/out/{name}/"
        if alone:
            self.signal_healthy(signal.SIGSTOP)
        child = self.site.producer("-r", "--chunk-size", "5MiB" if self.site.store else "256KiB", "--insecure", folder, dest,
                                   data="tcp://127.0.0.1:*")
        if alone:
            wait_for(self.is_named, 20, "status names the host that gets all jobs")
            self.signal_healthy(signal.SIGCONT)
        assert child.wait(60) == 0, child.log.read_text()

    def signal_healthy(self, sig):
        for child in self.healthy:
            child.send_signal(sig)

    def check(self, files):
        assert not self.box.records("fail")
        done = self.box.records("put") + self.box.records("finish")
        assert len(done) == files
        sent = self.box.records("put") + self.box.records("chunk")
        assert not any(r["worker"].endswith(f"/{self.sick.pid}") for r in sent)
        for path in self.source.rglob("*"):
            if path.is_file() and not self.site.store:
                assert sha256_of(path) == sha256_of(self.box.dir / "out" / path.relative_to(self.source)), path
        healthy = [t for t in self.status("trouble") if not t["worker"].endswith(f"/{self.sick.pid}")]
        assert not healthy, healthy


def sizes_of(dice, store):
    small = [dice.randrange(0, 100 * KIB) for _ in range(dice.randrange(4, 20))]
    large = [dice.randrange(9 * MIB, 17 * MIB)] if store else [dice.randrange(300 * KIB, 3 * MIB) for _ in range(dice.randrange(1, 4))]
    sizes = small + large
    dice.shuffle(sizes)
    return sizes


def run(box, rgw, seed):
    dice = random.Random(seed)
    kind = dice.choice(sorted(SICK))
    print(f"seed {seed}: {kind}")
    fleet, files, began = Fleet(box, kind, rgw), 0, time.monotonic()
    for batch in range(BATCHES):
        sizes = sizes_of(dice, fleet.site.store)
        files += len(sizes)
        fleet.upload(f"b{batch}", sizes, alone=batch == BATCHES - 1)
        if fleet.is_named():
            break
    wait_for(fleet.is_named, 3, f"status names the sick host: {fleet.status('trouble')}")
    fleet.check(files)
    print(f"{files} files in {batch + 1} batches, {time.monotonic() - began:.1f} s: none failed")


@pytest.mark.parametrize("seed", [0, 1, 5, 9])  # wrong-secret, clock-behind, read-only, no-route
def test_a_sick_host_fails_no_file(box, rgw, seed):
    run(box, rgw, seed)


@pytest.mark.fleet
@pytest.mark.parametrize("seed", range(100))
def test_a_sick_host_of_any_kind_fails_no_file(box, rgw, seed):
    run(box, rgw, seed)


class ToySite(Site):
    """Uploaders with an access key each, and a store with replies defined by the test."""

    def __init__(self, box, store):
        self.endpoint, self.env = store.url, {"AWS_SECRET_ACCESS_KEY": "secret"}
        super().__init__(box, store=self)

    def uploader_as(self, key, **env):
        (self.box.dir / "src").mkdir(exist_ok=True)
        self.uploader(root=self.box.dir / "src", env={"AWS_ACCESS_KEY_ID": key, **env})
        wait_for(lambda: len(self.status("uploader")) == len(self.uploaders), what="it joined")  # a file fails when all that are there fail it

    def upload_tree(self, status):
        return self.upload("--chunk-size", "5MiB", "-r", self.box.dir / "src", "s3://bucket/", status=status)

    def status(self, event):
        lines = map(json.loads, self.box.run("status", "--consumer", self.at, "--json").stdout.splitlines())
        return [line for line in lines if line["event"] == event]

    def troubles(self):
        return self.status("trouble")


def small_files(box, *folders, count=30):
    for folder in folders:
        for i in range(count):
            random_file(box.dir / "src" / folder / f"{i:02}", 200, seed=f"{folder}{i}")


def upload_until(site, happened, folders=10, count=90):
    """Uploads folders of small files until the sick host has had a job: a fast host may take all jobs of a folder. Returns the number of files."""
    for n in range(folders):
        small_files(site.box, f"{n}", count=count)
        site.upload_tree(0)
        if happened():
            break
    return (n + 1) * count


def slow(request):
    """A reply takes 20 ms, so that no host takes all jobs before the other one is connected."""
    time.sleep(0.02)


@pytest.mark.parametrize("status, code", [(403, "AccessDenied"), (400, "ExpiredToken"), (507, "QuotaExceeded")])
def test_a_host_that_is_refused_takes_few_jobs(box, status, code):
    """A host with refused requests gets only its trial jobs, although it fails faster than the other host works."""
    with ToyStore(lambda r: error(status, code) if r.signed_for and r.signed_for[0] == "refused" else slow(r)) as store:
        def tried():
            return sum(bool(r.signed_for) and r.signed_for[0] == "refused" for r in store.requests)

        site = ToySite(box, store)
        site.uploader_as("refused")
        site.uploader_as("allowed")
        files = upload_until(site, site.troubles)  # a refusal that may be the object's names the host when it is the third
        wait_for(site.troubles, 5, "status names it")
        assert code in site.troubles()[0]["error"]
        print(f"{code}: {tried()} requests by the host that is refused, {len(store.requests) - tried()} by the other one")
        assert 0 < tried() < 20
    assert not box.records("fail") and len(box.records("put")) == files


def test_a_host_that_does_not_know_the_stores_ca(box):
    ca, context = make_tls(box.dir)
    with ToyStore(slow, tls=context) as store:
        site = ToySite(box, store)
        site.uploader_as("no-ca")
        site.uploader_as("ca", AWS_CA_BUNDLE=str(ca))
        files = upload_until(site, site.troubles)
        wait_for(site.troubles, 5, "status names it")
        assert "certificate" in site.troubles()[0]["error"], site.troubles()
    assert not box.records("fail") and len(box.records("put")) == files


def test_objects_that_every_host_is_refused_fail_and_no_others(box):
    """Objects refused to every host fail after both hosts have tried them, and all other objects are written."""
    small_files(box, "a", "closed", "z")
    with ToyStore(lambda r: error(403, "AccessDenied") if "/closed/" in r.path else None) as store:
        site = ToySite(box, store)
        site.uploader_as("one")
        site.uploader_as("two")
        log = site.upload_tree(1)
        hosts = {(r.path, r.signed_for[0]) for r in store.requests if "/closed/" in r.path}
    assert len(box.records("put")) == 60 and len(box.records("fail")) == 30
    assert log.count("403 AccessDenied") >= 30
    assert len(hosts) == 60
