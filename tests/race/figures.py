#!/usr/bin/python3 -B
"""Puts the figures that `./check race` wrote (figures.json in the build's directory race/) into docs/WHY-A-QUEUE.md, between its two marks, and the plot
beside it:

    ./check race && tests/race/figures.py [BUILD/race/figures.json]
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from race import report  # noqa: E402
from support.box import BUILD, ROOT  # noqa: E402

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DOCUMENT, PLOT = ROOT / "docs" / "WHY-A-QUEUE.md", ROOT / "docs" / "race.svg"


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
