"""Whole detectors beside anomalib's: the same backbone with the same weights and the same images, fit and predict.

What is timed begins with images in memory and a detector that is not fitted, and ends with a score for each test image,
or for FastFlow with the trained flow. Each runs the backbone in its own way: ours as `FeatureExtractor` does,
anomalib's as the network is. "limit" is the backbone alone, run in our way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from anomalib.models.image.fastflow.loss import FastflowLoss
from anomalib.models.image.fastflow.torch_model import FastflowModel, create_fast_flow_block
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from oddlab import FastFlow, PaDiM, PatchCore
from oddlab.data import TEXTURES, ImageDataset, read_folder, read_magnetic_tiles, texture_folder
from oddlab.features import run_with_hooks
from oddlab.lab.session import trainer
from oddlab.models.fastflow import CLAMPING
from oddlab.models.patch_features import PatchFeatures
from turns import Calls, quiet

LAYERS = ["blocks.4", "blocks.10"]
BATCH = 32
STEPS = 60
"""Of FastFlow's training, in epochs of as many steps as it takes to see all images."""


class Layers(nn.Module):
    """The backbone of our detectors as anomalib's expect it: a dictionary of maps, or for FastFlow a list."""

    def __init__(self, features: PatchFeatures, as_list: bool = False) -> None:
        super().__init__()
        self.features, self.as_list = features, as_list
        self.out_dims = [shape[0] for shape in features.shapes]

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor] | list[Tensor]:
        normalised = (images - self.features.pixel_mean) / self.features.pixel_std
        extractor = self.features.extractor
        maps = run_with_hooks(extractor.backbone, extractor.layers, normalised)
        return list(maps.values()) if self.as_list else maps


def images_of(samples: Sequence, side: int) -> tuple[Tensor, list[int]]:
    data = ImageDataset(samples, side)
    loaded = [data[i] for i in range(len(data))]
    return torch.stack([one["image"] for one in loaded]), [int(one["label"]) for one in loaded]


def scores(model: nn.Module, images: Tensor) -> Tensor:
    found = [model.eval()(batch) for batch in images.split(BATCH)]
    return torch.cat([result["pred_scores"] if isinstance(result, dict) else result.pred_score for result in found])


def detector(
    samples: tuple[Sequence, Sequence], side: int, ratio: float | None, device: torch.device
) -> tuple[Calls, Callable]:
    """PaDiM, or PatchCore with `ratio` of the patches, fitted on the first of `samples`."""
    (train, _), (test, labels) = images_of(samples[0], side), images_of(samples[1], side)
    train, test = train.to(device), test.to(device)
    make = PaDiM if ratio is None else PatchCore
    options = {} if ratio is None else {"sampling_ratio": ratio}
    pool = {} if ratio is None else {"pool": 3, "mode": "bilinear"}
    features = PatchFeatures("efficientnet_lite0", LAYERS, image_size=side, **pool).to(device)

    model = make("efficientnet_lite0", LAYERS, image_size=side, **options).to(device)
    names = {"layers": ["layer1", "layer2"], "backbone": "resnet18", "pre_trained": False}
    theirs = (PadimModel(**names, n_features=100) if ratio is None else PatchcoreModel(**names)).to(device)
    theirs.feature_extractor, theirs.layers = Layers(features), LAYERS
    if ratio is None:
        theirs.idx = torch.arange(features.n_features)

    def ours() -> Tensor:
        model.reset()
        for batch in train.split(BATCH):
            model.fit_batch(batch)
        model.finish_fit()
        return scores(model, test)

    def anomalib() -> Tensor:
        theirs.train()
        for batch in train.split(BATCH):
            theirs(batch)
        torch.manual_seed(0)
        with quiet():
            theirs.fit() if ratio is None else theirs.subsample_embedding(ratio)
        return scores(theirs, test)

    def limit() -> list[Tensor]:
        for batch in torch.cat([train, test]).split(BATCH):
            maps = features.maps(batch)
        return maps

    def check(results: dict) -> str:
        reached = {name: roc_auc_score(labels, results[name].cpu().numpy()) for name in ("ours", "anomalib")}
        # The coresets begin at different patches, which alone moves the figure by this much.
        assert reached["ours"] > reached["anomalib"] - 0.01, reached
        return f"image AUROC {reached['ours']:.3f}, anomalib's {reached['anomalib']:.3f}"

    return {"ours": ours, "anomalib": anomalib, "limit": limit}, check


def fastflow(samples: Sequence, side: int, device: torch.device) -> tuple[Calls, Callable]:
    """FastFlow trained for :data:`STEPS` steps of the same flow on the same features, ours under a Trainer."""
    train, _ = images_of(samples, side)
    loader = torch.utils.data.DataLoader([{"image": image} for image in train], BATCH, shuffle=True)
    epochs = math.ceil(STEPS / len(loader))

    def ours() -> nn.Module:
        model = FastFlow(image_size=side)
        trainer(device, max_epochs=epochs).fit(model, loader)
        return model

    like = FastFlow(image_size=side)

    def anomalib() -> nn.Module:
        model = FastflowModel((side, side), "resnet18", pre_trained=False)
        model.feature_extractor = Layers(like.features, as_list=True)
        model.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in like.features.shapes)
        model.fast_flow_blocks = nn.ModuleList(
            create_fast_flow_block(list(shape), False, 1.0, like.hparams["flow_steps"], CLAMPING)
            for shape in like.features.shapes
        )
        model, loss = model.to(device).train(), FastflowLoss()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=1e-5)
        with torch.enable_grad():
            for _ in range(epochs):
                for batch in loader:
                    optimizer.zero_grad()
                    loss(*model(batch["image"].to(device))).backward()
                    optimizer.step()
        return model

    def limit() -> list[Tensor]:
        with torch.no_grad():
            for batch in train.to(device).split(BATCH):
                maps = like.features.maps(batch)
        return maps

    def check(results: dict) -> str:
        sizes = [
            sum(p.numel() for p in flows.parameters() if p.requires_grad)  # theirs has permutations among them
            for flows in (results["ours"].flows, results["anomalib"].fast_flow_blocks)
        ]
        assert sizes[0] == sizes[1], sizes
        return f"AUROC apart: flows of {sizes[0]:,} parameters each, {epochs * len(loader)} steps"

    return {"ours": ours, "anomalib": anomalib, "limit": limit}, check


def tasks(tiles: str | Path | None, device: torch.device) -> dict[str, Callable[[], tuple[Calls, Callable]]]:
    """The magnetic tiles in the folder `tiles` are wanted by the last three alone."""

    def some_tiles() -> tuple[Sequence, Sequence]:
        train, test = read_magnetic_tiles(tiles)
        return train[:200], test[::3]  # anomalib's coreset of all would take hours

    tried = {}
    for texture in TEXTURES:
        samples = read_folder(texture_folder(), texture)
        tried[f"PaDiM, {texture}"] = partial(detector, samples, 128, None, device)
        tried[f"PatchCore 10 %, {texture}"] = partial(detector, samples, 128, 0.1, device)
        tried[f"FastFlow fit, {texture}"] = partial(fastflow, samples[0], 128, device)
    return tried | {
        "PaDiM, 200 magnetic tiles": lambda: detector(some_tiles(), 224, None, device),
        "PatchCore 1 %, 200 magnetic tiles": lambda: detector(some_tiles(), 224, 0.01, device),
        "FastFlow fit, 200 magnetic tiles": lambda: fastflow(some_tiles()[0], 224, device),
    }
