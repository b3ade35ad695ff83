"""The tables of figures in both READMEs, made of what the benchmarks stored: each of them calls `write` at its end.

python tests/benchmarks/readme.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PAGES = [HERE.parents[1] / "README.md", HERE / "README.md"]
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
FILES = {"reader": "reader", "listed s": "listed, s", "first batch s": "first batch, s", "held MB": "MB"}
BEST = [
    "PatchCore 10 %, brick",
    "PaDiM, brick",
    "FastFlow fit, brick",
    "coreset 31k x 152, 10 %",
    "KDE 50k x 10k, 16-d, float32",
    "PCA 100,000 x 512, 64 of them",
    "10 x blur 8 x 1 x 256 x 256, sigma 4",
    "10 x block 512, 32 reflections",
]
"""The tasks of :func:`ratios`."""
RATIOS = {"sampling_ratio": "sampling ratio", "rows": "rows kept", "image_AUROC": "image AUROC", "sd": "sd"}
OVERHEAD = {"way": "way", "seconds": "seconds", "each": "seconds a notebook"}
KILLS = {"killed": "killed", "after s": "after, s", "whole": "runs that were whole then"}
ALIKE = {
    "model": "model",
    "data": "data",
    "apart": "image AUROC, drawn one by one",
    "sd apart": "sd",
    "together": "look-alikes kept together",
    "sd together": "sd",
}
NOTEBOOKS = {"notebook": "notebook", "seconds": "seconds", "GB": "GB", "redraw ms": "redraw, ms"}


def stored(name: str) -> dict:
    return json.loads((HERE / f"{name}.json").read_text())


def table(rows: list[dict], columns: dict[str, str]) -> str:
    columns = {column: heading for column, heading in columns.items() if all(column in row for row in rows)}
    cells = [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    heading, *lines = ["| " + " | ".join(line) + " |" for line in ([*columns.values()], *cells)]
    return "\n".join([heading, "|" + "---|" * len(columns), *lines])


def on_each(
    machines: dict[str, dict], columns: dict[str, str], wanted: Callable[[dict], bool] = lambda row: True
) -> str:
    """The wanted rows of each machine that has any, under its name."""
    tables = []
    for name, of in machines.items():
        if rows := [row for row in of["rows"] if wanted(row)]:
            tables.append(f"On {name} ({versions(of)}):\n\n{table(rows, columns)}")
    return "\n\n".join(tables)


def versions(of: dict) -> str:
    return f"torch {of['torch'].partition('+')[0]}, Python {of['python']}"


def results(rows: list[dict]) -> str:
    """Image AUROC: a row for each model and a column for each data set, with the spread where there is one."""
    datas, models = (list(dict.fromkeys(row[name] for row in rows)) for name in ("data", "model"))
    found = {(row["model"], row["data"]): row for row in rows}

    def cell(row: dict | None) -> str | None:
        if row is None:
            return None
        return f"{row['image_AUROC']:.3f}" + (f" ± {row['sd']:.3f}" if row.get("sd") else "")

    lines = [{"model": model, **{data: cell(found.get((model, data))) for data in datas}} for model in models]
    return table(lines, {name: name for name in ("model", *datas)})


def ratios(rows: list[dict]) -> str:
    """How many times as long as ours the best peer and anomalib take for a few tasks."""
    by_task = {row["task"]: row for row in rows}
    columns = {name: PARTS[name] for name in ("task", "ours s", "best peer", "anomalib")}
    return table([by_task[task] for task in BEST if task in by_task], columns)


def look_alikes(found: dict[str, dict]) -> str:
    """How many photographs look like another, and what the detectors reach if those are in different sets or not."""
    shares = [
        {
            "data": name,
            "photographs": of["photographs"],
            "look like another": of["alike"],
            "groups": of["groups"],
            "drawn one by one: of the good test images, like one of training (%)": of["share"],
        }
        for name, of in found.items()
    ]
    rows = [row for of in found.values() for row in of["rows"]]
    return f"{table(shares, {name: name for name in shares[0]})}\n\n{table(rows, ALIKE)}"


def tables() -> dict[str, str]:
    """By the name of the place where each belongs."""
    parts, detection = stored("parts"), stored("detection")
    first_row = next(iter(detection.values()))["rows"][0]
    figures = {column: column.replace("pixel_AUPRO", "AUPRO").replace("_", " ") for column in first_row}
    return {
        "results": results(detection["one CPU core"]["rows"]),
        "ratios": ratios(parts["2 CPU cores"]["rows"]),
        "files": table(stored("many_files")["rows"], FILES),
        "detection": on_each(detection, figures),
        "look-alikes": look_alikes(stored("look_alikes")),
        "speed": on_each(parts, PARTS, lambda row: "AUROC" not in row["checked"]),
        "detectors": on_each(parts, DETECTORS, lambda row: "AUROC" in row["checked"]),
        "figures": on_each(stored("figures"), FIGURES),
        "sweep-ratios": table(stored("sweeps")["patchcore"], RATIOS),
        "sweep-jobs": table(stored("sweeps")["gain"], {"way": "way", "seconds": "seconds"}),
        "sweep-overhead": table(stored("sweeps")["overhead"], OVERHEAD),
        "sweep-kills": table(stored("sweeps")["kills"], KILLS),
        "moons": table(stored("two_moons")["rows"], MOONS),
        "notebooks": on_each(stored("notebooks"), NOTEBOOKS),
    }


def write() -> None:
    texts = {page: page.read_text() for page in PAGES}
    for name, made in tables().items():
        places = 0
        for page, text in texts.items():
            texts[page], found = re.subn(
                rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)",
                lambda at, made=made: at[1] + made + at[2],
                text,
                flags=re.DOTALL,
            )
            places += found
        assert places == 1, name
    for page, text in texts.items():
        page.write_text(text)


if __name__ == "__main__":
    write()
