"""What each detector reaches: one command prints the table and writes it beside this file.

    uv run python tests/benchmarks/detection.py [--tiles FOLDER] [--only MODEL] [--data NAME] [--device auto]

The default textures and the solar cells come with oddlab; FOLDER is what `oddlab data get tiles` writes, or the
magnetic tile set in its own layout with `train_names.txt`: 761 of the good tiles, those of the published split, are to
fit on, all others and all defects are to test. Solar cells are drawn anew with each of five seeds, which are also the
detectors': figures are means, and "sd" is the standard deviation of the image AUROC over seeds.

Thresholds are of no concern here: every figure is over all test images. GB is the most memory that the process held,
libraries and data included, or on a GPU the most that was allocated there. FastFlow trains for 200 steps, which is 20
epochs of a texture.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import statistics
import time
from pathlib import Path

import click
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

import readme
from oddlab import DFKDE, DFM, FastFlow, PaDiM, PatchCore
from oddlab.data import TEXTURES, ImageData, read_folder, read_magnetic_tiles, read_solar, texture_folder
from oddlab.lab.session import choose_device, quiet_lightning, trainer
from turns import name_of

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


SOLAR = {"solar mono": "mono", "solar poly": "poly"}
TILES = "magnetic tiles"
SIDES = dict.fromkeys([*SOLAR, *TEXTURES], 128) | {TILES: 224}
SEEDS = range(5)
"""Of the solar cells; everything else is measured once."""


def images_of(data_name: str, tiles: str | None, seed: int) -> ImageData:
    if data_name in SOLAR:
        train, _, test = read_solar(SOLAR[data_name], random_state=seed)
    elif data_name in TEXTURES:
        train, test = read_folder(texture_folder(), data_name)
    else:
        train, test = read_magnetic_tiles(tiles, published_split=True)
    return ImageData(train, test, image_size=SIDES[data_name], val_split=None, random_state=seed)


def measure(model_name: str, data_name: str, tiles: str | None, device: torch.device, seed: int) -> dict:
    quiet_lightning()
    data = images_of(data_name, tiles, seed)
    make, options, training = MODELS[model_name]
    pl.seed_everything(seed, verbose=False)
    seeded = {} if make in (DFKDE, DFM) else {"random_state": seed}
    model = make(image_size=data.image_size, **options, **seeded)
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
        "side": data.image_size,
        "fit on": len(data.train_set),
        "tested on": len(data.test_set),
        # DFKDE draws no maps, and solar cells have no masks
        **{figure: figures.get(figure) for figure in FIGURES},
        "fit s": fitted - start,
        "test s": end - fitted,
        "GB": most / 1e9,
    }


def summary(runs: list[dict]) -> dict:
    """One row for the runs of all seeds: their means, and the spread of the image AUROC."""
    row = dict(runs[0])
    for column in (*FIGURES, "fit s", "test s"):
        values = [run[column] for run in runs]
        row[column] = None if None in values else round(statistics.mean(values), 4 if column in FIGURES else 1)
    row["GB"] = round(max(run["GB"] for run in runs), 1)
    spread = statistics.stdev(run["image_AUROC"] for run in runs) if len(runs) > 1 else None
    columns = list(row)
    after = columns.index("image_AUROC") + 1
    return {
        **{column: row[column] for column in columns[:after]},
        "sd": spread and round(spread, 4),
        **{column: row[column] for column in columns[after:]},
    }


@click.command()
@click.option("--tiles", type=click.Path(exists=True, file_okay=False), help="Folder of the magnetic tile set.")
@click.option("--only", default="", help="Models whose name contains this word.")
@click.option("--data", "wanted", default="", help="Data whose name contains this word.")
@click.option("--device", default="auto", show_default=True)
def main(tiles: str | None, only: str, wanted: str, device: str) -> None:
    chosen = choose_device(device)
    machine = name_of(chosen)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = {(row["data"], row["model"]): row for row in stored.get(machine, {}).get("rows", [])}
    everything = [(data, model) for data in SIDES for model in MODELS]
    for data, model in everything:
        if only not in model or wanted not in data or (data == TILES and not tiles):
            continue
        # A process of its own for each, so that its memory is known; spawned, as CUDA needs it.
        seeds = SEEDS if data in SOLAR else SEEDS[:1]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows[data, model] = summary(pool.starmap(measure, [(model, data, tiles, chosen, seed) for seed in seeds]))
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
