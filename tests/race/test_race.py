"""Parallel workers that mark chunks in one list lose marks; five cures do not. What each costs is measured, and written down as figures.json, figures.md
and figures.svg in the build's directory race/ (figures.py puts them into docs/WHY-A-QUEUE.md)."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from race import runs

AT_ONCE = 24  # runs that pause most of the time


@pytest.fixture(scope="module")
def first_seed():
    seed = int(os.environ.get("CHUNKLIFT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"CHUNKLIFT_SEED={seed}")
    return seed


def in_parallel(jobs):
    """jobs: callables; their results in order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda job: job(), jobs))


def seeded_runs(box, ways, seeds):
    """{(way, sync): accounts}"""
    plan = [(way, sync, seed) for way, syncs in ways for sync in syncs for seed in seeds]
    done = in_parallel([lambda w=w, s=s, n=n: runs.run_as_seed(box, w, n, s) for w, s, n in plan])
    found = {}
    for (way, sync, _), account in zip(plan, done):
        found.setdefault((way.name, sync), []).append(account)
    return found


def test_the_bug_loses_marks_and_the_cures_lose_none(box, first_seed):
    ways = [(runs.BUG, ["none"])] + [(cure, [cure.durable]) for cure in runs.CURES]
    found = seeded_runs(box, ways, range(first_seed, first_seed + 3))
    for (name, _), accounts in found.items():
        lost = [a["lost"] for a in accounts]
        print(f"{name}: lost {lost}")
        assert all(a["acked"] == 30 for a in accounts)
        assert any(lost) == (name == "bug"), f"{name} lost {lost}"
