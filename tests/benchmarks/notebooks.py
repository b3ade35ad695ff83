"""How long each notebook takes, and each of its sliders: one command prints the table and writes it beside this file.

    uv run --group browser python tests/benchmarks/notebooks.py

It runs `oddlab run`, then the browser tests with `--redraws`. Seconds and gigabytes are those of the run; a redraw is
the time from a key press on a slider in JupyterLab to the new picture, the first of each slider.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

import readme
from oddlab.lab.session import choose_device
from turns import name_of

ROOT, RESULTS = Path(__file__).parents[2], Path(__file__).with_suffix(".json")


@click.command()
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, redraws = Path(folder) / "run", Path(folder) / "redraws.json"
        oddlab = Path(sys.executable).with_name("oddlab")
        subprocess.run([oddlab, "run", "--out", out], cwd=ROOT, check=True)
        tests = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n0",
            "tests/browser/test_notebooks.py",
            "--redraws",
            str(redraws),
        ]
        subprocess.run(tests, cwd=ROOT, check=True)
        ran = json.loads((out / "summary.json").read_text())["notebooks"]
        seconds = json.loads(redraws.read_text())
    rows = []
    for result in ran:
        stem = Path(result["notebook"]).stem
        first = [round(1000 * value) for value in seconds[stem]]
        redraw = round(statistics.median(first)) if first else None
        took = {"seconds": round(result["seconds"]), "GB": round(result["peak_memory"] / 1e9, 1)}
        rows.append({"notebook": stem, **took, "redraw ms": redraw, "each ms": first})
    everything = [value for row in rows for value in row["each ms"]]
    table = Table(
        title=f"{sum(row['seconds'] for row in rows)} s; median redraw {statistics.median(everything):.0f} ms"
    )
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=120).print(table)
    machine = name_of(choose_device("auto"))  # as the notebooks choose
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    stored[machine] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "median redraw ms": round(statistics.median(everything)),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    readme.write()


if __name__ == "__main__":
    main()
