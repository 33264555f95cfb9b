"""The time of one file of 1 KiB from start to exit, in turn with the programs of Debian."""

import statistics

import pytest

from bench import measure
from bench.measure import CREDENTIALS
from bench.report import Section
from support.box import random_file, wait_for

pytestmark = pytest.mark.bench
RUNS = 15


@pytest.mark.parametrize("store", ["file", "s3"])
def test_one_small_file(box, sink, say, store):
    src = random_file(box.dir / "src", 1024)
    (box.dir / "out").mkdir()
    standing = box.start("consumer", "--journal", box.dir / "standing", "--quiet")
    wait_for((box.dir / "standing" / "consumer").exists, what="the consumer serves")
    runs = iter(range(1000))

    def copy(journal):
        i = next(runs)
        dest = f"file://{box.dir}/out/{i}" if store == "file" else f"s3://bucket/{i}"
        box.run("cp", "--journal", journal or box.dir / f"journal-{i}", "--quiet", "--endpoint-url", sink, src, dest, env=CREDENTIALS)

    ways = {"chunklift, own consumer": lambda: copy(None), "chunklift, standing consumer": lambda: copy(box.dir / "standing")}
    if store == "s3":
        ways |= measure.peers(sink, src, box.dir)
    costs = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, run in ways.items():
            costs[name].append(measure.cost_of(run))
    standing.terminate()
    assert standing.wait(20) == 0
    ms = {name: statistics.median(c.seconds for c in of) * 1000 for name, of in costs.items()}
    section = Section(f"One file of 1 KiB to {'file://' if store == 'file' else 'S3'}, from start to exit", "test_latency.py", [("ms", ".0f"), ("ms CPU", ".0f")],
                      {name: (ms[name], statistics.median(c.cpu for c in of) * 1000) for name, of in costs.items()})
    own, standing_ms = ms["chunklift, own consumer"], ms["chunklift, standing consumer"]
    if "rclone 1.60" in ms:
        section.verdicts.append((own <= 0.8 * ms["rclone 1.60"], f"{own / ms['rclone 1.60']:.2f} × the time of rclone (required 0.8)"))
    section.verdicts.append((standing_ms <= 15, f"{standing_ms:.0f} ms with a standing consumer (required 15)"))
    section.notes.append(f"Medians of {RUNS}.")
    say(section)
