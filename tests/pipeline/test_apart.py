"""Consumer, uploader and producer are started one by one, as on separate hosts."""

import json
import os
import signal

from support.box import random_file, sha256_of, wait_for

MIB = 1 << 20


def start_apart(box, source, dest):
    at = f"ipc://{box.dir}/run/consumer"
    consumer = box.start("consumer", "--journal", box.journal, "--bind", at)
    wait_for((box.journal / "consumer").exists, what="the consumer serves")
    uploader = box.start("uploader", "--consumer", at, "--root", source.parent, "--allow", f"file://{box.dir}/out/", "--slots", 2)
    producer = box.start("producer", "--consumer", at, "--chunk-size", "1MiB", source, dest)
    return consumer, uploader, producer


def test_programs_started_one_by_one(box):
    source = random_file(box.dir / "src" / "f", 20 * MIB)
    consumer, uploader, producer = start_apart(box, source, f"{box.dir}/out/f")
    assert producer.wait(30) == 0, producer.log.read_text()
    assert sha256_of(source) == sha256_of(box.dir / "out" / "f")
    for child in (uploader, consumer):
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0, child.log.read_text()
    assert box.records()[-1]["ev"] == "stop"


def stop_with_leases(box, uploader):
    """It cannot complete them. Between its last completion and its next claim, an uploader has none."""
    def holds():
        uploader.send_signal(signal.SIGSTOP)
        said = box.run("status", "--json", "--consumer", f"ipc://{box.dir}/run/consumer").stdout
        if any(line["event"] == "upload" and line["leases"] for line in map(json.loads, said.splitlines())):
            return True
        uploader.send_signal(signal.SIGCONT)
        return False
    wait_for(holds, what="the uploader stops with leases")


def test_a_stopped_consumer_lets_jobs_end_and_grants_no_others(box):
    source = random_file(box.dir / "src" / "f", 400 * MIB)
    consumer, uploader, producer = start_apart(box, source, f"{box.dir}/out/f")
    wait_for(lambda: box.journal.joinpath("journal.jsonl").exists() and len(box.records("chunk")) > 5, what="chunks are recorded")
    stop_with_leases(box, uploader)
    consumer.send_signal(signal.SIGTERM)
    wait_for(lambda: "to end; again to stop now" in consumer.log.read_text(), what="it says what it waits for")
    assert consumer.poll() is None
    uploader.send_signal(signal.SIGCONT)
    assert consumer.wait(20) == 0, consumer.log.read_text()
    records = box.records()
    assert records[-1]["ev"] == "stop" and len(records) < 400
    os.kill(producer.pid, signal.SIGKILL)
    uploader.send_signal(signal.SIGKILL)


def from_both(box, at, *command):
    """The output of a command on a journal: read through its consumer, and read from disk."""
    afar = box.run("journal", *command, "--consumer", at).stdout
    here = box.run("journal", *command, "--journal", box.journal).stdout
    return afar, here


def test_a_journal_is_read_from_afar(box):
    """show, verify and export with --consumer print the same as on disk for a journal of many files, and remove their copy."""
    at = f"ipc://{box.dir}/run/consumer"
    consumer = box.start("consumer", "--journal", box.journal, "--bind", at, "--rotate", "4KiB")
    wait_for((box.journal / "consumer").exists, what="the consumer serves")
    for n in range(4):
        random_file(box.dir / "src" / str(n), 3 * MIB + n, seed=n)
    box.cp("--quiet", "-r", "--chunk-size", "64KiB", box.dir / "src", f"{box.dir}/out/")
    assert len(list(box.journal.glob("journal.*.jsonl"))) > 3
    for command in (["show"], ["show", box.dir / "src/2"], ["show", "--json"], ["verify"], ["export"]):
        afar, here = from_both(box, at, *command)
        assert afar == here and afar.count("\n") >= 1, command
    head = box.run("journal", "verify", "--consumer", at).stdout.split("head=")[1].strip()
    assert box.run("journal", "verify", "--consumer", at, "--head", head).stdout.startswith("ok ")
    done = box.run("journal", "verify", "--consumer", at, "--head", "0" * 32, status=1)
    assert done.stderr == f"chunklift: {at}: no line has the head {'0' * 32}; lines were lost at the end, or this is another journal\n"
    assert list(box.dir.glob("chunklift-journal-*")) == []
    consumer.kill()


def test_a_journal_forgets_from_afar(box):
    at = f"ipc://{box.dir}/run/consumer"
    consumer = box.start("consumer", "--journal", box.journal, "--bind", at)
    wait_for((box.journal / "consumer").exists, what="the consumer serves")
    src, out = box.dir / "src", box.dir / "out"
    for name in ("one", "two", "three"):
        random_file(src / name, 2 * MIB, seed=name)
    box.cp("--quiet", "-r", src, f"{out}/")

    def forget(*wanted, status=0):
        return box.run("journal", "forget", "--consumer", at, *wanted, status=status)

    done = forget(out / "one", out / "nothing", status=1)
    assert done.stderr == f"chunklift: {out}/nothing: the journal knows no such upload; nothing was forgotten\n"
    done = forget(out / "one", "--json")
    assert f'"dest":"file://{out}/one"' in done.stdout
    two, = [r["upload"] for r in box.records("put") if r["src"].endswith("/two")]
    assert two in forget(two).stdout
    assert len(box.records("forget")) == 2
    again = box.cp("-r", src, f"{out}/")
    assert "2 files uploaded" in again.stderr and "1 skipped" in again.stderr
    assert box.run("journal", "verify", "--consumer", at).stdout.startswith("ok ")

    big = random_file(src / "big", 500 * MIB)  # forget needs an explicit option, and no uploader may hold a lease
    running = box.start_cp("--no-progress", "--chunk-size", "1MiB", big, out / "big")
    wait_for(lambda: len(box.records("chunk")) > 20, what="chunks are recorded")
    assert "is being uploaded; nothing was forgotten" in forget(out / "big", status=1).stderr
    running.send_signal(signal.SIGTERM)
    running.wait(30)
    wait_for(lambda: "is not finished; nothing was forgotten" in forget(out / "big", status=1).stderr, what="its producer is gone")
    forget("--unfinished", out / "big")
    assert "1 file uploaded" in box.cp("--chunk-size", "1MiB", big, out / "big").stderr
    assert sha256_of(big) == sha256_of(out / "big")
    consumer.send_signal(signal.SIGTERM)
    assert consumer.wait(20) == 0
