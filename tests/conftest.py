"""Test collection and fixtures for ./check: unit test programs are collected like test files, each test gets a box (directories, environment,
processes), real servers start once a run, and the counts go to the file that ./check sums up."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from servers.ceph import CephRgw  # noqa: E402
from servers.minio import Minio  # noqa: E402
from servers.swift import Swift  # noqa: E402
from servers.versitygw import Versitygw  # noqa: E402
from support.box import BUILD, Box  # noqa: E402

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # ./check in the background ignores SIGINT, and child processes would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

NAMED = {"bench", "interop", "crash", "powercut", "soak", "strangers", "model", "fleet", "hosts", "fair", "fetch", "race"}  # run as sets of their own
UNIT_RUNS = 2  # unit tests at a time
UNITS = pytest.StashKey()
TIMED = {"fair", "fleet", "hosts"}  # folders with timing tests: they run last, after the other lanes of ./check
SETS = {
    # set: (unit programs, required markers, excluded markers)
    "default": (True, None, NAMED),
    "asan": (True, None, NAMED | {"slow"}),
    "crash": (False, "crash", set()),
    "powercut": (False, "powercut", set()),
    "soak": (False, "soak", set()),
    "hosts": (False, "hosts", set()),
    "strangers": (False, None, set()),
    "fleet": (False, "fleet", set()),
    "model": (False, "model", set()),
    "fair": (False, "fair", set()),
    "fetch": (False, "fetch", set()),
    "race": (False, "race", set()),
    "interop": (False, "interop", set()),
    "bench": (False, "bench", set()),
    "all": (True, None, set()),
}


def pytest_addoption(parser):
    parser.addoption("--set", default="all", choices=sorted(SETS))


class UnitProgram(pytest.Collector):
    """One cmocka program. --list prints the names of its tests."""

    def __init__(self, program, **kw):
        super().__init__(**kw)
        self.program = program

    def collect(self):
        names = subprocess.run([self.program, "--list"], check=True, capture_output=True, text=True, timeout=30).stdout.split()
        for name in names:
            yield UnitTest.from_parent(self, name=name, program=self.program)


class UnitRuns:
    """Runs the chosen unit tests UNIT_RUNS at a time, in their order: many of them wait."""

    def __init__(self, items):
        self.pool = ThreadPoolExecutor(UNIT_RUNS)
        self.futures = {i.nodeid: self.pool.submit(self.run, i.program, i.name) for i in items}

    @staticmethod
    def run(program, name):
        with Box() as box:
            return subprocess.run([program, "--run", name], cwd=box.dir, env=box.env, capture_output=True, text=True, errors="replace", timeout=120)

    def result(self, item):
        return self.futures[item.nodeid].result()

    def end(self):
        self.pool.shutdown(cancel_futures=True)


class UnitTest(pytest.Item):
    def __init__(self, program, **kw):
        super().__init__(**kw)
        self.program = program

    def runtest(self):
        if not self.config.stash.get(UNITS, None):
            self.config.stash[UNITS] = UnitRuns([i for i in self.session.items if isinstance(i, UnitTest)])
        done = self.config.stash[UNITS].result(self)
        output = done.stdout + done.stderr
        if "[  SKIPPED ]" in output:
            said = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("[") and line.strip() != self.name]
            pytest.skip(f"{self.name}: {said[0] if said else 'it gave no reason'}")
        if done.returncode != 0 or "[  PASSED  ] 1 test" not in output:
            raise UnitFailure(output)

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, UnitFailure) else super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, 0, f"{Path(self.program).name}::{self.name}"


class UnitFailure(Exception):
    pass


def pytest_unconfigure(config):
    if units := config.stash.get(UNITS, None):
        units.end()


class UnitFolder(pytest.File):
    def collect(self):
        for program in sorted((BUILD / "unit").glob("*_test")):
            yield UnitProgram.from_parent(self, name=program.name, program=str(program))


def pytest_collect_file(file_path, parent):
    if file_path.name == "tests.cmake" and SETS[parent.config.getoption("--set")][0]:
        return UnitFolder.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(config, items):
    _, wanted, unwanted = SETS[config.getoption("--set")]
    keep, drop = [], []
    for item in items:
        marks = {m.name for m in item.iter_markers()}
        ok = (wanted is None or wanted in marks) and not (marks & unwanted)
        (keep if ok else drop).append(item)
    items[:] = sorted(keep, key=lambda item: Path(item.path).parent.name in TIMED)
    config.hook.pytest_deselected(items=drop)


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    passed = len(stats.get("passed", []))
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    skipped = len(stats.get("skipped", []))
    if path := os.environ.get("CHUNKLIFT_COUNTS"):
        Path(path).write_text(f"{passed} {failed} {skipped}\n", encoding="ascii")


@pytest.fixture
def box(request):
    with Box() as b:
        yield b
        if getattr(request.node, "failed", False):
            b.describe()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        item.failed = True


def server(kind):
    reason = kind.missing()
    if reason:
        pytest.skip(reason)
    with kind() as running:
        yield running


@pytest.fixture(autouse=True)
def servers_are_alive(request):
    """If a server has died, every later test that uses it fails at once with the end of the server's log."""
    for name in {"rgw", "swift", "minio", "versitygw"} & set(request.fixturenames):
        request.getfixturevalue(name).alive()


@pytest.fixture(scope="session")
def rgw():
    yield from server(CephRgw)


@pytest.fixture(scope="session")
def swift():
    yield from server(Swift)


@pytest.fixture(scope="session")
def minio():
    yield from server(Minio)


@pytest.fixture(scope="session")
def versitygw():
    yield from server(Versitygw)
