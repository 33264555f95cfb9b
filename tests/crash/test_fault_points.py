"""The fault points: release builds have none, the list is complete, and an armed point acts once."""

import json
import re
import shlex
import subprocess

import pytest

from support.box import BUILD, ROOT, random_file
from support.faults import Faults, all_points

POINTS = all_points()
TRACE = re.compile(rb"\bfault_|CHUNKLIFT_FAULT")


def compile_commands():
    """{source file: its compiler call} of the files that have fault points."""
    commands = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if "/tests/" not in entry["file"] and "FAULT_" in open(entry["file"], encoding="utf-8").read():
            commands[entry["file"]] = shlex.split(entry["command"])
    return commands


def compiled(command, out, *more):
    """The object code without CHUNKLIFT_FAULTS (but with `more`)."""
    call = [word for word in command if word not in ("-DCHUNKLIFT_FAULTS", "ccache", "-c", "-o") and not re.search(r"^-(M|f?sanitize|g|O)|\.o(\.d)?$", word)]
    subprocess.run([*call, *more, "-o", out], check=True, timeout=60, cwd=BUILD)
    return out.read_bytes()


def test_what_is_shipped_holds_no_trace(box):
    commands = {f: c for f, c in compile_commands().items() if not f.endswith("/fault.c")}
    assert len(commands) >= 20
    for file, command in commands.items():
        found = TRACE.search(compiled(command, box.dir / "text", "-E", "-P"))
        assert not found, f"{file}: the compiler sees {found[0]}"
    for file in [f for f in commands if f.endswith(("/journal.c", "/transfers.c", "/cp.c"))]:
        assert not TRACE.search(compiled(commands[file], box.dir / "plain.o", "-c", "-O1")), f"{file}: a trace in its object"
        assert TRACE.search(compiled(commands[file], box.dir / "with.o", "-c", "-O1", "-DCHUNKLIFT_FAULTS")), f"{file}: it would not be seen"


def test_only_presets_of_tests_have_them():
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    having = {p["name"] for p in presets if p.get("cacheVariables", {}).get("CHUNKLIFT_FAULTS") == "ON"}
    assert having == {"check", "asan", "tsan", "coverage"}
    assert "CHUNKLIFT_FAULTS" in (ROOT / "CMakeLists.txt").read_text() and "getenv(\"CHUNKLIFT_FAULT" not in "".join(
        f.read_text() for f in ROOT.glob("*/**/*.c") if "build" not in f.parts and f.name != "fault.c")


def test_every_point_is_somewhere_in_the_code():
    code = "".join(f.read_text() for top in ("common", "consumer", "uploader", "producer") for f in (ROOT / top).rglob("*.c"))
    calls = "".join(re.findall(r"FAULT_(?:POINT\w*|AFTER|FAILS)\([^;]*", code))
    assert [p.name for p in POINTS if not re.search(rf"\b{p.name}\b", calls)] == []
    assert len({p.name for p in POINTS}) == len(POINTS)


def test_durability_document_has_a_row_for_each():
    rows = re.findall(r"^\| `(\w+)`(?: ([a-z, ]+))? \|(.*)\|$", (ROOT / "docs" / "DURABILITY.md").read_text(encoding="utf-8"), re.M)
    listed = {name: kinds.replace(",", "").split() if kinds else [""] for name, kinds, _ in rows}
    assert list(listed) == [p.name for p in POINTS], "the rows, in the order of the list"
    assert {p.name: p.kinds for p in POINTS} == listed
    assert all(len(rest.split("|")) == 3 and all(cell.strip() for cell in rest.split("|")) for _, _, rest in rows)


def upload(box, *more, size=6 << 20):
    src = random_file(box.dir / "src" / "it", size)
    return box.start("cp", "--journal", box.journal, "--no-progress", "-v", "--lease", "1s", "--slots", "1", "--chunk-size", "1MiB", *more, src,
                     f"file://{box.dir}/out/it")


@pytest.mark.parametrize("nth", [1, 2])
def test_it_fires_once_over_all_processes(box, nth):
    faults = Faults(box)
    faults.arm("ack_read.chunk", nth)
    child = upload(box)
    assert child.wait(60) == 0
    assert faults.fired("ack_read.chunk")
    assert child.log.read_text().count("was killed by signal 9") == 1


def test_a_point_that_nobody_passes_does_nothing(box):
    faults = Faults(box)
    faults.arm("ack_read.stat")
    child = upload(box)
    assert child.wait(60) == 0
    assert not faults.fired("ack_read.stat") and "killed" not in child.log.read_text()


def test_an_error_of_the_journal_ends_the_consumer_and_loses_nothing(box):
    faults = Faults(box)
    faults.arm("journal_written.chunk", 1, "error")
    child = upload(box)
    assert child.wait(60) == 0, child.log.read_text()
    assert "fdatasync: Input/output error; nothing more is acknowledged" in (box.journal / "consumer.log").read_text()
    assert [r["epoch"] for r in box.records("epoch")] == [1, 2]
    assert (box.dir / "out" / "it").read_bytes() == (box.dir / "src" / "it").read_bytes()


def test_an_uploader_is_told_to_end_once(box):
    """`cp` sends one stop signal to an uploader that does not know yet that its file is finished, so the uploader completes its jobs."""
    faults = Faults(box)
    faults.arm("complete_sent.finish", 1, "late", 700)
    child = upload(box)
    assert child.wait(60) == 0
    assert faults.fired("complete_sent.finish")
    assert "stopping at once" not in child.log.read_text()
