"""The tables of figures in the README, made of what the benchmarks stored: each of them calls `write` at its end.

    python tests/benchmarks/readme.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
PARTS = {
    "task": "task",
    "ours s": "ours, s",
    "best peer": "best peer takes",
    "anomalib": "anomalib takes",
    "limit": "limit takes",
    "share": "share of the device's rate",
    "ours GB": "ours, GB",
    "anomalib GB": "anomalib, GB",
}
"""Columns as they are stored, and their headings."""
DETECTORS = {column: heading for column, heading in PARTS.items() if column not in ("best peer", "share")}
DETECTORS |= {"checked": "compared"}
FIGURES = {column: DETECTORS[column] for column in ("task", "ours s", "anomalib", "ours GB", "anomalib GB")}
MOONS = {name: name for name in ("flow", "parameters", "nats")} | {"spread": "lowest to highest", "seconds": "seconds"}
NOTEBOOKS = {"notebook": "notebook", "seconds": "seconds", "GB": "GB", "redraw ms": "redraw, ms"}


def stored(name: str) -> dict:
    return json.loads((HERE / f"{name}.json").read_text())


def table(rows: list[dict], columns: dict[str, str]) -> str:
    columns = {column: heading for column, heading in columns.items() if all(column in row for row in rows)}
    cells = [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    heading, *lines = ["| " + " | ".join(line) + " |" for line in ([*columns.values()], *cells)]
    return "\n".join([heading, "|" + "---|" * len(columns), *lines])


def on_each(machines: dict[str, dict], columns: dict[str, str], wanted: Callable[[dict], bool] = lambda row: True) -> str:
    """The wanted rows of each machine that has any, under its name."""
    tables = []
    for name, of in machines.items():
        if rows := [row for row in of["rows"] if wanted(row)]:
            tables.append(f"On {name} ({versions(of)}):\n\n{table(rows, columns)}")
    return "\n\n".join(tables)


def versions(of: dict) -> str:
    return f"torch {of['torch'].partition('+')[0]}, Python {of['python']}"


def tables() -> dict[str, str]:
    """By the name of the place where each belongs."""
    parts, detection = stored("parts"), stored("detection")
    first_row = next(iter(detection.values()))["rows"][0]
    figures = {column: column.replace("pixel_AUPRO", "AUPRO").replace("_", " ") for column in first_row}
    return {
        "detection": on_each(detection, figures),
        "speed": on_each(parts, PARTS, lambda row: "AUROC" not in row["checked"]),
        "detectors": on_each(parts, DETECTORS, lambda row: "AUROC" in row["checked"]),
        "figures": on_each(stored("figures"), FIGURES),
        "moons": table(stored("two_moons")["rows"], MOONS),
        "notebooks": on_each(stored("notebooks"), NOTEBOOKS),
    }


def write() -> None:
    text = README.read_text()
    for name, made in tables().items():
        text, places = re.subn(
            rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", lambda found: found[1] + made + found[2], text, flags=re.DOTALL
        )
        assert places == 1, name
    README.write_text(text)


if __name__ == "__main__":
    write()
