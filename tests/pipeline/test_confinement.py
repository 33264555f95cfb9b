"""An uploader never reads outside its roots, writes outside its permitted directories, or shows its credentials. (Offers of unknown peers:
strangers/test_peers.py. Every form of a path: unit tests source_test, file_path_test.)"""

import os
import re
import resource
import signal

import pytest
from support.box import random_file, wait_for

MIB = 1 << 20


class Apart:
    """Consumer, producer and uploader as separate programs. The producer does not check the request; the uploader refuses it."""

    def __init__(self, box, *roots, slots=2):
        self.box, self.at, self.out = box, f"ipc://{box.dir}/run/consumer", box.dir / "out"
        self.out.mkdir(exist_ok=True)
        box.start("consumer", "--journal", box.journal, "--bind", self.at)
        wait_for((box.journal / "consumer").exists, what="the consumer serves")
        root_args = [a for r in roots for a in ("--root", r)]
        self.uploader = box.start("uploader", "--consumer", self.at, *root_args, "--allow", f"file://{self.out}/", "--slots", slots)

    def produce(self, *args):
        return self.box.start("producer", "--consumer", self.at, "--no-progress", "--chunk-size", "8MiB", "--retry-for", "1s", *args)

    def refused(self, source, dest, why):
        """The producer exits with 1 after one line with the file and the reason; no new file is in out."""
        before = sorted(self.out.rglob("*"))
        child = self.produce(source, dest)
        assert child.wait(30) == 1, child.log.read_text()
        lines = [line for line in child.log.read_text().splitlines() if line.startswith(f"chunklift: {source}: ")]
        assert lines and re.search(why, lines[-1]), child.log.read_text()
        assert sorted(self.out.rglob("*")) == before
        assert self.box.records("chunk") + self.box.records("put") == []


def test_files_outside_the_roots_are_not_opened(box):
    """A file outside the roots comes from the producer if the producer may read it, and fails otherwise."""
    src = box.dir / "src"
    inside = random_file(src / "inside", 1000)
    outside = random_file(box.dir / "private", 1000, seed=2)
    beside = random_file(box.dir / "src2/f", 1000, seed=3)  # the path of the root is a prefix of this path, as text only
    os.symlink(outside, src / "link")
    apart = Apart(box, src)
    paths = [outside, beside, src / "link", inside]
    for i, path in enumerate(paths):
        child = apart.produce(path, apart.out / str(i))
        assert child.wait(30) == 0, child.log.read_text()
        assert (apart.out / str(i)).read_bytes() == path.read_bytes()
    assert [r.get("via") for r in box.records("put")] == ["fetch", "fetch", "fetch", None]


def test_destinations_that_are_not_allowed(box):
    src = random_file(box.dir / "src/f", 1000)
    apart = Apart(box, box.dir / "src")
    os.symlink(box.dir, apart.out / "up")
    for dest in (box.dir / "elsewhere", box.dir / "outer", "s3://bucket/key", apart.out / "up/elsewhere"):
        apart.refused(src, dest, "not under an --allow|leads out of the allowed directory")
    assert not (box.dir / "elsewhere").exists() and not (box.dir / "outer").exists()


def test_a_link_out_of_the_root_swapped_in_while_it_is_uploaded(box):
    """The uploader does not follow a directory replaced by a symlink out of the root, even to a hard link with equal inode, size and times."""
    size = 300 * MIB
    src, other = box.dir / "src", box.dir / "other"
    file = random_file(src / "dir/f", size)
    other.mkdir()
    os.link(file, other / "f")
    apart = Apart(box, src, slots=1)
    child = apart.produce(file, apart.out / "f")
    wait_for(lambda: len(box.records("chunk")) > 2, what="chunks are recorded")
    apart.uploader.send_signal(signal.SIGSTOP)
    os.rename(src / "dir", box.dir / "moved")
    os.symlink(other, src / "dir")
    apart.uploader.send_signal(signal.SIGCONT)
    assert child.wait(60) == 1, child.log.read_text()
    assert not (apart.out / "f").exists()
    assert len(box.records("chunk")) < size // (8 * MIB) and box.records("finish") == []
    line, = [x for x in child.log.read_text().splitlines() if x.startswith(f"chunklift: {file}: ")]
    assert re.search("outside|leads out|cannot be read|changed", line), line


def test_no_core_of_an_uploader(box):
    """A crashed uploader leaves no core dump, because it holds credentials."""
    apart = Apart(box, box.dir)
    wait_for(lambda: resource.prlimit(apart.uploader.pid, resource.RLIMIT_CORE) == (0, 0), what="core files are off")


@pytest.mark.parametrize("how", ["file", "environment"])
def test_credentials_are_in_no_process_title(box, rgw, how):
    src = random_file(box.dir / "f", 9 * MIB)
    env = dict(rgw.env)
    if how == "file":
        (box.dir / "home" / ".aws").mkdir()
        keys = env.pop("AWS_ACCESS_KEY_ID"), env.pop("AWS_SECRET_ACCESS_KEY")
        (box.dir / "home" / ".aws" / "credentials").write_text("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n" % keys)
    child = box.start_cp("--no-progress", "--endpoint-url", rgw.endpoint, src, f"s3://bucket/title-{how}", env=env)
    titles = set()

    def ended():
        for pid in box.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    titles.add(f.read())
            except OSError:
                pass
        return child.poll() is not None

    wait_for(ended, 60, "cp ends", every=0.01)
    assert titles and not any(rgw.secret_key.encode() in t for t in titles)
