"""The fault points themselves: what is shipped has none, no point is forgotten, and an armed one acts once."""

import json
import re
import shlex
import subprocess

import pytest

from support.box import BUILD, ROOT, random_file
from support.faults import Faults, all_points

POINTS = all_points()
TRACE = re.compile(rb"fault|CHUNKLIFT_FAULT|" + b"|".join(p.name.encode() for p in POINTS if "_" in p.name and p.name not in ("bytes_half",)))


def compile_commands():
    """{source file: its compiler call} of the files that have fault points."""
    commands = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if "/tests/" not in entry["file"] and "FAULT_" in open(entry["file"], encoding="utf-8").read():
            commands[entry["file"]] = shlex.split(entry["command"])
    return commands


def object_without_faults(command, out, *more):
    call = [word for word in command if word not in ("-DCHUNKLIFT_FAULTS", "ccache") and not re.fullmatch(r"-M[DTF]|.*\.o\.d|.*\.c\.o|-o", word)]
    call = [word for word in call if not word.startswith(("-fsanitize", "-g", "-O"))]
    subprocess.run([*call, "-O2", *more, "-o", out], check=True, timeout=60, cwd=BUILD)
    return out.read_bytes()


def test_objects_that_are_shipped_hold_no_trace(box):
    commands = compile_commands()
    assert len(commands) >= 20
    for file, command in commands.items():
        if file.endswith("/fault.c"):
            continue
        plain = object_without_faults(command, box.dir / "plain.o")
        found = TRACE.search(plain)
        assert not found, f"{file}: {found[0]} stands in its object"
        assert TRACE.search(object_without_faults(command, box.dir / "with.o", "-DCHUNKLIFT_FAULTS")), f"{file}: this test would not see one"


def test_only_presets_of_tests_have_them():
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    having = {p["name"] for p in presets if p.get("cacheVariables", {}).get("CHUNKLIFT_FAULTS") == "ON"}
    assert having == {"check", "asan", "tsan", "coverage"}
    assert "CHUNKLIFT_FAULTS" in (ROOT / "CMakeLists.txt").read_text() and "getenv(\"CHUNKLIFT_FAULT" not in "".join(
        f.read_text() for f in ROOT.glob("*/**/*.c") if "build" not in f.parts and f.name != "fault.c")


def test_every_point_is_somewhere_in_the_code():
    code = "".join(f.read_text() for top in ("common", "consumer", "uploader", "producer") for f in (ROOT / top).rglob("*.c"))
    used = set(re.findall(r"FAULT_(?:POINT|POINT_AS|POINT_IF|POINT_NOTED|AFTER|FAILS)\(\s*(?:[^;]*?,\s*)??(\w+)[,)]", code))
    unused = [p.name for p in POINTS if not re.search(rf"\b{p.name}\b", code)]
    assert not unused and used
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
    faults.arm("ack_read.head")
    child = upload(box)
    assert child.wait(60) == 0
    assert not faults.fired("ack_read.head") and "killed" not in child.log.read_text()


def test_an_error_of_the_journal_ends_the_consumer_and_loses_nothing(box):
    faults = Faults(box)
    faults.arm("journal_written.chunk", 1, "error")
    child = upload(box)
    assert child.wait(60) == 3
    assert "fdatasync: Input/output error; nothing more is acknowledged" in child.log.read_text()
    box.gone()
    again = upload(box)
    assert again.wait(60) == 0, again.log.read_text()
    assert (box.dir / "out" / "it").read_bytes() == (box.dir / "src" / "it").read_bytes()


def test_an_uploader_reads_its_last_ack_before_it_ends(box):
    """`cp` knows the end of a file before its uploader does, and tells it to end: once, so that it finishes what it has in hand."""
    faults = Faults(box)
    faults.arm("complete_sent.finish", 1, "late", 700)
    faults.arm("ack_read.finish", 1, "late")
    child = upload(box)
    assert child.wait(60) == 0
    assert faults.fired("complete_sent.finish") and faults.fired("ack_read.finish")
