"""--slots auto: the number of transfers follows the store, and `status` says why."""

import json

from bench.conftest import start_sink  # noqa: F401  (a fixture)
from support.box import random_file, wait_for


def uploaders(box):
    out = box.run("status", "--journal", box.journal, "--json", status=None).stdout
    return [line for line in map(json.loads, out.splitlines()) if line["event"] == "uploader"]


def test_a_slow_store_gets_more_transfers_and_a_given_number_stays(box, start_sink):  # noqa: F811
    for i in range(600):
        random_file(box.dir / "tree" / f"{i:03}", 10)
    cp = box.start("cp", "-r", "--quiet", "--journal", box.journal, "--uploaders", "1", "--endpoint-url", start_sink("-d", "500"), box.dir / "tree",
                   "s3://bucket/", env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    grown = wait_for(lambda: [u for u in uploaders(box) if u["slots"] > 16], what="more slots than for a near store")
    assert grown[0]["slots_why"] in ("reply", "most"), grown
    box.run("set", "--journal", box.journal, "--slots", "3")
    wait_for(lambda: [u for u in uploaders(box) if u["slots"] == 3 and u["slots_why"] == "given"], what="the number that was set")
    box.run("set", "--journal", box.journal, "--slots", "0")
    wait_for(lambda: [u for u in uploaders(box) if u["slots"] > 16], what="auto again")
    assert cp.wait(60) == 0, cp.log.read_text()
    assert len(box.records("put")) == 600
