"""The journal of real runs is damaged while no program runs; the test checks the behaviour of `chunklift consumer` and `journal verify`.

tests/unit/consumer/journal/journal_damage_test.c tries every position and every kind of damage in process. These tests give the programs a sample,
and independent code reads the lines that a start keeps.
"""

import json
import os
import random
import re
import shutil
import signal

import pytest

from support.box import check_chain, journal_lines, random_file, wait_for

MIB = 1 << 20
SAMPLE = 16
TALLY = {}


@pytest.fixture(scope="module", autouse=True)
def tally():
    yield
    print("\ndamage: " + ", ".join(f"{n} {what}" for what, n in sorted(TALLY.items())))


def count(what):
    TALLY[what] = TALLY.get(what, 0) + 1


def a_journal(box):
    """Uploads in chunks and in one request, a failed one, one killed half-way, two epochs."""
    for n in range(12):
        random_file(box.dir / "src" / f"small-{n}", 100 + n, seed=n)
    random_file(box.dir / "src" / "big", 20 * MIB, seed="big")
    box.cp("--quiet", "-r", "--chunk-size", "1MiB", box.dir / "src", f"{box.dir}/out/")
    box.gone()
    half = random_file(box.dir / "half", 300 * MIB, seed="half")
    child = box.start_cp("--no-progress", "--chunk-size", "4MiB", half, f"{box.dir}/out/")
    wait_for(lambda: child.poll() is not None or sum(b'"ev":"chunk"' in line for line in journal_lines(box.journal)) > 30, 60, "some chunks", every=0.005)
    box.kill_all()
    child.wait()
    check_chain(box.journal)


def consumer_starts(box, directory):
    """Starts a consumer on the directory and stops it at once. Returns None, or the message of its refusal."""
    child = box.start("--journal", directory, "--bind", f"ipc://{box.dir}/run/c.sock", program="chunklift-consumer")
    wait_for(lambda: child.poll() is not None or "serving" in child.log.read_text(errors="replace"), 30, "a consumer that serves or ends", every=0.005)
    if child.poll() is not None:
        assert child.returncode == 3, child.log.read_text()
        return child.log.read_text(errors="replace")
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0, child.log.read_text(errors="replace")
    return None


def files_of(directory):
    return {p.name: p.read_bytes() for p in directory.iterdir() if re.match(r"journal\..*jsonl|torn-", p.name)}


def whole_lines(data, original):
    """Number of original lines in data, from the first."""
    n = 0
    for have, want in zip(data.split(b"\n")[:-1], original):
        if have != want:
            break
        n += 1
    return n


def judged(box, directory, original, damaged):
    """Replaces the journal's active file by `damaged`: a start keeps exactly the lines before the damage, or refuses."""
    active = directory / "journal.jsonl"
    active.write_bytes(damaged)
    good = whole_lines(damaged, original)
    verify = box.run("journal", "verify", directory, status=None)
    refused = consumer_starts(box, directory)
    TALLY["positions damaged"] = TALLY.get("positions damaged", 0) + 1
    if refused:
        count("starts refused")
        assert f"{active}:{good + 1}: " in refused, refused
        assert active.read_bytes() == damaged and not list(directory.glob("torn-*"))
        assert verify.returncode == 1 and f"{active}:" in verify.stderr
        batches = [json.loads(line)["batch"] for line in original]
        assert batches[good] < batches[-1], "refused although only the last batch is damaged"
        return
    count("starts that kept the valid prefix")
    now = active.read_bytes().split(b"\n")[:-1]
    assert now[:good] == original[:good]
    fresh = [json.loads(line) for line in now[good:]]
    assert [r["ev"] for r in fresh] in (["epoch", "stop"], ["epoch"]), fresh
    check_chain(directory)
    torn = b"".join(p.read_bytes() for p in directory.glob("torn-*"))
    kept = b"".join(line + b"\n" for line in original[:good])
    assert kept + torn == damaged
    box.run("journal", "verify", directory)


def test_a_sample_of_damage_end_to_end(box):
    seed = int(os.environ.get("CHUNKLIFT_SEED", "1"))
    print(f"CHUNKLIFT_SEED={seed}")
    rng = random.Random(seed)
    a_journal(box)
    data = (box.journal / "journal.jsonl").read_bytes()
    original = data.split(b"\n")[:-1]
    last = data.rfind(b'\n{"seq":', 0, data.rfind(b'"batch":%d,' % json.loads(original[-1])["batch"])) + 1
    for n in range(SAMPLE):
        directory = box.dir / f"damaged-{n}"
        directory.mkdir()
        at = rng.randrange(last, len(data)) if n % 3 == 0 else rng.randrange(len(data))
        byte = data[at]
        damaged = {0: data[:at], 1: data[:at] + bytes([byte ^ 1]) + data[at + 1:], 2: data[:at] + bytes([byte ^ 0x80]) + data[at + 1:],
                   3: data[:at] + b"\0" + data[at + 1:]}[rng.randrange(4)]
        judged(box, directory, original, damaged)
        shutil.rmtree(directory)


def test_verify_finds_lines_removed_reordered_doubled_and_edited(box):
    a_journal(box)
    active = box.journal / "journal.jsonl"
    original = active.read_bytes().split(b"\n")[:-1]
    head = json.loads(original[-1])["h"]
    box.run("journal", "verify", "--head", head, box.journal)

    def found(lines, what):
        active.write_bytes(b"".join(line + b"\n" for line in lines))
        done = box.run("journal", "verify", "--json", "--head", head, box.journal, status=1)
        said = json.loads(done.stdout)
        assert said["result"] == "damaged" and said["error"], what
        assert done.stderr.startswith(f"chunklift: {box.journal}") and done.stderr.count("\n") == 1, done.stderr
        count("edits found by verify")
        return said

    step = max(1, len(original) // 15)
    for n in range(0, len(original), step):
        line = found(original[:n] + original[n + 1:], "removed")
        assert n == len(original) - 1 or line["line"] == n + 1
        assert found(original[: n + 1] + original[n:], "doubled")["line"] == n + 2
        if n + 1 < len(original):
            assert found(original[:n] + [original[n + 1], original[n]] + original[n + 2:], "exchanged")["line"] == n + 1
        assert found(original[:n] + [original[n].replace(b'"ts":"2', b'"ts":"3', 1)] + original[n + 1:], "edited")["line"] == n + 1
    for lost in (1, 2, 5):  # no line follows them: only the head shows the loss
        active.write_bytes(b"".join(line + b"\n" for line in original[:-lost]))
        box.run("journal", "verify", "--quiet", box.journal)
        assert "no line has the head" in box.run("journal", "verify", "--head", head, box.journal, status=1).stderr


def test_a_lost_journal_is_not_begun_anew_in_silence(box):
    """When a snapshot exists, an emptied or lost journal is refused, and no file changes."""
    random_file(box.dir / "src" / "a", 1000)
    box.cp("--quiet", box.dir / "src" / "a", f"{box.dir}/out/")
    box.gone()
    assert (box.journal / "snapshot").exists()
    for how in ("emptied", "removed"):
        if how == "emptied":
            (box.journal / "journal.jsonl").write_bytes(b"")
        else:
            (box.journal / "journal.jsonl").unlink()
        before = files_of(box.journal)
        said = consumer_starts(box, box.journal)
        assert said and f"move {box.journal}/snapshot away to begin a new journal" in said, said
        assert files_of(box.journal) == before
        done = box.cp("--quiet", box.dir / "src" / "a", f"{box.dir}/out/", status=3)
        assert "journal" in done.stderr
        box.gone()
        count("lost journals refused")
    os.rename(box.journal / "snapshot", box.dir / "snapshot")
    box.cp("--quiet", box.dir / "src" / "a", f"{box.dir}/out/")
    assert check_chain(box.journal) > 1


def uploads_shown(box, directory):
    return sorted(box.run("journal", "show", "--json", directory).stdout.splitlines())


def planned(box, directory):
    """Number of files that a run skips as uploaded, according to the state."""
    done = box.run("cp", "--journal", directory, "-r", box.dir / "src", f"{box.dir}/out/")
    box.gone()
    return re.search(r"(\d+) skipped", done.stderr).group(1)


@pytest.mark.parametrize("what", ["stale", "damaged", "truncated", "of another journal", "ahead", "none"])
def test_a_snapshot_is_never_trusted(box, what):
    for n in range(5):
        random_file(box.dir / "src" / f"f{n}", 2000 + n, seed=n)
    box.cp("--quiet", "-r", box.dir / "src", f"{box.dir}/out/")
    box.gone()
    snapshot = box.journal / "snapshot"
    early = snapshot.read_bytes()
    for n in range(5, 9):
        random_file(box.dir / "src" / f"f{n}", 2000 + n, seed=n)
    box.cp("--quiet", "-r", box.dir / "src", f"{box.dir}/out/")
    box.gone()
    good = snapshot.read_bytes()
    assert early != good
    if what == "stale":
        snapshot.write_bytes(early)
    elif what == "damaged":
        snapshot.write_bytes(good[:-40] + bytes([good[-40] ^ 4]) + good[-39:])
    elif what == "truncated":
        snapshot.write_bytes(good[: len(good) // 2])
    elif what == "of another journal":
        random_file(box.dir / "elsewhere" / "x", 10)
        box.run("cp", "--quiet", "--journal", box.dir / "other", box.dir / "elsewhere" / "x", f"{box.dir}/out-other/")
        box.gone()
        snapshot.write_bytes((box.dir / "other" / "snapshot").read_bytes())
    elif what == "ahead":  # the journal has lost the lines of the second run
        lines = (box.journal / "journal.jsonl").read_bytes().splitlines(keepends=True)
        cut = next(i for i, line in enumerate(lines) if b'"ev":"stop"' in line)
        (box.journal / "journal.jsonl").write_bytes(b"".join(lines[: cut + 1]))
    else:
        snapshot.unlink()
    expected = "5" if what == "ahead" else "9"
    assert planned(box, box.journal) == expected
    count("snapshots not trusted")
    check_chain(box.journal)
