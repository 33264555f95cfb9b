"""Division of the chunks: contiguous groups, one for each worker, or the queue. Every chunk takes WORK_US, and ten times that for the slow worker.

The groups: cure 4, a durable key for each group, workers that sleep for each chunk. The queue: chunklift itself with a directory as destination,
and uploaders of one slot with slow writes (a preloaded pwrite sleeps as long). Its time is from the record `begin` to the last chunk, all other
work included.
"""

import json
import os
import subprocess
from datetime import datetime

from measure import runs
from support.box import Box, check_one_record_each, preloaded, random_file, read_journal, wait_for

WORKERS, CHUNKS, WORK_US, SLOWER = 4, 120, 20_000, 10
CHUNK = 64 << 10
DIES_AT = 10  # chunks that the killed worker has done
CASES = ("equal", "one slow", "one dies")


def ideal_s(case):
    """The time without any wait, with the remaining work divided evenly at every moment."""
    rate = {"equal": WORKERS, "one slow": WORKERS - 1 + 1 / SLOWER, "one dies": WORKERS - 1}[case]
    lost = DIES_AT if case == "one dies" else 0
    return (CHUNKS - lost) / rate * WORK_US / 1e6


def in_groups(box, case, seed):
    die = (0, DIES_AT + 1, "held") if case == "one dies" else None
    a = runs.run(box, runs.way("4 key per group"), seed, marks=CHUNKS, workers=WORKERS, sync="group", work_us=WORK_US,
                 slow_worker=1 if case == "one slow" else 0, die=die)
    return {"seconds": a["seconds"], "undone": a["undone"]}


def time_of(record):
    return datetime.fromisoformat(record["ts"].replace("Z", "+00:00"))


def uploaders_known(box, consumer):
    done = box.run("status", "--json", "--consumer", consumer.endpoint, status=None, timeout=20)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return sum(1 for line in lines if "slots" in json.dumps(line))


def start_uploader(box, consumer, slow):
    us = WORK_US * SLOWER if slow else WORK_US
    return box.start("--consumer", consumer.endpoint, "--slots", 1, "--root", box.dir, "--allow", f"file://{box.dir}/", "--quiet", program="chunklift-uploader",
                     env={**preloaded("slow_writes"), "SLOW_WRITES_US": str(us)})


def chunk_records(journal):
    return [r for r in read_journal(journal) if r["ev"] == "chunk"]


def in_queue(case):
    with Box() as box:
        source = random_file(box.dir / "source", CHUNKS * CHUNK)
        consumer = runs.Consumer(box, box.dir / "run", box.journal)
        consumer.start()
        uploaders = [start_uploader(box, consumer, case == "one slow" and i == 0) for i in range(WORKERS)]
        wait_for(lambda: uploaders_known(box, consumer) >= WORKERS, what="all uploaders are known", every=0.05)
        producer = box.start("--consumer", consumer.endpoint, "--chunk-size", "64KiB", "--no-progress", source, box.dir / "out", program="chunklift-producer")
        if case == "one dies":
            name = f"{os.uname().nodename}/{uploaders[0].pid}"
            wait_for(lambda: sum(r["worker"] == name for r in chunk_records(box.journal)) >= DIES_AT, what="its chunks", every=0.005)
            uploaders[0].kill()
        try:
            assert producer.wait(60) == 0, producer.log.read_text()
        except subprocess.TimeoutExpired:
            box.describe()
            raise
        records = read_journal(box.journal)
        check_one_record_each(records)
        chunks = [r for r in records if r["ev"] == "chunk"]
        began = next(time_of(r) for r in records if r["ev"] == "begin")
        by = sorted((sum(r["worker"].endswith(f"/{u.pid}") for r in chunks) for u in uploaders), reverse=True)
        return {"seconds": (max(map(time_of, chunks)) - began).total_seconds(), "undone": CHUNKS - len(chunks), "by_worker": by}


