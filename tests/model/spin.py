"""Runs SPIN on one configuration of a model: generates, compiles, searches, and parses the output."""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MEMORY_MIB = 4096
SEARCH_SECONDS = 900  # far more than any search takes; the machine may be busy


@dataclass(frozen=True)
class Configuration:
    name: str
    model: str  # jobs, lease or tail
    defines: str
    claim: str = ""  # the ltl formula that must hold under weak fairness; empty: safety only
    bitstate: int = 0  # the size of the bit array as a power of two; 0: exhaustive
    minutes: int = 0  # of a bitstate search, maximum
    quick: bool = False  # is in the default set


@dataclass(frozen=True)
class Mutant:
    name: str  # MUTANT_… omits a rule
    rule: str
    configuration: Configuration  # the smallest that detects it


@dataclass
class Search:
    error: str  # the violated property; empty: none
    states: int
    depth: int
    memory_mib: float
    seconds: float
    hash_factor: float  # of a bitstate search: 100 and more is good coverage
    complete: bool
    output: str


def _run(arguments, folder, seconds):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout + done.stderr


def _compile(folder, c, optimised):
    flags = ["-O2" if optimised else "-O0", "-w", "-DCOLLAPSE" if not c.bitstate else "-DBITSTATE", f"-DMEMLIM={MEMORY_MIB}"]
    flags += ["-DNFAIR=4"] if c.claim else ["-DSAFETY", "-DNOCLAIM"]
    status, output = _run(["gcc", *flags, "-o", "pan", "pan.c"], folder, 300)
    assert status == 0, output


def _number(pattern, text, default=0.0):
    found = re.search(pattern, text, re.MULTILINE)
    return float(found.group(1)) if found else default


def _read(output, seconds, c):
    error = re.search(r"^pan:\d+: (.*?) \(at depth", output, re.MULTILINE)
    counted = re.search(r"errors: (\d+)", output)
    assert counted, output
    return Search(
        error=(error.group(1) if error else "an error") if counted.group(1) != "0" else "",
        states=int(_number(r"([\d.e+]+) states, stored", output)),
        depth=int(_number(r"depth reached (\d+)", output)),
        memory_mib=_number(r"([\d.]+)\s+total actual memory usage", output),
        seconds=seconds,
        hash_factor=_number(r"hash factor: ([\d.]+)", output),
        complete="Search not completed" not in output and "max search depth too small" not in output,
        output=output,
    )


def search(c, mutant=""):
    """Searches all states of c, or, for a bitstate search, as many as fit into its time; stops at the first error."""
    defines = [d for d in c.defines.split() if d] + ([f"-D{mutant}"] if mutant else [])
    with tempfile.TemporaryDirectory(prefix="chunklift-model-") as folder:
        status, output = _run(["spin", "-a", *defines, str(HERE / f"{c.model}.pml")], folder, 60)
        assert status == 0 and "Error" not in output, output
        _compile(folder, c, not mutant and not c.quick)
        options = ["-m1000000", f"-w{c.bitstate or 23}"]
        options += ["-a", "-f"] if c.claim else []
        options += [f"-Q{c.minutes}"] if c.minutes else []
        started = time.monotonic()
        _, output = _run(["nice", "./pan", *options], folder, SEARCH_SECONDS)
        return _read(output, time.monotonic() - started, c)


def describe(c, s):
    kind = f"bitstate, hash factor {s.hash_factor:.0f}" if c.bitstate else "exhaustive"
    kind += "" if s.complete else ", ended by its time"
    kind += f", {c.claim}" if c.claim else ""
    return (f"model {c.name:18} {s.states:>10,} states, depth {s.depth:>6,}, {s.memory_mib:>6.0f} MiB, {s.seconds:>6.1f} s, {kind}")
