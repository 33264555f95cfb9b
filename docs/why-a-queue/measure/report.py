"""Formats the figures of a run as Markdown tables and one plot. It measures nothing."""

import json
import math
from html import escape

from support.box import BUILD

PLACE = BUILD / "race"
SYNCS = {"none": "memory", "each": "disk, a sync each", "group": "disk, syncs in groups"}
SVG_NAME = "figures.svg"


def number(value):
    if value == 0:
        return "0"
    if value >= 1000:
        digits = -(int(math.log10(value)) - 1)
        return f"{round(value, digits):,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i == 0 else "---:" for i in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def us(value):
    return f"{number(value)} µs" if value < 1000 else f"{number(value / 1000)} ms"


def seeded_table(rows):
    return table(["30 marks, 3 loops", "kept in", "runs", "that lost marks", "marks lost"],
                 [(r["way"], SYNCS[r["sync"]], r["runs"], r["losing"], f"{r['lost']} of {30 * r['runs']}") for r in rows])


def costs_table(rows):
    return table(["8 workers", "kept in", "under way", "marks", "lost", "marks/s", "p50", "p99", "messages/mark", "fsyncs/mark", "tried again/mark", "CPU/mark"],
                 [(r["way"], SYNCS[r["sync"]], r["window"], f"{r['marks']:,}", f"{r['lost']:,}", number(r["rate"]), us(r["p50_us"]), us(r["p99_us"]),
                   number(r["messages"]), number(r["syncs"]), number(r["retries"]), us(r["cpu_us"])) for r in rows])


def owner_table(rows):
    found = {}
    for r in rows:
        found.setdefault((r["way"], r["sync"]), []).append(r)
    return table(["owner killed", "kept in", "kills", "acknowledged and lost", "longest stop"],
                 [(way, SYNCS[sync], len(rs), f"{sum(r['lost'] for r in rs):,} of {sum(r['acked'] for r in rs):,}", f"{max(r['still_ms'] for r in rs):.0f} ms")
                  for (way, sync), rs in found.items()])


LEFT = {  # the state that a worker killed there leaves with the owner, apart from marks that no worker made
    "held": {"3 lock, tried again": "the lock, until its lease ends", "3 lock, fair": "the lock, until its lease ends", "5 queue, claims": "a lease on its chunks",
             "2 compare and set": "nothing", "4 key per group": "half a group"},
    "sent": {"3 lock, tried again": "the lock, until its lease ends", "3 lock, fair": "the lock, until its lease ends", "4 key per group": "half a group"},
}


def worker_table(rows):
    return table(["worker killed", "where", "its marks undone", "of them kept", "longest stop of the others", "leaves"],
                 [(r["way"], "between get and set" if r["point"] == "held" and "claims" not in r["way"] else "with a lease" if r["point"] == "held" else "before the answer",
                   r["undone"], r["kept_unacked"], f"{r['still_ms']:.0f} ms", LEFT[r["point"]].get(r["way"], "nothing")) for r in rows])


def grouping_table(rows):
    def told(x):
        return f"{x['seconds']:.2f} s" + (f", {x['undone']} chunks never" if x["undone"] else "")

    return table([f"{rows[0]['chunks']} chunks of {rows[0]['work_ms']} ms, {rows[0]['workers']} workers", "ideal", "contiguous groups", "queue",
                  "chunks by each worker, queue"],
                 [(r["case"], f"{r['ideal_s']:.2f} s", told(r["groups"]), told(r["queue"]), " · ".join(map(str, r["queue"]["by_worker"]))) for r in rows])



def behind(rows):
    """The sentence that compares the queue with the fastest way."""
    queue = next((r for r in rows if r["way"] == "5 queue"), None)
    if not queue:
        return ""
    if rows[0] is queue:
        return " Here the queue is the first."
    return f" The queue is not the fastest here: {rows[0]['way']} makes {rows[0]['rate'] / queue['rate']:.1f} times as many."


def findings(f):
    """The ways in order of speed, so that the reader need not search the table."""
    right = [r for r in f["costs"] if r["way"] != "bug"]
    out = []
    for sync, window, what in (("none", 1, "In memory, one mark under way in each worker"), ("none", 64, "In memory, 64 under way in each"),
                               ("each", 1, "On disk, a sync for each mark"), ("group", 1, "On disk with syncs in groups, one under way"),
                               ("group", 64, "On disk with syncs in groups, 64 under way")):
        rows = sorted((r for r in right if r["sync"] == sync and r["window"] == window), key=lambda r: -r["rate"])
        if rows:
            out.append(f"- {what}: " + " · ".join(f"{r['way']} {number(r['rate'])}" for r in rows) + " marks/s." + behind(rows))
    for sync, what in (("none", "in memory"), ("group", "on disk with syncs in groups")):
        rows = sorted((r for r in right if r["sync"] == sync), key=lambda r: r["cpu_us"])
        out.append(f"- Processor time of all processes for a mark, {what}: " +
                   " · ".join(f"{r['way']}{', 64 under way' if r['window'] > 1 else ''} {us(r['cpu_us'])}" for r in rows) + ".")
    return "\n".join(out)


HEADINGS = (
    ("seeded", "Marks lost", seeded_table),
    ("costs", "Costs", costs_table),
    ("owner_killed", "An owner that is killed", owner_table),
    ("worker_killed", "A worker that is killed", worker_table),
    ("grouping", "Contiguous groups against the queue", grouping_table),
)


def markdown(f):
    first, count = f.get("seeds", (0, 0))
    parts = [f"A machine with {f['cores']} cores. Seeds {first} to {first + count - 1} (`CHUNKLIFT_SEED={first}`)."]
    if f.get("memory_missing"):
        parts.append(f"The queue has no figures in memory: {f['memory_missing']}.")
    for key, heading, make in HEADINGS:
        if key in f:
            parts += [f"### {heading}", make(f[key])]
        if key == "costs" and key in f:
            parts.append(findings(f))
    return "\n\n".join(parts)


# the plot ---------------------------------------------------------------------------------------------------------------

WIDTH, ROW, TOP, LEFT_EDGE, RATE_END, LATENCY_START, RIGHT = 940, 19, 62, 222, 530, 600, 905
COLOURS = {"none": "#5b8db8", "each": "#b5651d", "group": "#3f7d4e"}
NAMES = {"none": "memory", "each": "disk, a sync each", "group": "disk, syncs in groups"}


class Log:
    """A logarithmic axis from x0 to x1."""

    def __init__(self, low, high, x0, x1):
        self.low, self.high = math.floor(math.log10(low)), math.ceil(math.log10(high))
        self.x0, self.x1 = x0, x1

    def at(self, value):
        return self.x0 + (math.log10(value) - self.low) / (self.high - self.low) * (self.x1 - self.x0)

    def ticks(self):
        return [10.0**e for e in range(self.low, self.high + 1)]


def text(x, y, said, size=11, anchor="start", colour="#222", weight=""):
    bold = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{bold}>{escape(said)}</text>'


def axis(scale, bottom, unit):
    out = []
    for tick in scale.ticks():
        x = scale.at(tick)
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        out.append(text(x, TOP - 11, unit(tick), 10, "middle", "#666"))
    return out


def short(value):
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def short_us(value):
    return f"{value / 1e6:g} s" if value >= 1e6 else f"{value / 1e3:g} ms" if value >= 1e3 else f"{value:g} µs"


def svg(f):
    groups = {}
    for r in f["costs"]:
        groups.setdefault(r["way"], []).append(r)
    rows = sum(map(len, groups.values()))
    bottom = TOP + rows * ROW + len(groups) * 6
    rates = Log(min(r["rate"] for r in f["costs"]), max(r["rate"] for r in f["costs"]), LEFT_EDGE, RATE_END)
    times = Log(min(r["p50_us"] for r in f["costs"]), max(r["p99_us"] for r in f["costs"]), LATENCY_START, RIGHT)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 34}" viewBox="0 0 {WIDTH} {bottom + 34}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{bottom + 34}" fill="white"/>', text(LEFT_EDGE, 24, "marks a second", 13, weight="bold"),
           text(LATENCY_START, 24, "time for a mark: median to 99 of 100", 13, weight="bold"), *axis(rates, bottom, short), *axis(times, bottom, short_us)]
    y = TOP
    for way, members in groups.items():
        out.append(text(LEFT_EDGE - 82, y + 13, way, 12, "end", weight="bold"))
        for r in members:
            colour, middle = COLOURS[r["sync"]], y + ROW / 2
            out.append(text(LEFT_EDGE - 6, y + 13, f"{r['window']} under way" if r["window"] > 1 else "1", 9, "end", "#777"))
            end = rates.at(r["rate"])
            out.append(f'<rect x="{LEFT_EDGE}" y="{y + 3}" width="{end - LEFT_EDGE:.1f}" height="{ROW - 6}" fill="{colour}"/>')
            lost = f" ({number(r['lost'])} lost)" if r["lost"] else ""
            out.append(text(end + 4, y + 13, number(r["rate"]) + lost, 10, colour="#b00" if lost else "#333"))
            a, b = times.at(r["p50_us"]), times.at(r["p99_us"])
            out.append(f'<line x1="{a:.1f}" y1="{middle}" x2="{b:.1f}" y2="{middle}" stroke="{colour}" stroke-width="4"/>')
            out.append(f'<circle cx="{a:.1f}" cy="{middle}" r="4.5" fill="{colour}"/>')
            y += ROW
        y += 6
    x = LEFT_EDGE
    for sync, name in NAMES.items():
        out.append(f'<rect x="{x}" y="{bottom + 12}" width="12" height="12" fill="{COLOURS[sync]}"/>')
        out.append(text(x + 17, bottom + 22, name, 11))
        x += 150
    return "\n".join([*out, "</svg>"]) + "\n"


def write(f):
    PLACE.mkdir(exist_ok=True)
    (PLACE / "figures.json").write_text(json.dumps(f, indent=1) + "\n", encoding="utf-8")
    (PLACE / "figures.md").write_text(markdown(f) + "\n", encoding="utf-8")
    if "costs" in f:
        (PLACE / SVG_NAME).write_text(svg(f), encoding="utf-8")


