"""Whole detectors beside anomalib's: the same backbone object and the same images, fit and predict.

What is timed begins with images in memory and ends with a score for each test image. "limit" is the backbone alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from turns import Calls, quiet

from oddlab.data import TEXTURES, ImageDataset, read_folder, read_magnetic_tiles, texture_folder
from oddlab.models.padim import PaDiMModel
from oddlab.models.patch_features import PatchFeatures
from oddlab.models.patchcore import PatchCoreModel

LAYERS = ["blocks.4", "blocks.10"]
BATCH = 32


class Layers(nn.Module):
    """The backbone of our detectors as anomalib's expect it: a dictionary of maps."""

    def __init__(self, features: PatchFeatures) -> None:
        super().__init__()
        self.features, self.out_dims = features, [shape[0] for shape in features.shapes]

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict(zip(LAYERS, self.features.maps(images)))


def images_of(samples: Sequence, side: int) -> tuple[Tensor, list[int]]:
    data = ImageDataset(samples, side)
    loaded = [data[i] for i in range(len(data))]
    return torch.stack([one["image"] for one in loaded]), [int(one["label"]) for one in loaded]


def scores(model: nn.Module, images: Tensor) -> Tensor:
    found = [model.eval()(batch) for batch in images.split(BATCH)]
    if hasattr(found[0], "pred_score"):
        return torch.cat([result.pred_score for result in found])
    return torch.cat([result[1] if isinstance(result, tuple) else result.flatten(1).amax(dim=1) for result in found])


def detector(
    samples: tuple[Sequence, Sequence], side: int, ratio: float | None, device: torch.device
) -> tuple[Calls, Callable]:
    """PaDiM, or PatchCore with `ratio` of the patches, fitted on the first of `samples`."""
    (train, _), (test, labels) = images_of(samples[0], side), images_of(samples[1], side)
    train, test = train.to(device), test.to(device)
    make = PaDiMModel if ratio is None else PatchCoreModel
    options = {} if ratio is None else {"sampling_ratio": ratio}
    features = PatchFeatures("efficientnet_lite0", LAYERS, image_size=side).to(device)

    def ours() -> Tensor:
        model = make("efficientnet_lite0", LAYERS, image_size=side, **options).to(device)
        model.features.extractor = features.extractor
        for batch in train.split(BATCH):
            model.fit_batch(batch)
        model.finish_fit()
        return scores(model, test)

    def anomalib() -> Tensor:
        names = {"layers": ["layer1", "layer2"], "backbone": "resnet18", "pre_trained": False}
        model = PadimModel(**names, n_features=100) if ratio is None else PatchcoreModel(**names)
        model.feature_extractor, model.layers = Layers(features), LAYERS
        if ratio is None:
            model.idx = torch.arange(features.n_features)
        model.to(device).train()
        for batch in train.split(BATCH):
            model(batch)
        torch.manual_seed(0)
        with quiet():
            model.fit() if ratio is None else model.subsample_embedding(ratio)
        return scores(model, test)

    def limit() -> list[Tensor]:
        for batch in torch.cat([train, test]).split(BATCH):
            maps = features.maps(batch)
        return maps

    def check(results: dict) -> str:
        reached = {name: roc_auc_score(labels, results[name].cpu().numpy()) for name in ("ours", "anomalib")}
        assert reached["ours"] > reached["anomalib"] - 0.005, reached
        return f"image AUROC {reached['ours']:.3f}, anomalib's {reached['anomalib']:.3f}"

    return {"ours": ours, "anomalib": anomalib, "limit": limit}, check


def tasks(tiles: str | Path | None, device: torch.device) -> dict[str, Callable[[], tuple[Calls, Callable]]]:
    """The magnetic tiles in the folder `tiles` are wanted by the last two alone."""

    def some_tiles() -> tuple[Sequence, Sequence]:
        train, test = read_magnetic_tiles(tiles)
        return train[:200], test[::3]  # anomalib's coreset of all would take hours

    tried = {}
    for texture in TEXTURES:
        samples = read_folder(texture_folder(), texture)
        tried[f"PaDiM, {texture}"] = partial(detector, samples, 128, None, device)
        tried[f"PatchCore 10 %, {texture}"] = partial(detector, samples, 128, 0.1, device)
    return tried | {
        "PaDiM, 200 magnetic tiles": lambda: detector(some_tiles(), 224, None, device),
        "PatchCore 1 %, 200 magnetic tiles": lambda: detector(some_tiles(), 224, 0.01, device),
    }
