"""The time of one file of 1 KiB from start to exit: medians of 15, interleaved with rclone where it is installed. The figures are printed, not asserted."""

import shutil
import statistics
import subprocess
import time

import pytest

from support.box import random_file, wait_for

pytestmark = pytest.mark.bench
RUNS = 15
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
RCLONE = ["rclone", "--config", "", "--s3-provider", "Other", "--s3-env-auth"]


def milliseconds(run):
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


@pytest.mark.parametrize("store", ["file", "s3"])
def test_one_small_file(box, sink, store, capsys):
    src = random_file(box.dir / "src", 1024)
    (box.dir / "out").mkdir()
    standing = box.start("consumer", "--journal", box.dir / "standing", "--quiet")
    wait_for((box.dir / "standing" / "consumer").exists, what="the consumer serves")

    def copy(journal, name):
        dest = f"file://{box.dir}/out/{name}" if store == "file" else f"s3://bucket/{name}"
        box.run("cp", "--journal", journal, "--quiet", "--endpoint-url", sink, src, dest, env=CREDENTIALS)

    def rclone(name):
        dest = f"{box.dir}/out/{name}" if store == "file" else f":s3:bucket/{name}"
        subprocess.run([*RCLONE, "--s3-endpoint", sink, "copyto", src, dest], check=True, capture_output=True, env={**box.env, **CREDENTIALS})

    ways = {"own consumer": lambda i: copy(box.dir / f"journal-{i}", f"own-{i}"),
            "standing consumer": lambda i: copy(box.dir / "standing", f"standing-{i}")}
    if shutil.which("rclone") and store == "file":  # the sink answers no HEAD as rclone expects it
        ways["rclone"] = lambda i: rclone(f"rclone-{i}")
    times = {name: [] for name in ways}
    for i in range(RUNS):
        for name, run in ways.items():
            times[name].append(milliseconds(lambda run=run, i=i: run(i)))
    standing.terminate()
    assert standing.wait(20) == 0
    with capsys.disabled():
        print(f"\none file of 1 KiB to {store}, start to exit, medians of {RUNS}:")
        for name, ms in times.items():
            print(f"  {name:18} {statistics.median(ms):6.1f} ms ({min(ms):.1f} to {max(ms):.1f})")
