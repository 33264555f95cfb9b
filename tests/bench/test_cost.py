"""Time, CPU and memory of uploads, against a plain signed libcurl loop and the programs of Debian, in the same run."""

import datetime
import json
import random
import subprocess
import time

import pytest

from bench import measure
from bench.measure import CREDENTIALS, GIB, MIB
from bench.report import Section
from support.box import random_file

pytestmark = pytest.mark.bench
RUNS = 5


@pytest.fixture
def certificate(box):
    """(certificate, key) of a TLS sink."""
    key, certificate = box.dir / "key.pem", box.dir / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


def chunklift(box, url, src, *options, ca=None):
    """One upload with a new journal."""
    chunklift.runs += 1
    dest = ["-r", src, "s3://bucket/tree/"] if src.is_dir() else [src, "s3://bucket/key"]
    done = box.run("cp", "--quiet", "--journal", box.dir / f"journal-{chunklift.runs}", "--endpoint-url", url, *options, *dest,
                   env={**CREDENTIALS, **({"AWS_CA_BUNDLE": str(ca)} if ca else {})}, timeout=600)
    assert done.returncode == 0


chunklift.runs = 0


def large_section(costs, work, gib):
    base = costs["plain libcurl loop"]
    rows = {who: (gib / c.seconds, c.cpu / gib, c.cpu / base.cpu, c.mib) for who, c in costs.items()}
    return Section(work, "test_cost.py", [("GiB/s", ".2f"), ("CPU-s/GiB", ".3f"), ("× the CPU of the loop", ".2f"), ("MiB", ".0f")], rows, better="more")


@pytest.mark.parametrize("part", [8, 64])
def test_large_file(box, start_sink, say, part):
    """The loop has no checksum. A sink refuses the first wrong SHA-256 only, so each run with it has a new sink."""
    gib = 4
    src = random_file(box.dir / "src.bin", gib * GIB)
    measure.read_once(src)
    sink = start_sink("-c")
    common = ("--chunk-size", f"{part}MiB", "--uploaders", 1)
    ways = {
        "plain libcurl loop": lambda: measure.loop(sink, src, part * MIB),
        "chunklift, no checksum": lambda: chunklift(box, sink, src, *common, "--integrity", "none"),
        "chunklift, no checksum, 2 uploaders": lambda: chunklift(box, sink, src, "--chunk-size", f"{part}MiB", "--integrity", "none"),
        "chunklift, CRC32C": lambda: chunklift(box, sink, src, *common, "--integrity", "crc32c"),
    }
    if part == 8:
        ways["chunklift, SHA-256"] = lambda: chunklift(box, start_sink("-c"), src, *common, "--integrity", "sha256")
        ways |= {name: run for name, run in measure.peers(sink, src, box.dir).items() if name != "curl"}
    costs = measure.alternate(ways, RUNS)
    section = large_section(costs, f"A file of 4 GiB in parts of {part} MiB", gib)
    loop, none, two, crc = (costs[k] for k in ("plain libcurl loop", "chunklift, no checksum", "chunklift, no checksum, 2 uploaders", "chunklift, CRC32C"))
    section.verdicts = [
        (none.cpu <= 0.95 * loop.cpu, f"without a checksum {none.cpu / loop.cpu:.2f} × the CPU of the loop (required 0.95)"),
        (two.seconds <= loop.seconds / 1.15, f"without a checksum {loop.seconds / none.seconds:.2f} × its rate, with two uploaders {loop.seconds / two.seconds:.2f} × (required 1.15)"),
        (crc.cpu <= 1.15 * loop.cpu, f"with CRC32C {crc.cpu / loop.cpu:.2f} × its CPU (required 1.15)"),
        (max(none.mib, crc.mib) <= 64, f"{max(none.mib, crc.mib):.0f} MiB for all processes (required 64)"),
    ]
    if part == 8:
        beyond, sha256 = (costs["chunklift, SHA-256"].cpu - none.cpu) / gib, measure.cost_of_sha256(src, 1)
        section.verdicts.append((beyond <= sha256 + 0.1, f"SHA-256 payloads: {beyond:.2f} CPU-s/GiB beyond none; the hash with its read {sha256:.2f} (required 0.1 more at most)"))
    say(section)


def test_large_file_over_tls(box, start_sink, certificate, say):
    gib, ca = 4, certificate[0]
    src = random_file(box.dir / "src.bin", gib * GIB)
    measure.read_once(src)
    sink = start_sink("-t", *certificate).replace("http:", "https:")
    ways = {"plain libcurl loop": lambda: measure.loop(sink, src, ca=ca), "chunklift": lambda: chunklift(box, sink, src, ca=ca),
            **{name: run for name, run in measure.peers(sink, src, box.dir, ca).items() if name.startswith("AWS")}}
    costs = measure.alternate(ways, RUNS)
    section = large_section(costs, "A file of 4 GiB in parts of 8 MiB over TLS, default settings", gib)
    loop, ours = costs["plain libcurl loop"], costs["chunklift"]
    section.verdicts = [(ours.cpu <= loop.cpu, f"{ours.cpu / loop.cpu:.2f} × the CPU of the loop (required 1.0)"),
                        (ours.seconds <= loop.seconds, f"{loop.seconds / ours.seconds:.2f} × its rate (required 1.0)")]
    say(section)


# work: number, sizes, least rate and most CPU as multiples of the loop's (None: not required)
TREES = {
    "10,000 files of 4 KiB over TLS": (10_000, lambda rnd: 4096, 1.0, 1.25),
    "10,000 files of 4 KiB": (10_000, lambda rnd: 4096, 1.0, 1.25),
    "200 files of 1 MiB": (200, lambda rnd: MIB, 1 / 1.6, None),
    "2,000 files of 1 KiB to 8 MiB": (2_000, lambda rnd: int(1024 * 2 ** (13 * rnd.random() ** 2)), None, None),
}


@pytest.mark.parametrize("work", TREES)
def test_many_files(box, start_sink, certificate, say, work):
    tls = work.endswith("TLS")
    sink, ca = (start_sink("-t", *certificate).replace("http:", "https:"), certificate[0]) if tls else (start_sink(), None)
    count, size_of, least_rate, most_cpu = TREES[work]
    src, rnd = box.dir / "src", random.Random(11)
    total = 0
    for i in range(count):
        size = size_of(rnd)
        total += size
        random_file(src / f"{i:05}", size, seed=i % 50)
    ways = {"plain libcurl loop": lambda: measure.loop(sink, src, ca=ca), "chunklift": lambda: chunklift(box, sink, src, ca=ca), **measure.peers(sink, src, box.dir, ca)}
    costs = measure.alternate(ways, RUNS)
    loop, ours = costs["plain libcurl loop"], costs["chunklift"]
    section = Section(f"{work} ({total / MIB:,.0f} MiB)", "test_cost.py", [("files/s", ",.0f"), ("s", ".3f"), ("µs CPU a file", ".0f"), ("MiB", ".0f")],
                      {who: (count / c.seconds, c.seconds, c.cpu / count * 1e6, c.mib) for who, c in costs.items()}, better="more")
    if least_rate:
        section.verdicts.append((loop.seconds / ours.seconds >= least_rate, f"{loop.seconds / ours.seconds:.2f} × the rate of the loop (required {least_rate:.2f})"))
    if most_cpu:
        section.verdicts.append((ours.cpu <= most_cpu * loop.cpu, f"{ours.cpu / loop.cpu:.2f} × its CPU (required {most_cpu})"))
        section.verdicts.append((ours.mib <= 64, f"{ours.mib:.0f} MiB for all processes (required 64)"))
    section.notes.append("chunklift makes each file durable in its journal; the others keep no record.")
    say(section)


def first_upload(journal):
    """The time of the first file's record, in seconds since 1970."""
    with open(min(journal.glob("journal.[0-9]*.jsonl"), default=journal / "journal.jsonl"), encoding="utf-8") as lines:
        put = next(r for r in map(json.loads, lines) if r["ev"] == "put")
    return datetime.datetime.fromisoformat(put["ts"].replace("Z", "+00:00")).timestamp()


def test_a_million_files(box, sink, say):
    """Files of 16 bytes in one directory: the first run, and a run of the same command again."""
    count, src = 1_000_000, box.dir / "src"
    src.mkdir()
    for i in range(count):
        (src / f"{i:07}").write_bytes(b"0123456789abcdef")
    arguments = ("cp", "-r", "--journal", box.dir / "journal", "--no-progress", "--endpoint-url", sink, src, "s3://bucket/tree/")
    costs, began = {}, time.time()
    for name in ("first run", "the same again"):
        memory = measure.PeakMemory()
        memory.start()
        costs[name] = measure.cost_of(lambda: subprocess.run(box.command(*arguments), env={**box.env, **CREDENTIALS}, check=True, capture_output=True))
        memory.stop.set()
        memory.join()
        costs[name].mib = memory.kib / 1024
    first, again = costs.values()
    section = Section("1,000,000 files of 16 bytes in one directory", "test_cost.py", [("s", ".1f"), ("files/s", ",.0f"), ("µs CPU a file", ".0f"), ("MiB", ".0f")],
                      {who: (c.seconds, count / c.seconds, c.cpu / count * 1e6, c.mib) for who, c in costs.items()})
    waited = first_upload(box.dir / "journal") - began
    section.verdicts = [
        (count / first.seconds >= 15_000, f"{count / first.seconds:,.0f} files/s (required 15,000)"),
        (waited <= 1, f"the first file is recorded after {waited:.2f} s (required 1)"),
        (again.seconds <= 4, f"a run again in {again.seconds:.1f} s (required 4), without a request"),
        (max(first.mib, again.mib) <= 100, f"{max(first.mib, again.mib):.0f} MiB for all processes (required 100)"),
    ]
    section.notes.append("One run each.")
    say(section)
