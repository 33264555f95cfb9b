"""Retried and failed operations are shown with their cause, during the outage and afterwards."""

import json
import re

from support.box import free_port, random_file, wait_for


def lines(box):
    out = box.run("status", "--journal", box.journal, "--json", status=None).stdout
    return [json.loads(line) for line in out.splitlines()]


def test_an_outage_is_named_and_its_failures_are_grouped(box):
    url = f"http://127.0.0.1:{free_port()}"  # nothing listens there
    for i in range(15):
        random_file(box.dir / "tree" / f"{i:02}", 10)
    cp = box.start("cp", "-r", "--journal", box.journal, "--endpoint-url", url, "--retry-for", "6s", "--slots", "4", box.dir / "tree", "s3://bucket/",
                   env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    wait_for(lambda: any(w.get("outage_ms", 0) >= 2000 for w in lines(box)), what="status knows of the outage")
    said = box.run("status", "--journal", box.journal).stdout
    assert re.search(f"^retrying  .*: {url}: .*; for ", said, re.M), said
    wait_for(lambda: re.search(f"^{url}: .*; retried for ", cp.log.read_text(), re.M), what="the progress lines name it")
    assert cp.wait(60) == 3  # no connection to the endpoint succeeded
    said = box.run("status", "--journal", box.journal).stdout
    counts = re.findall(r"^failed    (\d+) uploads in all: (?:outage|unreachable)$", said, re.M)
    total = int(re.search(r" unfinished, (\d+) failed", said)[1])
    assert counts and sum(map(int, counts)) + said.count(" → ") - 2 * len(counts) == total and said.count(" → ") <= 4, said
    failed = [line for line in lines(box) if line.get("class") in ("outage", "unreachable")]
    assert len(failed) == total and all("no success for 6 s" in line["error"] or "cannot connect" in line["error"] for line in failed)
