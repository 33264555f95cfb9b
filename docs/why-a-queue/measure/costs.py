"""The cost of each way: the same work for all, one run after the other, without mutual influence. All marks fit into the time limit."""

import time

from measure import runs

WORKERS = 8
LISTS, QUESTIONS, MANY, SYNCED = 2000, 10_000, 100_000, 2000  # marks: with whole lists; one in flight; a window of them; a sync for each
WINDOW = 64
SOON, TIMES, TIME_S = 0.4, 3, 16  # seconds; times; seconds after which each measurement runs once


def plan():
    """(way, sync, marks, window)"""
    yield runs.BUG, "none", LISTS, 1
    for way in (*runs.CURES, runs.CLAIMING):
        if way.one_question and way is not runs.CLAIMING:
            yield way, "none", QUESTIONS, 1
        if way.one_question:
            yield way, "none", MANY, WINDOW
        else:
            yield way, "none", LISTS, 1
    for way in (*runs.CURES, runs.CLAIMING):
        if not way.is_queue:
            yield way, "each", SYNCED, 1
        if way.durable == "group" and way is not runs.CLAIMING:
            yield way, "group", LISTS if not way.one_question else QUESTIONS, 1
        if way.one_question:
            yield way, "group", MANY, WINDOW


def measure_once(box, seed, way, sync, marks, window):
    a = runs.run(box, way, seed, marks=marks, workers=WORKERS, window=window, sync=sync)
    return {"way": way.name, "sync": sync, "marks": marks, "window": window, "lost": a["lost_count"], "rate": marks / a["seconds"], "p50_us": a["p50_us"],
            "p99_us": a["p99_us"], "messages": a["messages"] / marks, "syncs": a["syncs"] / marks, "retries": a["retries"] / marks,
            "cpu_us": a["cpu_us"] / marks, "seconds": a["seconds"]}


def measure(box, seed, what, times):
    """Repeats a short measurement that many times and returns the median run, with the maximum of lost marks."""
    found = [measure_once(box, seed, *what)]
    while len(found) < times and found[0]["seconds"] < SOON:
        found.append(measure_once(box, seed, *what))
    found.sort(key=lambda r: r["rate"])
    return {**found[len(found) // 2], "lost": max(r["lost"] for r in found), "times": len(found)}


def measure_all(box, seed):
    end, found = time.monotonic() + TIME_S, []
    for what in plan():
        if what[0].is_queue and what[1] == "none" and runs.memory_is_missing():
            continue
        found.append(measure(box, seed, what, TIMES if time.monotonic() < end else 1))
    return found
