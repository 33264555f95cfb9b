#!/usr/bin/python3 -B
"""Writes the figures of `./check race` (figures.json in the build's directory race/) into the essay (docs/why-a-queue/README.md), between its two
marks, and the plot into a file next to it:

    ./check race && docs/why-a-queue/measure/figures.py [BUILD/race/figures.json]
"""

import json
import sys
from pathlib import Path

ESSAY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ESSAY), str(ESSAY.parents[1] / "tests")]

from measure import report  # noqa: E402
from support.box import BUILD, ROOT  # noqa: E402

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DOCUMENT, PLOT = ESSAY / "README.md", ESSAY / "race.svg"


def with_figures(text, markdown):
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{DOCUMENT}: the marks {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{markdown}\n{END}{after}"


def main():
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD / "race" / "figures.json"
    figures = json.loads(source.read_text(encoding="utf-8"))
    DOCUMENT.write_text(with_figures(DOCUMENT.read_text(encoding="utf-8"), report.markdown(figures)), encoding="utf-8")
    PLOT.write_text(report.svg(figures), encoding="utf-8")
    print(f"{DOCUMENT.relative_to(ROOT)} and {PLOT.relative_to(ROOT)} are of {source} now")


if __name__ == "__main__":
    main()
