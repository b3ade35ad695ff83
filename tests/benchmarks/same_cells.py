"""How many photographs of solar cells show a cell that another photograph shows too, and what this does to AUROC.

    uv run python tests/benchmarks/same_cells.py [--device auto]

The data set does not say which photographs show the same cell. Two of them are taken for it if the fine dark streaks
and spots that are the cell's own correlate by more than `LIMIT`. What a cell shares with others of its kind, as the
wires, is the median of those that resemble it most and is subtracted before.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

import readme
from detection import MODELS, SEEDS, SOLAR
from oddlab.data import ImageDataset, Sample, read_solar
from oddlab.lab.session import choose_device, quiet_lightning

RESULTS = Path(__file__).with_suffix(".json")
LIMIT = 0.35
"""In the valley of poly cells' highest correlations, which have one peak near 0.15 and another near 0.9."""
QUICK = ["PaDiM", "PatchCore 1 %", "DFKDE", "DFM"]


def resemblance(images: Tensor) -> Tensor:
    """Correlation (N, N) of what is each cell's own in images (N, 1, H, W); -1 on the diagonal."""
    streaks = mean_around(images, 5, 1) - mean_around(images, 5, 15)
    streaks = streaks[:, :, 8:-8, 8:-8].flatten(1)  # the rim differs with how the photograph was cut
    usual = streaks.abs().median(dim=1, keepdim=True).values
    streaks = (streaks / (usual + 1e-4)).clamp(-6, 6)
    shared = torch.stack([streaks[row].median(dim=0).values for row in correlation(streaks).topk(60).indices])
    return correlation(streaks - shared)


def mean_around(images: Tensor, height: int, width: int) -> Tensor:
    padded = F.pad(images, (width // 2, width // 2, height // 2, height // 2), mode="reflect")
    return F.avg_pool2d(padded, (height, width), stride=1)


def correlation(rows: Tensor) -> Tensor:
    rows = F.normalize(rows, dim=1)
    return (rows @ rows.T).fill_diagonal_(-1)


def pixels(sample: Sample) -> Tensor:
    """The photograph at half its size, (1, H, W), from 0 to 1."""
    with Image.open(sample.image) as file:
        return F.avg_pool2d(torch.from_numpy(np.asarray(file.convert("L"))[None] / np.float32(255)), 2)


@torch.no_grad()
def scores(model_name: str, train: Tensor, test: Tensor, seed: int) -> np.ndarray:
    make, options, _ = MODELS[model_name]
    seeded = {} if model_name in ("DFKDE", "DFM") else {"random_state": seed}
    model = make(image_size=train.shape[-1], **options, **seeded).to(train.device)
    for images in train.split(32):
        model.fit_batch(images)
    model.finish_fit()
    return torch.cat([model(images)["pred_scores"] for images in test.split(32)]).cpu().numpy()


def measure(data_name: str, device: torch.device) -> dict:
    splits = {seed: read_solar(SOLAR[data_name], random_state=seed) for seed in SEEDS}
    everything = {sample.image: sample for part in splits[0] for sample in part}
    row_of = {image: row for row, image in enumerate(sorted(everything))}
    alike = resemblance(torch.stack([pixels(everything[image]) for image in row_of])) > LIMIT
    shares = []
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in QUICK}
    for seed, (train, _, test) in splits.items():
        tested, trained = [[row_of[sample.image] for sample in part] for part in (test, train)]
        twin = alike[tested][:, trained].any(dim=1).numpy()
        label = np.array([sample.label for sample in test])
        new = (label == 1) | ~twin
        shares.append(100 * twin[label == 0].mean())
        images = [torch.stack([item["image"] for item in ImageDataset(part, 128)]).to(device) for part in (train, test)]
        for name in QUICK:
            found = scores(name, *images, seed)
            figures[name].append((roc_auc_score(label, found), roc_auc_score(label[new], found[new])))
            print(data_name, seed, name, figures[name][-1], flush=True)
    rows = []
    for name, pairs in figures.items():
        row = {"model": name, "data": data_name}
        for column, values in zip(("all", "new"), zip(*pairs)):
            row[column] = round(statistics.mean(values), 4)
            row[f"sd {column}"] = round(statistics.stdev(values), 4)
        rows.append(row)
    return {
        "photographs": len(row_of),
        "alike": int(alike.any(dim=1).sum()),
        "share": round(statistics.mean(shares)),
        "rows": rows,
    }


@click.command()
@click.option("--device", default="auto", show_default=True)
def main(device: str) -> None:
    quiet_lightning()
    RESULTS.write_text(json.dumps({name: measure(name, choose_device(device)) for name in SOLAR}, indent=1) + "\n")
    readme.write()


if __name__ == "__main__":
    main()
