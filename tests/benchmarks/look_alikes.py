"""Which photographs of solar cells look alike, and what it does to AUROC if they are in different sets.

    uv run python tests/benchmarks/look_alikes.py [--device auto]

Two photographs look alike if their fine dark streaks, grain and spots correlate by more than `LIMIT`: one cell
photographed twice, wafers cut one after another from one block of silicon, or cells printed with one worn screen. What
a cell shares with most others, as the wires, is the median of those that resemble it most and is subtracted before.

Photographs that look alike, also by way of others, are one line of `lib/oddlab/data/solar_look_alikes.txt`, by which
`read_solar` keeps them together. The figures here compare its sets with sets drawn photograph by photograph.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

import readme
from detection import MODELS, SEEDS, SOLAR
from oddlab.data import ImageDataset, Sample, read_solar, solar
from oddlab.data.samples import split
from oddlab.lab.session import choose_device, quiet_lightning

RESULTS = Path(__file__).with_suffix(".json")
LOOK_ALIKES = Path(solar.__file__).with_name(solar.LOOK_ALIKES)
LIMIT = 0.35
"""In the valley of poly cells' highest correlations, which have one peak near 0.1 and another near 0.9."""
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


def find(kind: str) -> tuple[list[Path], np.ndarray, np.ndarray]:
    """The photographs of one kind of cell, which pairs look alike (N, N), and the number of each one's group."""
    images = [image for image, _, of_kind in solar._cells() if of_kind == kind]
    alike = resemblance(torch.stack([pixels(image) for image in images])).numpy() > LIMIT
    return images, alike, connected_components(alike)[1]


def pixels(image: Path) -> Tensor:
    """The photograph at half its size, (1, H, W), from 0 to 1."""
    with Image.open(image) as file:
        return F.avg_pool2d(torch.from_numpy(np.asarray(file.convert("L"))[None] / np.float32(255)), 2)


def lines(images: list[Path], group: np.ndarray) -> list[str]:
    """The names of those that are not alone, a group in each line."""
    members = [[image.stem for image, own in zip(images, group) if own == number] for number in range(group.max() + 1)]
    return [" ".join(names) for names in members if len(names) > 1]


def apart(kind: str, seed: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """The images of `read_solar` in sets of the same sizes, drawn photograph by photograph."""
    samples = [sample for part in read_solar(kind) for sample in part]
    train, rest = split([sample for sample in samples if not sample.label], 0.5, seed)
    return (train, *split(rest + [sample for sample in samples if sample.label], 0.5, seed))


@torch.no_grad()
def scores(model_name: str, train: Tensor, test: Tensor, seed: int) -> np.ndarray:
    make, options, _ = MODELS[model_name]
    seeded = {} if model_name in ("DFKDE", "DFM") else {"random_state": seed}
    model = make(image_size=train.shape[-1], **options, **seeded).to(train.device)
    for images in train.split(32):
        model.fit_batch(images)
    model.finish_fit()
    return torch.cat([model(images)["pred_scores"] for images in test.split(32)]).cpu().numpy()


def measure(kind: str, images: list[Path], alike: np.ndarray, n_groups: int, device: torch.device) -> dict:
    row_of = {image: row for row, image in enumerate(images)}
    shares = []
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in QUICK}
    for seed in SEEDS:
        pairs = {name: [] for name in QUICK}
        for together in (False, True):
            train, _, test = read_solar(kind, random_state=seed) if together else apart(kind, seed)
            if not together:
                tested = [row_of[sample.image] for sample in test if not sample.label]
                trained = [row_of[sample.image] for sample in train]
                shares.append(100 * alike[tested][:, trained].any(axis=1).mean())
            label = [sample.label for sample in test]
            sets = [
                torch.stack([item["image"] for item in ImageDataset(part, 128)]).to(device) for part in (train, test)
            ]
            for name in QUICK:
                pairs[name].append(roc_auc_score(label, scores(name, *sets, seed)))
        for name in QUICK:
            figures[name].append(tuple(pairs[name]))
            print(kind, seed, name, pairs[name], flush=True)
    rows = []
    for name, pairs in figures.items():
        row = {"model": name, "data": f"solar {kind}"}
        for column, values in zip(("apart", "together"), zip(*pairs)):
            row[column] = round(statistics.mean(values), 4)
            row[f"sd {column}"] = round(statistics.stdev(values), 4)
        rows.append(row)
    return {
        "photographs": len(images),
        "alike": int(alike.any(axis=1).sum()),
        "groups": n_groups,
        "share": round(statistics.mean(shares)),
        "rows": rows,
    }


@click.command()
@click.option("--device", default="auto", show_default=True)
def main(device: str) -> None:
    quiet_lightning()
    found = {kind: find(kind) for kind in solar.KINDS}
    groups = {kind: lines(images, group) for kind, (images, _, group) in found.items()}
    LOOK_ALIKES.write_text("".join(f"{line}\n" for of_kind in groups.values() for line in of_kind))
    of_each = {}
    for name, kind in SOLAR.items():
        images, alike, _ = found[kind]
        of_each[name] = measure(kind, images, alike, len(groups[kind]), choose_device(device))
    RESULTS.write_text(json.dumps(of_each, indent=1) + "\n")
    readme.write()


if __name__ == "__main__":
    main()
