"""--slots auto against fixed numbers of slots, for a store that replies after 0 to 100 ms: medians of three, interleaved. The figures are printed, not asserted."""

import statistics
import time

import pytest

from support.box import random_file

pytestmark = pytest.mark.bench
RUNS = 3
WAYS = ["auto", 4, 8, 16, 32, 64, 128, 256]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    (root / "tree").mkdir()
    for i in range(2000):
        random_file(root / "tree" / f"{i:04}", 4096)
    random_file(root / "file", 1 << 30)
    return {"2,000 x 4 KiB": root / "tree", "1 GiB": root / "file"}


@pytest.mark.parametrize("delay", [0, 1, 10, 40, 100])
def test_slots_for_a_far_store(box, start_sink, sources, delay, capsys):
    url = start_sink("-d", str(delay))
    for name, src in sources.items():
        times = {way: [] for way in WAYS}
        for i in range(RUNS):
            for way in WAYS:
                began = time.perf_counter()
                box.run("cp", "-r", "--journal", box.dir / f"{src.name}-{way}-{i}", "--quiet", "--slots", way, "--endpoint-url", url, src, "s3://bucket/p/",
                        env=CREDENTIALS, timeout=120)
                times[way].append(time.perf_counter() - began)
        medians = {way: statistics.median(t) for way, t in times.items()}
        best = min(t for way, t in medians.items() if way != "auto")
        with capsys.disabled():
            print(f"\n{name}, replies after {delay} ms, seconds (best ÷ this):", ", ".join(f"{w} {t:.3f} ({best / t:.2f})" for w, t in medians.items()))
