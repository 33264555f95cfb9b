"""--slots auto against fixed numbers of slots, for a store that replies after 0 to 100 ms: medians of three, interleaved. The figures are printed, not asserted."""

import statistics
import time

import pytest

from bench.measure import CREDENTIALS
from bench.report import Section
from support.box import random_file

pytestmark = pytest.mark.bench
RUNS = 3
WAYS = ["auto", 4, 8, 16, 32, 64, 128, 256]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    (root / "tree").mkdir()
    for i in range(2000):
        random_file(root / "tree" / f"{i:04}", 4096)
    random_file(root / "file", 1 << 30)
    return {"2,000 files of 4 KiB": root / "tree", "a file of 1 GiB": root / "file"}


@pytest.mark.parametrize("delay", [0, 1, 10, 40, 100])
@pytest.mark.parametrize("work", ["2,000 files of 4 KiB", "a file of 1 GiB"])
def test_slots_for_a_far_store(box, start_sink, sources, say, work, delay):
    url, src = start_sink("-d", str(delay)), sources[work]
    times = {way: [] for way in WAYS}
    for i in range(RUNS):
        for way in WAYS:
            began = time.monotonic()
            dest = ["-r", src, "s3://bucket/tree/"] if src.is_dir() else [src, "s3://bucket/file"]
            box.run("cp", "--quiet", "--journal", box.dir / f"journal-{way}-{i}", "--slots", way, "--endpoint-url", url, *dest, env=CREDENTIALS)
            times[way].append(time.monotonic() - began)
    medians = {way: statistics.median(t) for way, t in times.items()}
    auto = medians.pop("auto")
    best = min(medians, key=medians.get)
    share = medians[best] / auto
    say(Section(f"{work[0].upper()}{work[1:]}, replies after {delay} ms", "test_far_store.py", [("s", ".2f")],
                {"chunklift, --slots auto": (auto,), **{f"--slots {way}": (t,) for way, t in medians.items()}},
                [(share >= 0.85, f"{share:.2f} of the best fixed number ({best} slots; required 0.85)")], [f"Medians of {RUNS}."]))
