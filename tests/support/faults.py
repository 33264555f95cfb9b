"""Fault points for tests: reads their list from the C source and arms them (common/system/fault.h)."""

import re
import time
from pathlib import Path

from support.box import ROOT, wait_for

LIST = ROOT / "common" / "system" / "fault_points.def"
ROW = re.compile(r'^FAULT\((\w+), (\w+), "([a-z ]*)", "([^"]*)"\)$', re.M)


class Point:
    def __init__(self, program, name, kinds, sentence):
        self.program, self.name, self.kinds, self.sentence = program, name, kinds.split() or [""], sentence

    def armed(self, kind):
        return f"{self.name}.{kind}" if kind else self.name


def all_points():
    return [Point(*row) for row in ROW.findall(LIST.read_text(encoding="utf-8"))]


class Faults:
    """The directory in which one box arms its fault points."""

    def __init__(self, box):
        self.dir = Path(box.dir) / "faults"
        self.dir.mkdir()
        box.env["CHUNKLIFT_FAULT_DIR"] = str(self.dir)

    def arm(self, name, nth=1, action="die", delay_ms=0):
        new = self.dir / ".new"
        new.write_text(f"{nth} {action} {delay_ms}\n")
        new.rename(self.dir / name)

    def fired(self, name):
        return (self.dir / f"{name}.fired").exists()

    def wait(self, name, seconds=20, meanwhile=lambda: True):
        wait_for(lambda: self.fired(name) or not meanwhile(), seconds, f"{name} fires", every=0.002)
        end = time.monotonic() + 5  # a consumer may end after its command
        while not self.fired(name) and time.monotonic() < end:
            time.sleep(0.01)
        assert self.fired(name), f"{name} was armed and nobody came by"

    def set(self, name, value):
        (self.dir / f"set.{name}").write_text(str(value))
