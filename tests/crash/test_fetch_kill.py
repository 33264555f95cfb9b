"""kill -9 of the producer or an uploader during a fetch; memory of both ends with many slow fetchers; a broken connection."""

import os
import random
import signal
import time

import pytest

from support.box import check_chain, check_one_record_each, random_file, sha256_of, wait_for
from support.site import Site, memory_kib

MIB = 1 << 20
SEED = int(os.environ.get("CHUNKLIFT_SEED", "0")) or random.randrange(1 << 32)


def half_done(box, child, chunks):
    wait_for(lambda: child.poll() is not None or len(box.records("chunk")) >= chunks // 2, 60, "half of the chunks", every=0.002)
    assert child.poll() is None, child.log.read_text()


def judge(box, source, dest):
    assert sha256_of(source) == sha256_of(dest)
    check_one_record_each(box.records())
    check_chain(box.journal)


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_the_producer_is_killed(box, tcp):
    """The same command at the same addresses resends no recorded chunk and fetches the unfinished ones from the new producer."""
    site = Site(box, tcp=tcp, lease="2s")
    site.uploader()
    source = random_file(box.dir / "src" / "f", 64 * MIB)
    child = site.producer("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    half_done(box, child, 64)
    child.kill()
    child.wait()
    recorded = len(box.records("chunk"))
    site.upload("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    judge(box, source, box.dir / "out" / "f")
    chunks = box.records("chunk")
    assert len(chunks) == 64 and recorded < 64 and {c["via"] for c in chunks} == {"fetch"}


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_an_uploader_is_killed(box, tcp):
    site = Site(box, tcp=tcp, lease="2s")
    first = site.uploader()
    source = random_file(box.dir / "src" / "f", 64 * MIB)
    child = site.producer("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    half_done(box, child, 64)
    first.kill()
    site.uploader()
    assert child.wait(60) == 0, child.log.read_text()
    judge(box, source, box.dir / "out" / "f")


@pytest.mark.fetch
@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_kills_at_random(box, tcp, capsys):
    """Producer and uploaders are killed in turn, 20 times; the file is identical at the end, with one record for each chunk."""
    rng = random.Random(SEED)
    site = Site(box, tcp=tcp, lease="1s")
    uploaders = [site.uploader(slots=3) for _ in range(2)]
    source = random_file(box.dir / "src" / "f", 1024 * MIB, seed=SEED)
    command = ["--chunk-size", "1MiB", "--retry-for", "60s", source, f"{box.dir}/out/f"]
    child, kills = site.producer(*command), {"producer": 0, "uploader": 0}
    for _ in range(20):
        time.sleep(rng.uniform(0.02, 0.6))  # any moment is valid
        if child.poll() is not None:
            break
        if rng.random() < 0.5:
            child.kill()
            child.wait()
            child = site.producer(*command)
            kills["producer"] += 1
        else:
            n = rng.randrange(2)
            uploaders[n].kill()
            uploaders[n] = site.uploader(slots=3)
            kills["uploader"] += 1
    assert child.wait(120) == 0, child.log.read_text()
    judge(box, source, box.dir / "out" / "f")
    with capsys.disabled():
        print(f"\nfetch: {sum(kills.values())} kills survived ({kills}), seed {SEED}")
    assert sum(kills.values()) >= 3


@pytest.mark.fetch
def test_a_stopped_producer_holds_nothing_up(box):
    """While the producer is stopped for longer than a lease, its jobs are given back, not failed; they are done after it continues."""
    site = Site(box, lease="1s")
    uploader = site.uploader("-v")
    source = random_file(box.dir / "src" / "f", 64 * MIB)
    child = site.producer("--chunk-size", "1MiB", source, f"{box.dir}/out/f")
    half_done(box, child, 64)
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: "given back: no bytes moved" in uploader.log.read_text(), 20, "jobs are given back")
    child.send_signal(signal.SIGCONT)
    assert child.wait(60) == 0, child.log.read_text()
    judge(box, source, box.dir / "out" / "f")
    assert not box.records("fail")


@pytest.mark.fetch
@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_memory_of_both_ends_under_many_slow_fetchers(box, tcp, capsys):
    """When twelve uploaders of 16 slots stop reading 4 MiB chunks, the memory of the producer is bounded, and it serves another uploader."""
    site = Site(box, tcp=tcp, lease="60s")
    slow = [site.uploader(slots=16) for _ in range(12)]
    source = random_file(box.dir / "src" / "f", 2048 * MIB)
    child = site.producer("--chunk-size", "4MiB", source, f"{box.dir}/out/f")
    wait_for(lambda: box.journal.joinpath("journal.jsonl").exists() and len(box.records("chunk")) > 24, 60, "all of them are at work")
    for u in slow:
        u.send_signal(signal.SIGSTOP)
    time.sleep(1)  # the producer queues data for the stopped uploaders
    before = len(box.records("chunk"))
    site.uploader(slots=4)
    wait_for(lambda: len(box.records("chunk")) >= before + 20, 60, "another one is served")
    held, peak = memory_kib(child.pid, "VmRSS"), memory_kib(child.pid)
    for u in slow:
        u.send_signal(signal.SIGCONT)
    assert child.wait(120) == 0, child.log.read_text()
    judge(box, source, box.dir / "out" / "f")
    most = max(memory_kib(u.pid) for u in slow)
    with capsys.disabled():
        print(f"\nfetch: 192 slow fetchers: producer {held >> 10} MiB, {peak >> 10} at most; an uploader with 16 slots {most >> 10} MiB at most")
    assert peak < 128 << 10 and most < 128 << 10
