"""Many uploaders that move no bytes (tests/bench/swarm.c, the real protocol) on one real consumer and a real disk."""

import resource
import subprocess
from pathlib import Path

import pytest

from fair.site import Site
from support.box import BUILD, check_chain


def swarm(site, **options):
    """The swarm's figures and the consumer's memory and CPU time: {name: number}."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    done = subprocess.run([BUILD / "bench" / "swarm", site.at, *(f"{k}={v}" for k, v in options.items())], capture_output=True, text=True, timeout=120,
                          env=site.box.env)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {k: float(v) for k, v in (word.split("=") for word in done.stdout.split())}
    proc = Path(f"/proc/{site.consumer.pid}")
    said["peak_mib"] = next(int(line.split()[1]) for line in (proc / "status").read_text().splitlines() if line.startswith("VmHWM")) / 1024
    said["cpu_s"] = sum(map(int, (proc / "stat").read_text().rsplit(")", 1)[1].split()[11:13])) / 100
    return said


def check_records(site, uploads, chunks):
    """Every chunk of every upload has one record, and every upload is finished."""
    records = site.records()
    have = {(r["upload"], r["chunk"]) for r in records if r["ev"] == "chunk"}
    assert sum(r["ev"] == "chunk" for r in records) == len(have) == uploads * chunks
    assert sum(r["ev"] == "finish" for r in records) == uploads
    check_chain(site.box.journal)


def test_two_hundred_uploaders(box):
    site = Site(box)
    said = swarm(site, processes=2, uploaders=100, files=4, chunks=1000)
    check_records(site, 8, 1000)
    assert said["refused"] == 0
    site.end()
    print(f"200 uploaders: {said['chunks']:.0f} chunks at {said['rate']:.0f} a second, consumer at most {said['peak_mib']:.0f} MiB")


@pytest.mark.bench
@pytest.mark.parametrize("rate, target", [(33_000, True), (0, False)], ids=["paced", "as-fast-as-it-goes"])
def test_a_thousand_uploaders(box, capsys, rate, target):
    """A thousand uploaders, on two cores shared with the consumer, reach the target rate and latency on TMPDIR's disk (printed, not asserted)."""
    site = Site(box)
    said = swarm(site, processes=4, uploaders=250, files=8, chunks=10_000, rate=rate, ahead=8 if rate else 4)
    site.end()
    with capsys.disabled():
        print(f"\n1,000 uploaders, 320,000 chunks, {f'{rate:,} begun a second' if rate else 'as fast as they are answered'}: "
              f"{said['rate']:,.0f} recorded a second; COMPLETE to ACK: median {said['p50_ms']:.1f} ms, 99 % within {said['p99_ms']:.1f} ms, longest "
              f"{said['max_ms']:.0f} ms; consumer {said['cpu_s']:.1f} s CPU, at most {said['peak_mib']:.0f} MiB")
        if target:
            for what, met in (("at least 30,000 chunk jobs a second", said["rate"] >= 30_000), ("99 % within 50 ms", said["p99_ms"] < 50)):
                print(f"  {'met' if met else 'NOT MET':8}{what}")
