"""Parallel workers that mark chunks in one shared list lose marks; five cures lose none. The tests measure the cost of each and write figures.json,
figures.md and figures.svg to the build's directory race/ (docs/why-a-queue/measure/figures.py puts them into the essay)."""

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.box import ROOT

sys.path.insert(0, str(ROOT / "docs" / "why-a-queue"))
from measure import costs, grouping, report, runs  # noqa: E402

AT_ONCE = 24  # concurrent runs; they sleep most of the time
SEEDS, BUG_LOSES = 50, 0.9  # minimum share of the runs
KILL_MARKS = 600
LEASE_MS = 300


@pytest.fixture(scope="module")
def first_seed():
    seed = int(os.environ.get("CHUNKLIFT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"CHUNKLIFT_SEED={seed}")
    return seed


def in_parallel(jobs, at_once=AT_ONCE):
    """jobs: callables. Returns their results in order."""
    with ThreadPoolExecutor(at_once) as pool:
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


@pytest.fixture(scope="module")
def figures():
    """The results of the tests below; the last one writes them to files."""
    return {"cores": os.cpu_count()}


@pytest.mark.race
def test_fifty_seeded_runs(box, first_seed, figures):
    """30 marks in 3 loops, in memory with every seed and on disk with some of them: the bug loses marks in most runs, the cures in none."""
    seeds = range(first_seed, first_seed + SEEDS)
    in_memory = [(way, [way.durable if way.is_queue and runs.memory_is_missing() else "none"]) for way in (runs.BUG, *runs.CURES)]
    on_disk = [(way, [way.durable]) for way in (runs.BUG, *runs.CURES) if (way, [way.durable]) not in in_memory]
    found = {**seeded_runs(box, in_memory, seeds), **seeded_runs(box, on_disk, seeds[::5])}
    figures["seeds"] = [first_seed, SEEDS]
    figures["seeded"] = [{"way": name, "sync": sync, "runs": len(accounts), "losing": sum(a["lost_count"] > 0 for a in accounts),
                          "lost": sum(a["lost_count"] for a in accounts), "example": next((a["lost"] for a in accounts if a["lost"]), [])}
                         for (name, sync), accounts in found.items()]
    for row in figures["seeded"]:
        print(f"{row['way']}, {row['sync']}: {row['losing']} of {row['runs']} runs lost marks, {row['lost']} in all {row['example']}")
    for (name, sync), accounts in found.items():
        losing = sum(a["lost_count"] > 0 for a in accounts)
        assert all(a["acked"] == 30 for a in accounts)
        assert losing >= len(accounts) * BUG_LOSES if name == "bug" else losing == 0, f"{name}, {sync}: {losing} runs lost marks"


@pytest.mark.race
def test_a_killed_owner(box, first_seed, figures):
    """After kill -9 of the owner, a durable owner's successor has all acknowledged marks, and a volatile owner's successor has lost some."""
    rng = random.Random(first_seed)
    plan = [(way, sync, rng.randrange(50, KILL_MARKS // 2), rng.randrange(1 << 30))
            for way in runs.CURES for sync in ("none", "each", "group") for _ in range(1 if sync == "none" else 2)
            if not (sync == "none" and way.is_queue) and not (sync == "each" and way.is_queue) and not (sync == "group" and way.durable == "each")]
    done = in_parallel([lambda w=w, s=s, a=a, n=n: runs.run(box, w, n, marks=KILL_MARKS, workers=4, sync=s, kill_owner_at=a, pause_us=1000) for w, s, a, n in plan], 6)
    figures["owner_killed"] = [{"way": way.name, "sync": sync, "at": at, "acked": a["acked"], "lost": a["lost_count"], "still_ms": a["gap_ms"]}
                               for (way, sync, at, _), a in zip(plan, done)]
    for row in figures["owner_killed"]:
        print(row)
        assert row["acked"] == KILL_MARKS, "everybody went on with the next owner"
        if row["sync"] != "none":
            assert row["lost"] == 0, f"{row['way']}: acknowledged and lost"
    forgetful = [row for row in figures["owner_killed"] if row["sync"] == "none" and row["way"] in ("1 atomic owner", "4 key per chunk")]
    assert all(row["lost"] > 0 for row in forgetful), "a kill that costs a volatile owner nothing shows nothing"


@pytest.mark.race
def test_a_killed_worker(box, first_seed, figures):
    """A worker killed at its fifth mark, between its get and its set or between its request and the reply, leaves only its own marks undone."""
    plan = [(way, point) for way in (*runs.CURES, runs.CLAIMING) for point in ("held", "sent")
            if point == "sent" or way.rewrites or way is runs.CLAIMING]
    done = in_parallel([lambda w=w, p=p: runs.run(box, w, first_seed, workers=3, sync=w.durable, pause_us=10_000, hold_us=2000 if w.rewrites else 0,
                                                  lease_ms=LEASE_MS, die=(0, 5, p)) for w, p in plan])
    figures["worker_killed"] = [{"way": way.name, "point": point, "undone": a["undone"], "kept_unacked": a["kept_unacked"], "still_ms": a["gap_ms"]}
                                for (way, point), a in zip(plan, done)]
    for (way, point), a in zip(plan, done):
        print(f"{way.name}, killed {point}: {a['undone']} undone, {a['kept_unacked']} of them kept, nobody marked anything for {a['gap_ms']:.0f} ms")
        assert a["killed"] == 1 and a["lost_count"] == 0
        assert a["undone"] == 6, "its own that were left, and nobody else's"
        if way.program == "cure3_lock":
            assert LEASE_MS * 0.8 < a["gap_ms"] < LEASE_MS + 10_000, "its lock is waited for, and no longer than its lease"


@pytest.mark.race
def test_groups_against_the_queue(box, first_seed, figures):
    jobs = [lambda c=c: grouping.in_groups(box, c, first_seed) for c in grouping.CASES] + [lambda c=c: grouping.in_queue(c) for c in grouping.CASES]
    done = in_parallel(jobs)
    work = {"chunks": grouping.CHUNKS, "work_ms": grouping.WORK_US // 1000, "workers": grouping.WORKERS}
    figures["grouping"] = [{**work, "case": case, "ideal_s": grouping.ideal_s(case), "groups": groups, "queue": queue}
                           for case, groups, queue in zip(grouping.CASES, done, done[len(grouping.CASES):])]
    by_case = {row["case"]: row for row in figures["grouping"]}
    for row in figures["grouping"]:
        print(row)
        assert row["queue"]["undone"] == 0
    assert by_case["equal"]["groups"]["undone"] == by_case["one slow"]["groups"]["undone"] == 0
    assert by_case["one dies"]["groups"]["undone"] == grouping.CHUNKS // grouping.WORKERS - grouping.DIES_AT
    assert by_case["one slow"]["groups"]["seconds"] > grouping.CHUNKS / grouping.WORKERS * grouping.WORK_US * grouping.SLOWER / 1e6
    assert by_case["one slow"]["queue"]["seconds"] < by_case["one slow"]["groups"]["seconds"]


@pytest.mark.race
def test_costs(box, first_seed, figures):
    figures["memory_missing"] = runs.memory_is_missing()
    figures["costs"] = costs.measure_all(box, first_seed)
    for row in figures["costs"]:
        assert (row["lost"] > 0) == (row["way"] == "bug"), row
        assert row["syncs"] <= 1.01, row
        if row["sync"] == "group" and row["window"] > 1:
            assert row["syncs"] < 0.1, f"no groups: {row}"


@pytest.mark.race
def test_table_and_plot(figures, capsys):
    table = report.markdown(figures)
    report.write(figures)
    with capsys.disabled():
        print(f"\n{table}\n{report.PLACE}/figures.md, figures.svg, figures.json; docs/why-a-queue/measure/figures.py puts them into the essay")
    assert "costs" in figures and len(figures) >= 7, "some test before this one did not end well"
