"""The journal rotates while uploads run and readers follow it: no line is lost or duplicated for any of them."""

import json
import subprocess

from support.box import check_chain, check_one_record_each, journal_lines, random_file, sha256_of, wait_for

CHUNK = "64KiB"


def start_consumer(box, *options):
    child = box.start("--journal", box.journal, "--json", *options, program="chunklift-consumer")
    wait_for(lambda: b'"listening"' in child.log.read_bytes(), what="the consumer serves")
    return child


def stop(child):
    child.terminate()
    assert child.wait(20) == 0


def sealed(box):
    return sorted(box.journal.glob("journal.[0-9]*.jsonl"))


def follow(box, name, *command):
    out = open(box.dir / f"{name}.out", "wb")
    child = subprocess.Popen(list(map(str, command)), stdout=out, stderr=subprocess.DEVNULL, env=box.env, cwd=box.dir)
    child.out = box.dir / f"{name}.out"
    return child


def test_rotation_while_uploads_run_and_are_followed(box):
    src = box.dir / "src"
    for i in range(40):
        random_file(src / f"large-{i}", 20 * 65536, seed=i)
    for i in range(200):
        random_file(src / f"small-{i}", 1000 + i, seed=1000 + i)
    consumer = start_consumer(box, "--rotate", "16KiB")
    readers = [
        follow(box, "tail-F", "tail", "-n", "+1", "-F", box.journal / "journal.jsonl"),
        follow(box, "disk", *box.command("journal", "tail", "-f", "-n", 1000000, box.journal)),
        follow(box, "remote", *box.command("journal", "tail", "-f", "-n", 1000000, "--consumer",
                                           (box.journal / "consumer").read_text().splitlines()[0])),
    ]
    wait_for(lambda: all(r.out.stat().st_size for r in readers), what="readers have the first line")
    box.cp("-r", "--chunk-size", CHUNK, src, box.dir / "dst/")
    last = list(journal_lines(box.journal))[-1]
    wait_for(lambda: last in readers[2].out.read_bytes(), what="the remote reader has what is there")
    stop(consumer)
    lines = list(journal_lines(box.journal))
    files = len(sealed(box))
    assert files >= 10
    for reader in readers[:2]:
        wait_for(lambda r=reader: lines[-1] in r.out.read_bytes(), what=f"{reader.out.name} has the last line")
    for reader in readers:
        reader.kill()
        reader.wait(10)
    assert readers[1].out.read_bytes().split(b"\n")[:-1] == lines, "journal tail -f"
    assert readers[2].out.read_bytes().split(b"\n")[:-1] == lines[: readers[2].out.read_bytes().count(b"\n")], "journal tail -f --consumer"
    followed = [json.loads(line)["seq"] for line in readers[0].out.read_bytes().split(b"\n")[:-1]]
    assert followed == sorted(set(followed)), "tail -F: a line twice or out of order"
    missing = len(lines) - len(followed)  # tail polls once a second, so it may miss whole files
    check_chain(box.journal)
    check_one_record_each(box.records())
    assert box.run("journal", "verify", box.journal).stdout.startswith(f"ok seq={len(lines)} ")
    for file in src.iterdir():
        assert sha256_of(file) == sha256_of(box.dir / "dst" / file.name)
    print(f"\n{files} rotations, {len(lines)} lines; missed by tail -F: {missing}, by journal tail -f: 0")


def test_a_consumer_killed_in_rotation_after_rotation_goes_on(box):
    """A consumer killed during rotations, while a child writes snapshots, starts from any files left in the directory."""
    src = random_file(box.dir / "src.bin", 400 * 65536)
    for _ in range(6):
        consumer = start_consumer(box, "--rotate", "8KiB", "--lease", "1s")
        files = len(sealed(box))
        cp = box.start_cp("--chunk-size", CHUNK, "--quiet", src, box.dir / "dst.bin")
        wait_for(lambda before=files, c=cp: len(sealed(box)) > before + 1 or c.poll() is not None, what="two rotations, or the end")
        box.kill_all()
        consumer.wait(10)
        cp.wait(10)
        box.gone()
    box.cp("--chunk-size", CHUNK, src, box.dir / "dst.bin", timeout=60)
    assert sha256_of(src) == sha256_of(box.dir / "dst.bin")
    check_chain(box.journal)
    check_one_record_each(box.records())
    box.run("journal", "verify", box.journal)
