"""--files-from: a list names the files of a directory."""

import os
import subprocess

import pytest

from support.box import wait_for


def make(tree, names):
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def arrived(box):
    return sorted(str(p.relative_to(box.dir / "out")) for p in (box.dir / "out").rglob("*") if p.is_file())


def upload(box, names, *options, status=0):
    (box.dir / "list").write_bytes(names)
    return box.cp("--files-from", "list", *options, box.dir / "src", f"{box.dir}/out/", status=status, timeout=60)


def test_listed_files_arrive_under_their_names(box):
    make(box.dir / "src", ["a", "dir/b", "dir/c", " d", "#e"])
    upload(box, b"# comment\n./a\n  dir//b  \n")
    assert arrived(box) == ["a", "dir/b"]
    upload(box, b" d\0#e\0dir/c\0", "-0")
    assert arrived(box) == [" d", "#e", "a", "dir/b", "dir/c"]


def test_names_that_cannot_be_uploaded_fail_alone(box):
    src = box.dir / "src"
    make(src, ["a", "dir/b", "z"])
    (src / "link").symlink_to("dir")
    done = upload(box, f"a\nmissing\n/etc/passwd\n../list\ndir\nlink/b\n{'n' * 5000}\nz\n".encode(), status=1)
    for line in (f"{src}/missing: cannot be read: No such file or directory", "/etc/passwd: is an absolute name; names in --files-from are relative to SRC",
                 "../list: has '..' in it; write the name without it", f"{src}/dir: is a directory; list the files in it",
                 f"{src}/link/b: is a symbolic link or leads through one; to follow it, use -L", f"{'n' * 60}: is a name of more than 4,096 bytes"):
        assert f"chunklift: {line}\n" in done.stderr, done.stderr
    assert arrived(box) == ["a", "z"] and "6 failed" in done.stderr
    upload(box, b"link/b\n", "-L")
    assert arrived(box) == ["a", "link/b", "z"]


def test_a_name_that_comes_twice_is_one_file(box):
    names = [f"f{n}" for n in range(1500)]
    make(box.dir / "src", names)
    listed = [n for name in names for n in (name, name)] + names[:5]
    upload(box, "\n".join(listed).encode())
    assert arrived(box) == sorted(names)


def test_a_file_arrives_before_the_list_ends(box):
    """The list comes from a command that has not ended: the upload begins, and waits for the rest."""
    make(box.dir / "src", ["a", "b"])
    child = subprocess.Popen(box.command("cp", "--journal", box.journal, "--files-from", "-", box.dir / "src", f"{box.dir}/out/"), env=box.env, cwd=box.dir,
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write(b"a\n")
    child.stdin.flush()
    wait_for(lambda: os.path.exists(box.dir / "out" / "a"), what="the first file arrives")
    assert child.poll() is None
    _, said = child.communicate(b"b\n", timeout=60)
    assert child.returncode == 0, said
    assert arrived(box) == ["a", "b"]


@pytest.mark.parametrize("options, line", [
    (["--files-from", "list", "--exclude", "x"], "--files-from: names all files itself; leave out the filters, or the list"),
    (["--files-from", "list", "-x"], "--files-from: names all files itself; leave out --one-file-system"),
    (["-0"], "--null: is about the names of --files-from; name a list"),
    (["--files-from", "missing"], "--files-from missing: No such file or directory"),
    (["--files-from", "src"], "--files-from src: is a directory; name a file with a list"),
    (["--files-from", "list", "src/a"], "--files-from: needs one SRC, which is a directory"),
    (["--files-from", "-", "--filter-from", "-"], "-: standard input can be read only once; name files for the other lists"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_contradictions_are_one_line(box, options, line):
    make(box.dir / "src", ["a"])
    (box.dir / "list").write_text("a\n")
    assert box.cp(*options, box.dir / "src", f"{box.dir}/out/", status=2).stderr == f"chunklift: {line}\n"


def test_what_is_no_list_ends_the_reading(box):
    make(box.dir / "src", ["a"])
    done = box.cp("-0", "--files-from", "/dev/zero", box.dir / "src", f"{box.dir}/out/", status=1, timeout=60)
    assert "chunklift: --files-from: no name within 1 MiB; it is not a list of names\n" in done.stderr
