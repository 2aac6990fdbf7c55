"""Tables and learning curves of the runs of a sweep, from what each has written."""

import csv
import json
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from motiongpt3_jax.statuses import CONTINUES, DONE, FAILED, PEER_LOST, WRONG_INPUT

MEASURED = {"reconstruction": "reconstructed", "text_to_motion": "shown", "sides": "sides", "captioning": "captioned"}
"""Shares of a run's `report.json`, and the columns that they fill."""

STATUS = {
    DONE: "finished",
    FAILED: "failed",
    WRONG_INPUT: "wrong input",
    CONTINUES: "interrupted",
    PEER_LOST: "lost a process",
}
"""What an exit status is called."""

Entry = Mapping[str, Any]


def write_report(out: Path, names: Sequence[str], known: Mapping[str, Entry]) -> str:
    """Writes `table.csv`, `table.md` and `curves.svg` into a sweep's folder; gives the second's text.

    Args:
      out: the sweep's folder.
      names: its runs.
      known: how each ended, by name.
    """
    curves = {name: validations(out / name / "metrics.jsonl") for name in names}
    rows = [row(name, curves[name], known.get(name, {}), out / name / "report.json") for name in names]
    columns = list(dict.fromkeys(column for entry in rows for column in entry))
    with (out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    # Terms of a loss are in the other table.
    text = markdown(rows, [column for column in columns if "/" not in column])
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    finite = {name: [entry for entry in entries if isfinite(entry["loss"])] for name, entries in curves.items()}
    (out / "curves.svg").write_text(svg(finite), encoding="utf-8")
    return f"{text}\n\nin {out}: table.md, table.csv, curves.svg"


def validations(path: Path) -> list[Entry]:
    """The validations of a run; a line that is being written is left out."""
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry["kind"] == "validation":
            entries.append(entry)
    return entries


def row(name: str, entries: Sequence[Entry], known: Entry, report: Path) -> dict[str, Any]:
    """A run's line: how it ended, the last validation of each stage, what was measured."""
    status = known.get("status")
    cells: dict[str, Any] = {"run": name, "status": STATUS.get(status, f"status {status}") if known else "not begun"}
    cells["minutes"] = known.get("minutes", "")
    if not known and entries:
        cells["status"] = "run elsewhere"
    for entry in entries:
        cells[entry["stage"]] = entry["loss"]
        terms = {key: value for key, value in entry.items() if key.startswith("loss/")}
        cells |= {f"{entry['stage']}/{key.removeprefix('loss/')}": value for key, value in terms.items()}
    if report.exists():
        shares = json.loads(report.read_text(encoding="utf-8"))
        cells |= {column: shares[key]["share_right"] for key, column in MEASURED.items() if key in shares}
    return cells


def markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table whose columns are as wide as what they hold."""
    cells = [list(columns), *([shown(entry.get(column, "")) for column in columns] for entry in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def shown(value: Any) -> str:
    """A cell of a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


WIDTH = 380
"""Of a panel with its axis, in the units of the picture."""

HEIGHT = 240
"""Of the curves."""

LEFT = 60
"""Room for the axis."""

TOP = 40
"""Room for the title."""

LINE = 16
"""Height of a line of text."""


def svg(curves: Mapping[str, Sequence[Entry]]) -> str:
    """Validation loss against step, a panel for each stage and a colour for each run."""
    stages = list(dict.fromkeys(entry["stage"] for entries in curves.values() for entry in entries))
    colours = {name: f"hsl({360 * i // max(len(curves), 1)},70%,42%)" for i, name in enumerate(curves)}
    panels = [panel(i * (LEFT + WIDTH), stage, curves, colours) for i, stage in enumerate(stages)]
    legend = [
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 40 + LINE * i}" fill="{colour}">{escape(name)}</text>'
        for i, (name, colour) in enumerate(colours.items())
    ]
    size = f"{max(len(stages), 1) * (LEFT + WIDTH) + LEFT} {TOP + HEIGHT + 60 + LINE * len(colours)}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, *legend, "</svg>", ""])


def panel(x: int, stage: str, curves: Mapping[str, Sequence[Entry]], colours: Mapping[str, str]) -> str:
    """One stage's curves, with the ends of both axes written beside them."""
    points = {
        name: [(entry["step"], entry["loss"]) for entry in entries if entry["stage"] == stage]
        for name, entries in curves.items()
    }
    steps = [step for line in points.values() for step, _ in line]
    losses = [loss for line in points.values() for _, loss in line]
    low, high, last = min(losses), max(losses), max(steps)
    left, bottom = x + LEFT, TOP + HEIGHT

    def place(step: float, loss: float) -> str:
        height = (loss - low) / ((high - low) or 1.0)
        return f"{left + (WIDTH - LEFT) * step / last:.1f},{bottom - HEIGHT * height:.1f}"

    lines = [
        f'<polyline fill="none" stroke="{colours[name]}" stroke-width="1.5" '
        f'points="{" ".join(place(*point) for point in line)}"><title>{escape(name)}</title></polyline>'
        for name, line in points.items()
        if line
    ]
    marks = [
        f'<text x="{left}" y="{TOP - 12}" font-weight="bold">{escape(stage)}: validation loss</text>',
        f'<path d="M{left},{TOP}V{bottom}H{left + WIDTH - LEFT}" fill="none" stroke="gray"/>',
        f'<text x="{left - 4}" y="{TOP + 10}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{left - 4}" y="{bottom}" text-anchor="end">{low:.3g}</text>',
        f'<text x="{left + WIDTH - LEFT}" y="{bottom + LINE}" text-anchor="end">step {last}</text>',
    ]
    return "\n".join([*marks, *lines])
