#!/usr/bin/env python3
"""The figures of a run of the benchmarks, and the document that is made of them.

    report.py FIGURES… DOCUMENT   writes the document (docs/BENCHMARKS.md), and its plots into a folder beside it

`./check bench` collects FIGURES in build/bench.json: a list of sections, in the order in which they were measured. A
section of a later file takes the place of that of an earlier one, after a part of the benchmarks ran again.
"""

import dataclasses
import datetime
import json
import os
import platform
import sys
from pathlib import Path


@dataclasses.dataclass
class Section:
    work: str  # its title
    test: str  # the file of it in tests/bench
    columns: list  # (name, format); the first is plotted
    rows: dict = dataclasses.field(default_factory=dict)  # program: values; None: not measured
    verdicts: list = dataclasses.field(default_factory=list)  # (met, text)
    notes: list = dataclasses.field(default_factory=list)
    better: str = "less"  # "less" or "more" of the first column

    def text(self):
        """For the terminal."""
        width = max(map(len, self.rows))
        lines = [f"\n{self.work}:"]
        for who, values in self.rows.items():
            lines.append(f"  {who:{width}}  " + "  ".join(f"{self.cell(i, v):>10} {c[0]}" for i, (c, v) in enumerate(zip(self.columns, values)) if v is not None))
        return "\n".join(lines + [f"  {'met' if met else 'NOT MET':8}{text}" for met, text in self.verdicts] + [f"  {n}" for n in self.notes])

    def cell(self, column, value):
        return "" if value is None else format(value, self.columns[column][1])

    def markdown(self, plot):
        lines = [f"## {self.work}", "", "| | " + " | ".join(name for name, _ in self.columns) + " |", "|---" * (len(self.columns) + 1) + "|"]
        lines += [f"| {who} | " + " | ".join(self.cell(i, v) for i, v in enumerate(values)) + " |" for who, values in self.rows.items()]
        lines += ["", f"![{self.work}]({plot})", ""]
        lines += [f"- {'Met' if met else '**Not met**'}: {text}." for met, text in self.verdicts]
        lines += ["", *self.notes] if "```" in self.notes else [f"- {n}" for n in self.notes]
        return "\n".join([*lines, "", f"`tests/bench/{self.test}`", ""])

    def plot(self, path):
        import matplotlib
        matplotlib.use("svg")
        matplotlib.rcParams |= {"svg.hashsalt": "chunklift", "svg.fonttype": "none"}
        from matplotlib import pyplot
        rows = [(who, values[0]) for who, values in self.rows.items() if values[0] is not None]
        figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.32 * len(rows)))
        colors = ["#1f77b4" if who.startswith("chunklift") else "#b0b0b0" for who, _ in rows]
        bars = axes.barh([who for who, _ in rows], [value for _, value in rows], color=colors)
        axes.bar_label(bars, [self.cell(0, value) for _, value in rows], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(f"{self.columns[0][0]} ({self.better} is better)", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)


class Figures:
    """The sections of one run."""

    def __init__(self, path):
        self.path, self.sections = path, []

    def add(self, section):
        self.sections.append(section)
        self.path.write_text(json.dumps({"date": datetime.date.today().isoformat(), "machine": machine(),
                                         "sections": [dataclasses.asdict(s) for s in self.sections]}, indent=1))


def machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return f"{len(os.sched_getaffinity(0))} cores ({cpu}), Linux {platform.release().split('-')[0]}"


HEAD = """# Benchmarks

`./check bench` measured these figures on {date}: {machine}, client and server on the same cores. All rows of a table come from one run. `tests/bench/report.py`
wrote this document. [Where the time goes](benchmarks/time.md) is a page of its own.

- **The yardstick** is `tests/bench/baseline.c`: a plain loop of signed libcurl PUTs in one thread, 8 at a time, which keeps no record. Other programs are those of Debian 12.
- **The server** is `tests/bench/sink.c`. It discards all bytes and answers at once, or after a delay, so the figures are those of the client.
- Every row is a median of runs that alternate with those of the other rows. CPU is user and system time of all processes of a client. Memory is the peak of the sum of their PSS.
- A required value that was not reached is in the list like one that was.

"""


def merged(figures):
    """One set of figures of several, with the sections of the later ones in place of the earlier."""
    first, *more = [json.loads(Path(f).read_text()) for f in figures]
    sections = {s["work"]: s for s in first["sections"]}
    for data in more:
        sections |= {s["work"]: s for s in data["sections"]}
    return {**first, "sections": list(sections.values())}


def write(figures, document):
    data = merged(figures)
    document = Path(document)
    plots = document.parent / "benchmarks"
    plots.mkdir(exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    text = HEAD.format(**data)
    for number, fields in enumerate(data["sections"], 1):
        section = Section(**fields)
        name = f"{number:02}-{section.test.removesuffix('.py')}.svg"
        section.plot(plots / name)
        text += section.markdown(f"benchmarks/{name}") + "\n"
    document.write_text(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    write(sys.argv[1:-1], sys.argv[-1])
