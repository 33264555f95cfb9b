"""With few descriptors or small file size limits, a program logs its requirement at the start, or does all of its work."""

import os
import re
import resource

import pytest

from support.box import preloaded, random_file, sha256_of, wait_for

MIB = 1 << 20
NEEDED = re.compile(r"the limit of open files is (\d+), and at least (\d+) are needed")


def limited(kind, soft, hard=None):
    return lambda: resource.setrlimit(kind, (soft, hard or soft))


def sources(box, files=300):
    src = box.dir / "src"
    if not src.exists():
        for n in range(files):
            random_file(src / f"d{n % 7}" / f"f{n}", 10 + n, seed=n)
        random_file(src / "big", 12 * MIB)
    return src


def copy_with(box, limit, *more, hard=None):
    """The exit status, 0 or 3, and the number of descriptors that cp requires."""
    src, out = sources(box), box.dir / f"out-{limit}-{hard}"
    done = box.run("cp", "--journal", box.dir / f"journal-{limit}-{hard}", "--no-progress", "--chunk-size", "1MiB", *more, "-r", src, f"{out}/",
                   status=None, preexec_fn=limited(resource.RLIMIT_NOFILE, limit, hard))
    assert "CHECK(" not in done.stderr and "signal" not in done.stderr and "failed" not in done.stderr.replace(", 0 failed in ", ""), done.stderr
    assert done.returncode in (0, 3), done.stderr
    if done.returncode == 3:
        said = [line for line in done.stderr.splitlines() if line.startswith("chunklift: ")]
        needed = NEEDED.search(said[0])
        assert len(said) == 1 and needed, done.stderr
        assert int(needed[1]) <= limit < int(needed[2]), said
        return 3, int(needed[2])
    for path in src.rglob("*"):
        assert path.is_dir() or sha256_of(path) == sha256_of(out / path.relative_to(src)), path
    return 0, 0


@pytest.mark.parametrize("limits", [(16, 28, 48), pytest.param(range(16, 65), marks=pytest.mark.crash)], ids=["few", "all"])
def test_all_files_arrive_or_none_is_begun(box, limits):
    ends = {limit: copy_with(box, limit) for limit in limits}
    print("descriptors: " + ", ".join(f"{limit} → {status}" for limit, (status, _) in ends.items()))
    assert [status for status, _ in ends.values()] == sorted((status for status, _ in ends.values()), reverse=True)
    needed = ends[16][1]
    assert 16 < needed <= 48
    for run in ("first", "second"):  # the second one finds a journal directory
        assert copy_with(box, needed)[0] == 0, f"what it asks for is not enough for the {run} run"


def test_more_transfers_than_descriptors(box):
    assert copy_with(box, 48, "--slots", "200", "--uploaders", "3") == (0, 0)


def test_the_soft_limit_is_raised(box):
    assert copy_with(box, 16, hard=64) == (0, 0)


@pytest.mark.parametrize("program, args", [("chunklift-consumer", ()), ("chunklift-uploader", ("--allow", "file:///tmp/"))])
def test_each_program_says_what_it_needs(box, program, args):
    done = box.run("--journal", box.journal, *args, program=program, status=3, preexec_fn=limited(resource.RLIMIT_NOFILE, 20))
    assert NEEDED.search(done.stderr) and done.stderr.count("\n") == 1, done.stderr


def test_an_open_without_a_descriptor_is_tried_again(box):
    """No file fails when every seventh open of an uploader finds no free descriptor."""
    src, out = box.dir / "src", box.dir / "out"
    for n in range(25):
        random_file(src / f"f{n}", 100 + n, seed=n)
    random_file(src / "big", 3 * MIB)
    consumer, jobs = (f"ipc://{box.dir}/run/{name}" for name in ("consumer", "jobs"))
    child = box.start("--journal", box.journal, "--bind", consumer, program="chunklift-consumer")
    wait_for(lambda: "serving" in child.log.read_text(), what="a consumer that serves")
    box.start("--consumer", consumer, "--jobs", jobs, "--root", src, "--allow", f"file://{out}/", program="chunklift-uploader",
              env={**preloaded("few_files"), "FEW_FILES": "7"})
    box.run("--consumer", consumer, "--jobs", jobs, "--chunk-size", "1MiB", "-r", src, f"{out}/", program="chunklift-producer")
    for path in src.iterdir():
        assert sha256_of(path) == sha256_of(out / path.name), path


def test_a_file_that_may_not_be_so_large_fails_by_name(box):
    for name, size in (("big", 3 * MIB), ("put", MIB + 1), ("small", MIB)):
        random_file(box.dir / "src" / name, size)
    done = box.cp("--no-progress", "--chunk-size", "2MiB", "-r", box.dir / "src", f"{box.dir}/out/", status=1,
                  preexec_fn=limited(resource.RLIMIT_FSIZE, MIB))
    for name in ("big", "put"):
        assert re.search(f"/src/{name}: .*File too large", done.stderr), done.stderr
    assert sha256_of(box.dir / "out" / "small") == sha256_of(box.dir / "src" / "small")
    assert "signal" not in done.stderr, done.stderr


def test_a_journal_that_may_not_be_so_large(box):
    for n in range(60):
        random_file(box.dir / "src" / f"f{n}", 100, seed=n)
    done = box.cp("--no-progress", "-r", box.dir / "src", f"{box.dir}/out/", status=3, preexec_fn=limited(resource.RLIMIT_FSIZE, 16384), timeout=40)
    said = [line for line in done.stderr.splitlines() if line.startswith("chunklift: ")]
    assert len(said) == 1 and "File too large" in said[0] and "journal.jsonl" in said[0], done.stderr
    os.truncate(box.journal / "consumer.log", 0)
    box.cp("--quiet", "-r", box.dir / "src", f"{box.dir}/out/")
    assert len(list((box.dir / "out").iterdir())) == 60
