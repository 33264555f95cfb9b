"""What each way costs: the same work for all, one run after the other, so that none is in another's way. Few enough marks that all fit into their time."""

from race import runs

WORKERS = 8
LISTS, QUESTIONS, MANY, SYNCED = 2000, 10_000, 100_000, 2000  # marks: with whole lists; one under way; a window of them; one sync each
WINDOW = 64


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


def measure(box, seed, way, sync, marks, window):
    a = runs.run(box, way, seed, marks=marks, workers=WORKERS, window=window, sync=sync)
    return {"way": way.name, "sync": sync, "marks": marks, "window": window, "lost": a["lost_count"], "rate": marks / a["seconds"], "p50_us": a["p50_us"],
            "p99_us": a["p99_us"], "messages": a["messages"] / marks, "syncs": a["syncs"] / marks, "retries": a["retries"] / marks}
