"""Symbolic links and other file systems inside trees."""

import json
import subprocess

import pytest

from support.box import BUILD, random_file, sha256_of


def test_followed_links_upload_their_targets(box):
    """Links within the tree and out of it, relative and absolute: the files arrive under the names of the links, and a second run finds them unchanged."""
    src, far = box.dir / "src", box.dir / "far"
    random_file(src / "dir" / "f", 3 << 20, seed=1)
    random_file(far / "deep" / "g", 20 << 20, seed=2)
    for name, target in {"in": "dir/f", "abs": src / "dir" / "f", "out": "../far/deep/g", "tree": far, "again": "tree"}.items():
        (src / name).symlink_to(target)
    box.cp("-r", "-L", src, f"{box.dir}/out/")
    for name in ("dir/f", "in", "abs", "out", "tree/deep/g", "again/deep/g"):
        assert sha256_of(box.dir / "out" / name) == sha256_of(src / name), name
    assert "6 unchanged" in box.cp("-r", "-L", src, f"{box.dir}/out/").stderr
    assert {r["src"] for r in box.records() if "src" in r} == {str(src / n) for n in ("dir/f", "in", "abs", "out", "tree/deep/g", "again/deep/g")}


def test_a_loop_and_a_broken_link_fail_alone(box):
    src = box.dir / "src"
    random_file(src / "a" / "f", 9)
    (src / "a" / "up").symlink_to("..")
    (src / "broken").symlink_to("missing")
    done = box.cp("-r", "-L", src, f"{box.dir}/out/", status=1)
    assert f"chunklift: {src}/a/up: is a loop: a symbolic link or a mount leads back to a directory above it; exclude it with --exclude\n" in done.stderr
    assert f"chunklift: {src}/broken: is a symbolic link that leads nowhere: No such file or directory\n" in done.stderr
    assert [p.name for p in (box.dir / "out").rglob("*") if p.is_file()] == ["f"]
    box.cp("-r", "-L", "--exclude", "/a/up/", "--exclude", "broken", src, f"{box.dir}/out/")


def test_a_link_to_the_destination_is_not_followed(box):
    src = box.dir / "src"
    random_file(src / "f", 9)
    random_file(box.dir / "out" / "old", 9)
    (src / "back").symlink_to(box.dir / "out")
    done = box.cp("-r", "-L", src, f"{box.dir}/out/", status=1)
    assert f"{src}/back: is the destination of this command" in done.stderr
    assert sorted(p.name for p in (box.dir / "out").iterdir()) == ["f", "old"]


def test_other_file_systems_are_left_out(box):
    src = box.dir / "src"
    random_file(src / "own" / "f", 9)
    (src / "mnt").mkdir()
    script = 'mount -t tmpfs none "$1/mnt" && echo other >"$1/mnt/g" && shift && exec "$@"'
    for option, expected in (("-x", {"own/f"}), ("-r", {"own/f", "mnt/g"})):
        out = box.dir / f"out{option}"
        command = ["unshare", "-rm", "sh", "-c", script, "sh", src, BUILD / "chunklift", "cp", "--json", "--journal", box.journal, "-r", option, src, f"{out}/"]
        done = subprocess.run(command, env=box.env, capture_output=True, text=True)
        if "unshare failed" in done.stderr or "mount" in done.stderr:
            pytest.skip("this host allows no mount in a user namespace")
        assert done.returncode == 0, done.stderr
        assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == expected
        assert json.loads(done.stdout.splitlines()[-1])["systems_skipped"] == (option == "-x")
