"""How evenly 120 chunks of about 20 ms are spread over four uploaders of one slot: the time against the ideal, and a chart of the ends of chunks. Printed, not asserted."""

import collections
import datetime
import statistics

import pytest

from bench.report import Section
from fair.site import MIB, Site
from support.box import random_file, wait_for

pytestmark = pytest.mark.bench
CHUNKS = 120
CASES = {"four equal uploaders": [50] * 4, "one ten times slower": [50, 50, 50, 5], "one dies after a third": [50] * 4}
MOST = {"four equal uploaders": 1.15, "one ten times slower": 1.5, "one dies after a third": None}  # times the ideal
WIDTH = 100  # columns of the chart


def seconds(record):
    return datetime.datetime.fromisoformat(record["ts"].replace("Z", "+00:00")).timestamp()


def chart(ends, began, took):
    """One line: a digit for the number of chunks that ended in each column."""
    counts = collections.Counter(min(int((t - began) / took * WIDTH), WIDTH - 1) for t in ends)
    return "".join(str(min(counts[i], 9)) if counts[i] else "." for i in range(WIDTH))


@pytest.mark.parametrize("case", CASES)
def test_evenness(box, case, say):
    site = Site(box)
    uploaders = [site.uploader(1, rate * MIB) for rate in CASES[case]]
    wait_for(lambda: len(site.status()["uploader"]) == 4, what="four uploaders")
    source = random_file(site.source / "f", CHUNKS * MIB)
    producer = site.producer(source, site.out / "f")
    if "dies" in case:
        wait_for(lambda: len(site.records("chunk")) >= CHUNKS // 3, what="a third of the chunks")
        uploaders[3].child.kill()
    assert producer.wait(60) == 0, producer.log.read_text()
    site.check(source, "f")
    began, chunks = seconds(site.records("begin")[0]), site.records("chunk")
    ends = [[seconds(r) for r in chunks if r["worker"].endswith(f"/{u.pid}")] for u in uploaders]
    took = max(map(max, filter(None, ends))) - began
    paces = [statistics.median(b - a for a, b in zip(e, e[1:])) for e in ends if len(e) > 2]
    ideal = CHUNKS / sum(1 / p for p in paces)
    most = MOST[case]
    say(Section(f"120 chunks of about 20 ms: {case}", "test_queue.py", [("s", ".3f"), ("chunks", ".0f")],
                {"ideal at the pace of each": (ideal, None), "chunklift": (took, len(chunks)), **{f"uploader {i}": (max(e) - began, len(e)) for i, e in enumerate(ends, 1) if e}},
                [(took <= most * ideal, f"{took / ideal:.2f} × the ideal (required {most})")] if most else [],
                ["Ends of chunks over time, one line for each uploader:", "", "```", *(chart(e, began, took) for e in ends), "```"]))
    site.end()
