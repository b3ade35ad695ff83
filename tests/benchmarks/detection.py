"""What each detector reaches: one command prints the table and writes it beside this file.

    uv run python tests/benchmarks/detection.py [--tiles FOLDER] [--only MODEL] [--device auto]

The default textures come with oddlab; FOLDER holds the magnetic tile set (MT_Free, MT_Blowhole and so on), of whose
good images 80 %, drawn by seed 0, are to fit on, and all others and all defects to test. Thresholds are of no concern
here: every figure is over all of them. GB is the most memory that the process held, libraries and data included, or on
a GPU the most that was allocated there. FastFlow trains for 200 steps, which is 20 epochs of a texture.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import time
from pathlib import Path

import click
import pytorch_lightning as pl
import readme
import torch
from rich.console import Console
from rich.table import Table
from turns import name_of

from oddlab import DFKDE, DFM, FastFlow, PaDiM, PatchCore
from oddlab.data import TEXTURES, ImageData, read_folder, read_magnetic_tiles, texture_folder
from oddlab.lab.session import choose_device, quiet_lightning, trainer

RESULTS = Path(__file__).with_suffix(".json")
FIGURES = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
MODELS = {
    "PaDiM": (PaDiM, {}, {}),
    "PatchCore 1 %": (PatchCore, {"sampling_ratio": 0.01}, {}),
    "PatchCore 10 %": (PatchCore, {"sampling_ratio": 0.1}, {}),
    "DFKDE": (DFKDE, {}, {}),
    "DFM": (DFM, {}, {}),
    "FastFlow": (FastFlow, {}, {"max_epochs": -1, "max_steps": 200}),
}
"""What makes a detector, its options, and the trainer's."""


def measure(model_name: str, data_name: str, tiles: str | None, device: torch.device) -> dict:
    quiet_lightning()
    image_size = 128 if data_name in TEXTURES else 224
    samples = read_folder(texture_folder(), data_name) if data_name in TEXTURES else read_magnetic_tiles(tiles)
    data = ImageData(*samples, image_size=image_size, val_split=None)
    make, options, training = MODELS[model_name]
    pl.seed_everything(0, verbose=False)
    model = make(image_size=image_size, **options)
    start = time.perf_counter()
    trainer(device, limit_val_batches=0, **training).fit(model, data)
    fitted = time.perf_counter()
    figures = trainer(device).test(model, data, verbose=False)[0]
    end = time.perf_counter()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of 1024 bytes, on Linux
    most = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 1024 * kilobytes
    return {
        "model": model_name,
        "data": data_name,
        "side": image_size,
        "fit on": len(samples[0]),
        "tested on": len(samples[1]),
        # DFKDE draws no maps
        **{figure: round(figures[figure], 4) if figure in figures else None for figure in FIGURES},
        "fit s": round(fitted - start, 1),
        "test s": round(end - fitted, 1),
        "GB": round(most / 1e9, 1),
    }


@click.command()
@click.option("--tiles", type=click.Path(exists=True, file_okay=False), help="Folder of the magnetic tile set.")
@click.option("--only", default="", help="Models whose name contains this word.")
@click.option("--device", default="auto", show_default=True)
def main(tiles: str | None, only: str, device: str) -> None:
    chosen = choose_device(device)
    machine = name_of(chosen)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = {(row["data"], row["model"]): row for row in stored.get(machine, {}).get("rows", [])}
    everything = [(data, model) for data in (*TEXTURES, "magnetic tiles") for model in MODELS]
    for data, model in everything:
        if only not in model or (data == "magnetic tiles" and not tiles):
            continue
        # A process of its own for each, so that its memory is known; spawned, as CUDA needs it.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows[data, model] = pool.apply(measure, (model, data, tiles, chosen))
        print(rows[data, model], flush=True)
        ordered = [rows[key] for key in everything if key in rows]
        stored[machine] = {"torch": torch.__version__, "python": platform.python_version(), "rows": ordered}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    rows = stored[machine]["rows"]
    table = Table(title=f"EfficientNet-Lite0, default layers, on {machine}")
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("model", "data") else "right")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=140).print(table)
    readme.write()


if __name__ == "__main__":
    main()
