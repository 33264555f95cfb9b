"""Consumer, uploader and producer started one by one, as on separate hosts."""

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


def test_a_stopped_consumer_lets_jobs_end_and_grants_no_others(box):
    source = random_file(box.dir / "src" / "f", 400 * MIB)
    consumer, uploader, producer = start_apart(box, source, f"{box.dir}/out/f")
    wait_for(lambda: box.journal.joinpath("journal.jsonl").exists() and len(box.records("chunk")) > 5, what="chunks are recorded")
    uploader.send_signal(signal.SIGSTOP)  # holds its leases and cannot complete them
    consumer.send_signal(signal.SIGTERM)
    wait_for(lambda: "to end; again to stop now" in consumer.log.read_text(), what="it says what it waits for")
    assert consumer.poll() is None
    uploader.send_signal(signal.SIGCONT)
    assert consumer.wait(20) == 0, consumer.log.read_text()
    records = box.records()
    assert records[-1]["ev"] == "stop" and len(records) < 400
    os.kill(producer.pid, signal.SIGKILL)
    uploader.send_signal(signal.SIGKILL)
