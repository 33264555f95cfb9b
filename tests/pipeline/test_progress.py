"""The progress display on a terminal (a pty): its width, a change of it, and terminals that cannot show it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest

from support.box import random_file, wait_for

ERASE = re.compile(r"\r(?:\x1b\[\d+A)?\x1b\[J")


class Terminal:
    """A program whose stderr is a pty. Its output is read all the time."""

    def __init__(self, box, columns, *args, **env):
        self.main, self.other = pty.openpty()
        self.text = ""
        self.resize(columns)
        self.child = subprocess.Popen(box.command("cp", "--journal", box.journal, *args), env={**box.env, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env},
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.other, cwd=box.dir)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def resize(self, columns):
        fcntl.ioctl(self.other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def _read(self):
        data = b""
        while block := self._block():
            data += block
            self.text = data.decode(errors="replace")

    def _block(self):
        try:
            return os.read(self.main, 65536)
        except OSError:  # EIO: no process has the other end open
            return b""

    def frames(self):
        """The blocks of lines that were drawn."""
        return [frame.split("\r\n") for frame in ERASE.split(self.text)]

    def end(self):
        status = self.child.wait(90)
        os.close(self.other)
        self.reader.join(30)
        os.close(self.main)
        return status


@pytest.fixture
def slow(box):
    """A cp that draws its progress on a terminal of 100 columns, until lift."""
    source = random_file(box.dir / "a directory of some length" / "größe\x1b[31m木.bin", 2 << 20)
    terminal = Terminal(box, 100, "--bwlimit", "1KiB", "--chunk-size", "64KiB", source, box.dir / "out", NO_COLOR="1")
    wait_for(lambda: "%, " in terminal.text and terminal.text.count("\x1b[J") > 1, what="progress")
    return terminal


def lift(box):
    """Once the limit of the command is in force."""
    wait_for(lambda: "bwlimit    1 KiB/s" in box.run("set", "--journal", box.journal, status=None).stdout, what="the limit")
    box.run("set", "--journal", box.journal, "--bwlimit", "none")


def test_the_display_follows_the_width_of_the_terminal(box, slow):
    """After a change to 40 columns no line is wider, and percent, rate and time left stay; at 200 columns more is shown."""
    def drawn_since(count):
        wait_for(lambda: len(slow.frames()) > count + 3, what="drawings")
        return slow.frames()[count + 2 : -1]  # the ones between may have begun before the change

    assert any(line.endswith("%") and "größe\\x1b[31m木.bin" in line for frame in slow.frames() for line in frame)
    seen = len(slow.frames())
    slow.resize(40)
    narrow = drawn_since(seen)
    assert all(len(line) < 40 for frame in narrow for line in frame), narrow
    assert all(re.search(r"^\d+%, .*/s, ETA ", frame[-1]) for frame in narrow), narrow
    seen = len(slow.frames())
    slow.resize(200)
    wide = drawn_since(seen)
    assert all(" elapsed, " in frame[-1] and " uploader" in frame[-1] and len(frame) == 2 for frame in wide), wide
    lift(box)
    assert slow.end() == 0
    last = slow.text.rstrip().splitlines()[-1]
    assert ": 1 file uploaded (2 MiB)" in last and not re.search(r"\x1b\[[\d;]*m", slow.text)


def test_the_last_error_stays_in_view(box):
    for i in range(3):
        random_file(box.dir / "src" / f"f{i}", 1 << 20, seed=i)
    (box.dir / "out" / "f0").mkdir(parents=True)
    terminal = Terminal(box, 100, "-r", "--bwlimit", "1KiB", box.dir / "src", f"{box.dir}/out/")
    wait_for(lambda: any(len(frame) > 1 and f"last error: {box.dir}/src/f0: " in frame[-2] and ", 1 failed" in frame[-1] for frame in terminal.frames()), what="the error")
    lift(box)
    assert terminal.end() == 1


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_a_cursor_has_plain_lines(box, term):
    source = random_file(box.dir / "f", 1 << 20)
    terminal = Terminal(box, 80, "--stats", "50ms", "--bwlimit", "1MiB", "--chunk-size", "64KiB", source, box.dir / "out", TERM=term)
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text and "%, " in terminal.text
