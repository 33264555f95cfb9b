"""A failed run leaves nothing at a store, or an upload that the same command resumes."""

import pytest

from support.box import random_file, wait_for
from support.gate import Gate

MIB = 1 << 20
SIZE = 11 * MIB + 5


@pytest.fixture
def shop(box, rgw):
    return Shop(box, rgw)


class Shop:
    """One source, one key, a store behind a gate."""

    def __init__(self, box, rgw):
        self.box, self.rgw, self.key = box, rgw, f"left/{box.mark}"
        self.src = random_file(box.dir / "f", SIZE)
        self.asked = []

    def cp(self, gate, *args, status=0):
        """Runs cp through the gate; the gate decides the moment of each failure."""
        return self.box.cp("--endpoint-url", gate.endpoint, "--uploaders", "1", "--slots", "2", *(args or ("--chunk-size", "5MiB")), self.src,
                           f"s3://bucket/{self.key}", env=self.rgw.env, status=status)

    def open(self):
        return [u["UploadId"] for u in self.rgw.open_uploads("bucket") if u["Key"].startswith(self.key)]

    def refusing(self, what):
        """A gate that asks the callback for a refusal of each request, and otherwise passes it to the store."""
        def moment(request):
            if request.stage == "head":
                self.asked.append(request.kind)
                return what(request)
            return None
        return Gate(self.rgw.port, moment)

    def ends(self):
        return [(r["ev"], r.get("class") or r.get("reason")) for r in self.box.records() if r["ev"] in ("fail", "abort", "finish")]


def test_parts_that_are_too_small_for_the_store(shop):
    """An upload with parts too small for the store is aborted before the next run with a corrected chunk size."""
    parts = {}

    def what(request):
        if request.kind == "chunk" and request.part == 1:
            parts[request.query["uploadId"][0]] = request.length
        return (400, "EntityTooSmall") if request.kind == "finish" and parts[request.query["uploadId"][0]] < 6 * MIB else None

    with shop.refusing(what) as gate:
        assert "EntityTooSmall" in shop.cp(gate, status=1).stderr
        assert shop.open() == []
        shop.cp(gate, "--chunk-size", "6MiB")
    assert shop.ends() == [("fail", "request"), ("abort", "dropped"), ("finish", None)]
    assert [r["chunk_size"] for r in shop.box.records("begin")] == [5 * MIB, 6 * MIB]
    assert shop.open() == []


def test_a_part_that_the_store_refuses_for_good(shop):
    with shop.refusing(lambda r: (413, "EntityTooLarge") if r.kind == "chunk" and r.part > 1 else None) as gate:
        shop.cp(gate, status=1)
    assert shop.ends()[0] == ("fail", "request") and shop.ends()[-1] == ("abort", "dropped")
    assert shop.open() == []


@pytest.mark.parametrize("args, begins", [(("--no-progress",), 1), (("--chunk-size", "5MiB"), 1), (("--chunk-size", "6MiB"), 2), (("--chunk-size", "5MiB", "--force"), 2)])
def test_a_failure_that_can_pass_keeps_what_was_sent(shop, args, begins):
    """The same command resumes the upload; another chunk size, or --force, aborts it and starts a new one."""
    refuse = [True]
    with shop.refusing(lambda r: (403, "AccessDenied") if refuse and r.kind == "chunk" and r.part == 3 else None) as gate:
        shop.cp(gate, status=1)
        assert len(shop.open()) == 1
        refuse.clear()
        shop.cp(gate, *args)
    assert len(shop.box.records("begin")) == begins
    assert shop.open() == []


def test_a_store_that_denies_to_know_an_upload(shop):
    """Each upload that the store falsely denies to know is given up and aborted."""
    with shop.refusing(lambda r: (404, "NoSuchUpload") if r.kind == "chunk" and r.part == 2 else None) as gate:
        shop.cp(gate, status=1)
    assert shop.asked.count("begin") == 4 and shop.asked.count("abort") >= 4
    assert shop.open() == []


def test_a_lost_reply_creates_no_second_upload(shop):
    """A lost reply to CreateMultipartUpload on a kept connection, which an HTTP library would resend, creates no second upload."""
    for name in "ab":
        random_file(shop.box.dir / "tree" / name, SIZE)
    replies = []

    def moment(request):
        if request.stage == "head":
            shop.asked.append(request.kind)
        if request.kind == "begin" and request.stage == "reply":
            replies.append(request)
            if len(replies) == 2:
                raise ConnectionError("lost")

    with Gate(shop.rgw.port, moment) as gate:
        shop.box.cp("--endpoint-url", gate.endpoint, "--uploaders", "1", "--slots", "1", "-r", shop.box.dir / "tree", f"s3://bucket/{shop.key}/",
                    env=shop.rgw.env)
    assert shop.asked.count("begin") == 2, shop.asked  # the created upload is found and adopted
    assert shop.open() == []


def forget(shop, *args, status=0, env=None):
    return shop.box.run("journal", "forget", "--unfinished", "--journal", shop.box.journal, *args, f"s3://bucket/{shop.key}",
                        env=shop.rgw.env if env is None else env, status=status)


def unfinished(shop):
    """An upload at the store that failed and can be resumed."""
    with shop.refusing(lambda r: (403, "AccessDenied") if r.kind == "chunk" and r.part == 3 else None) as gate:
        shop.cp(gate, status=1)
    upload, = shop.open()
    return upload


def test_what_is_forgotten_is_aborted(shop):
    """A forgotten upload is aborted when the source is gone and the store has another name: the journal has its address."""
    box = shop.box
    with Gate(shop.rgw.port, lambda r: (403, "AccessDenied") if r.stage == "head" and refuse and r.kind in refuse else None) as gate:
        refuse = {"chunk"}
        shop.cp(gate, status=1)
        shop.src.unlink()
        assert len(shop.open()) == 1
        assert "--region" not in forget(shop, status=2, env={"AWS_PROFILE": ""}).stderr  # no credentials: exit 2, and nothing changed
        refuse = {"abort"}
        assert "cannot be aborted: 403 AccessDenied" in forget(shop, status=1).stderr
        assert len(shop.open()) == 1
        refuse = set()
        done = forget(shop, "--json")
    assert f'"event":"aborted","upload":"{box.records("open")[0]["upload"]}"' in done.stdout
    assert shop.open() == []
    assert box.records("abort")[-1]["reason"] == "dropped"
    assert "the journal knows no such upload" in forget(shop, status=1).stderr


def test_parts_are_kept_when_that_is_said(shop):
    upload = unfinished(shop)
    assert "forgotten: " in forget(shop, "--keep-parts").stdout
    assert shop.open() == [upload]
    assert len(shop.box.records("forget")) == 1


def test_finished_and_unfinished_are_forgotten_together(box):
    """One forget removes a finished file and a newer unfinished one of the same destination."""
    src, out = box.dir / "src", box.dir / "out" / "it"
    random_file(src, 3 * MIB)
    box.cp(src, out)
    random_file(src, 3 * MIB, seed=2)
    running = box.start_cp("--no-progress", "--bwlimit", "512KiB", "--chunk-size", "64KiB", src, out)
    wait_for(lambda: box.records("chunk"), what="a chunk is recorded")
    assert "is being uploaded" in box.run("journal", "forget", "--unfinished", "--journal", box.journal, out, status=1).stderr
    box.kill_all()
    running.wait()
    done = box.run("journal", "forget", "--unfinished", "--journal", box.journal, out)
    assert "aborted: " in done.stdout and "forgotten: " in done.stdout
    assert [p.name for p in out.parent.iterdir()] == ["it"]
    assert "1 file uploaded" in box.cp(src, out).stderr
