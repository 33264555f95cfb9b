"""The model of the protocol has no error in any configuration, and SPIN finds an error for every omitted rule (README.md).

Two searches run at a time; a test waits for its own.
"""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from configurations import CONFIGURATIONS, MUTANTS, QUICK_MUTANTS  # noqa: E402
from spin import describe, search  # noqa: E402

WAIT_SECONDS = 3600
REGULAR = [c for c in CONFIGURATIONS if not c.quick]


def mutant_id(m):
    return f"{m.name}-{m.configuration.model}"


@pytest.fixture(scope="session")
def searches(request):
    """Starts the searches of all chosen tests at once: key → future."""
    if not shutil.which("spin"):
        pytest.skip("spin is not installed")
    wanted = [i.callspec.params.get("c") or i.callspec.params.get("m") for i in request.session.items if "searches" in getattr(i, "fixturenames", ())]
    pool = ThreadPoolExecutor(max_workers=2)
    futures = {}
    for w in wanted:
        futures[w] = pool.submit(search, w.configuration, w.name) if w in MUTANTS else pool.submit(search, w)
    yield futures
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def caught():
    counts = {"asked": 0, "caught": 0}
    yield counts
    print(f"\nmodel: {counts['caught']} mutants caught of {counts['asked']}")


def check_configuration(c, searches):
    s = searches[c].result(timeout=WAIT_SECONDS)
    print("\n" + describe(c, s), end="")
    assert s.error == "", s.output
    assert s.states > 0
    assert s.complete or c.bitstate, s.output


def check_mutant(m, searches, caught):
    caught["asked"] += 1
    s = searches[m].result(timeout=WAIT_SECONDS)
    print(f"\nmodel {m.name} (rule {m.rule}) in {m.configuration.name.strip()}: {s.error[:80] or 'NOT CAUGHT'}", end="")
    assert s.error != "", f"rule {m.rule} is left out and nothing is missed\n{s.output}"
    caught["caught"] += 1


@pytest.mark.model
@pytest.mark.parametrize("c", REGULAR, ids=lambda c: c.name)
def test_configuration(c, searches):
    check_configuration(c, searches)


@pytest.mark.model
@pytest.mark.parametrize("m", MUTANTS, ids=mutant_id)
def test_rule_left_out(m, searches, caught):
    check_mutant(m, searches, caught)


@pytest.mark.parametrize("c", [c for c in CONFIGURATIONS if c.quick], ids=lambda c: c.name)
def test_small_configuration(c, searches):
    check_configuration(c, searches)


@pytest.mark.parametrize("m", [m for m in MUTANTS if m.name in QUICK_MUTANTS], ids=mutant_id)
def test_rule_left_out_of_a_small_one(m, searches, caught):
    check_mutant(m, searches, caught)
