"""What PaDiM reaches: one command prints the table and writes it beside this file.

    uv run python tests/benchmarks/detection.py [--tiles FOLDER] [--device auto]

The default textures come with oddlab; FOLDER holds the magnetic tile set (MT_Free, MT_Blowhole and so on), of whose
good images 80 %, drawn by seed 0, are to fit on, and all others and all defects to test. Thresholds are of no concern
here: every figure is over all of them.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from oddlab import PaDiM
from oddlab.data import TEXTURES, ImageData, read_folder, read_magnetic_tiles, texture_folder
from oddlab.lab.session import choose_device, quiet_lightning, trainer

RESULTS = Path(__file__).with_suffix(".json")
FIGURES = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


def measure(name: str, samples: tuple, image_size: int, device: torch.device) -> dict:
    data = ImageData(*samples, image_size=image_size, val_split=None)
    model = PaDiM(image_size=image_size)
    start = time.perf_counter()
    trainer(device, limit_val_batches=0).fit(model, data)
    fitted = time.perf_counter()
    figures = trainer(device).test(model, data, verbose=False)[0]
    return {
        "data": name,
        "side": image_size,
        "fit on": len(samples[0]),
        "tested on": len(samples[1]),
        **{figure: round(figures[figure], 4) for figure in FIGURES},
        "fit s": round(fitted - start, 1),
        "test s": round(time.perf_counter() - fitted, 1),
    }


@click.command()
@click.option("--tiles", type=click.Path(exists=True, file_okay=False), help="Folder of the magnetic tile set.")
@click.option("--device", default="auto", show_default=True)
def main(tiles: str | None, device: str) -> None:
    quiet_lightning()
    chosen = choose_device(device)
    rows = [measure(name, read_folder(texture_folder(), name), 128, chosen) for name in TEXTURES]
    if tiles:
        rows.append(measure("magnetic tiles", read_magnetic_tiles(tiles), 224, chosen))
    machine = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{torch.get_num_threads()} CPU cores"
    table = Table(title=f"PaDiM, EfficientNet-Lite0, blocks.4 + blocks.10, on {machine}")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "data" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    stored[machine] = {"torch": torch.__version__, "python": platform.python_version(), "rows": rows}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
