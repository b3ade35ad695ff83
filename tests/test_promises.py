"""What every part promises (design: never changes its arguments, keeps the dtype, is seeded, saves and loads, refuses
bad input by name, bounds its memory). A part joins by adding an entry to PARTS."""

from __future__ import annotations

import copy
import io
import pickle
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import oddlab
from oddlab import (
    AUPRO,
    DFKDE,
    DFM,
    PCA,
    SSPCAB,
    AllInOneBlock,
    DynamicBufferModule,
    FastFlow,
    FeatureExtractor,
    GaussianBlur2d,
    GaussianKDE,
    KCenterGreedy,
    MultiVariateGaussian,
    PaDiM,
    PatchCore,
    SequenceINN,
    SparseRandomProjection,
)
from oddlab.flow.permutation import hard_permutation, soft_permutation
from oddlab.modes import fitting

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


class Bank(DynamicBufferModule):
    """The smallest part with a fitted size."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.empty(0))

    @fitting
    def fit(self, rows: Tensor) -> Bank:
        self.rows = rows.clone()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return x - self.rows.mean(dim=0).to(x)


def score(metric: AUPRO, x: Tensor) -> Tensor:
    mask = torch.zeros(8, 8, device=getattr(x, "device", None))
    mask[2:4, 3:6] = 1
    metric.update(x, mask.expand(len(x), 8, 8))
    return metric.compute()


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` returns, with the same random weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def block(**options: object) -> AllInOneBlock:
    rotated = {"permute_soft": True, "learned_householder_permutation": 2}
    return AllInOneBlock([(5,)], subnet_constructor=nn.Linear, random_state=0, **rotated, **options)


def chain() -> SequenceINN:
    inn, generator = SequenceINN(6, 4, 4), torch.Generator().manual_seed(0)
    for _ in range(2):
        inn.append(AllInOneBlock, subnet_constructor=lambda a, b: nn.Conv2d(a, b, 3, padding=1), random_state=generator)
    return inn


def picker(x: Tensor) -> KCenterGreedy:
    return KCenterGreedy(x, 0.25, random_state=0)


def steps(sampler: KCenterGreedy) -> Tensor:
    sampler.update_distances([3])
    return torch.tensor(sampler.get_new_idx(), device=sampler.features.device)


def fit_on(detector: nn.Module, images: Tensor) -> None:
    detector.fit_batch(images).finish_fit()


def standardized(detector: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    detector.standardize([images])
    return tuple(whitening.matrix for whitening in detector.whitenings)


STEPS = {
    "forward": lambda part, x: part(x),
    "validation_step": lambda part, x: part.validation_step({"image": x}, 0),
    "predict_step": lambda part, x: part.predict_step({"image": x}, 0),
    "test_step": lambda part, x: part.test_step({"image": x}, 0),
}


@dataclass
class Part:
    """How to make a part, fit it, what to call on it, and what it must refuse."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    argument: str | None
    """The name that errors about the input start with; None for a part that checks nothing."""
    calls: dict[str, Callable[[nn.Module, Tensor], object]]
    fit: Callable[[nn.Module, Tensor], object] = lambda part, x: None
    half: bool = True
    """Whether float16 and bfloat16 work; if not they are refused by name."""
    pure: tuple[str, ...] = ("forward",)
    """The calls that answer for a tensor without changing the part: these are traced and run on the meta device."""
    layer: bool = False
    """Whether it is a layer with weights: its input has their dtype, and autocast makes its products less precise."""
    backbone: bool = False
    """Whether a network comes first, whose features autocast rounds, and no more than those."""
    takes_empty: bool = False
    """Whether an empty batch passes."""
    refused: dict[str, tuple[Callable[[], object], str]] = field(default_factory=dict)
    """What else must fail: a call, and a pattern of its message."""


PARTS = {
    "GaussianBlur2d": Part(
        make=lambda: GaussianBlur2d(None, 1.5, channels=3),
        shape=(4, 3, 12, 9),
        argument="input_tensor",
        calls={"forward": lambda part, x: part(x)},
        refused={
            "even kernel": (lambda: GaussianBlur2d(4, 1.0, 1), "kernel_size: expected .* odd .* got 4"),
            "sigma 0": (lambda: GaussianBlur2d(3, 0.0, 1), "sigma: expected .* above 0, got 0.0"),
            "three sigmas": (lambda: GaussianBlur2d(3, (1.0, 1.0, 1.0), 1), "sigma: expected one value or a pair"),
            "no channels": (lambda: GaussianBlur2d(3, 1.0, 0), "channels: expected .* got 0"),
            "border": (
                lambda: GaussianBlur2d(3, 1.0, 1, border_type="mirror"),
                "border_type: .* reflect.* got 'mirror'",
            ),
            "channels": (
                lambda: GaussianBlur2d(3, 1.0, 2)(torch.rand(1, 3, 8, 8)),
                r"input_tensor: .* C = 2.* \(1, 3, 8, 8\)",
            ),
            "valid": (
                lambda: GaussianBlur2d(9, 1.0, 1, padding="valid")(torch.rand(1, 1, 8, 8)),
                "input_tensor: expected .* H >= 9",
            ),
            "integers": (
                lambda: GaussianBlur2d(3, 1.0, 1)(torch.ones(1, 1, 8, 8).byte()),
                "input_tensor: .* got uint8",
            ),
        },
    ),
    "MultiVariateGaussian": Part(
        make=lambda: MultiVariateGaussian(3, 4),
        shape=(20, 3, 2, 2),
        argument="embedding",
        fit=lambda part, x: part.fit(x),
        calls={
            "fit": lambda part, x: part.fit(x),
            "forward": lambda part, x: part(x),
            "partial_fit": lambda part, x: part.partial_fit(x).inv_covariance,
            "merge": lambda part, x: part.merge(MultiVariateGaussian(3, 4).partial_fit(x)).inv_covariance,
            "mahalanobis": lambda part, x: part.mahalanobis(x),
            "_cov": lambda part, x: part._cov(x[:, :, 0, 0]),
        },
        half=False,
        pure=("mahalanobis",),
        refused={
            "one sample": (lambda: MultiVariateGaussian(3, 4).fit(torch.rand(1, 3, 2, 2)), r"embedding: .* N >= 2"),
            "D": (
                lambda: MultiVariateGaussian(3, 4).fit(torch.rand(9, 2, 2, 2)),
                r"embedding: .* D = 3.* \(9, 2, 2, 2\)",
            ),
            "P": (lambda: MultiVariateGaussian(3, 4).fit(torch.rand(9, 3, 2, 3)), "embedding: .* n_patches = 4"),
            "unfitted": (
                lambda: MultiVariateGaussian(3, 4).mahalanobis(torch.rand(1, 3, 2, 2)),
                "call fit or partial_fit",
            ),
            "constant": (
                lambda: MultiVariateGaussian(3, 4).fit(torch.ones(9, 3, 2, 2)),
                "covariance of 4 of 4 .* singular",
            ),
            "N <= D without ridge": (
                lambda: MultiVariateGaussian(3, 1, ridge=0.0).fit(torch.rand(3, 3, 1, 1)),
                "embedding: the covariance of 1 of 1 patches is singular",
            ),
            "ridge": (lambda: MultiVariateGaussian(3, 4, ridge=-1.0), "ridge: expected .* got -1.0"),
            "merge": (
                lambda: MultiVariateGaussian(3, 1).merge(
                    MultiVariateGaussian(2, 1).partial_fit(torch.rand(5, 2, 1, 1))
                ),
                "other: expected n_features = 3",
            ),
        },
    ),
    "GaussianKDE": Part(
        make=GaussianKDE,
        shape=(6, 3),
        argument="(dataset|features|tensor)",
        fit=lambda part, x: part.fit(x),
        calls={
            "fit": lambda part, x: (part.fit(x), part.points)[1],
            "forward": lambda part, x: part(x),
            "log_prob": lambda part, x: part.log_prob(x),
            "sample": lambda part, x: (part.fit(x), part.sample(5, random_state=0))[1],
            "cov": lambda part, x: part.cov(x),
        },
        half=False,
        pure=("forward", "log_prob", "cov"),
        refused={
            "one point": (lambda: GaussianKDE(torch.rand(1, 3)), r"dataset: expected shape .* N >= 2, got \(1, 3\)"),
            "N <= D": (lambda: GaussianKDE(torch.rand(3, 3)), "dataset: expected .* N > D, or a ridge .* singular"),
            "one point, repeated": (
                lambda: GaussianKDE(torch.ones(9, 3), ridge=0.1),
                "dataset: expected columns that vary",
            ),
            "D": (lambda: GaussianKDE(torch.rand(9, 3))(torch.rand(4, 2)), r"features: .* D = 3, got \(4, 2\)"),
            "unfitted": (lambda: GaussianKDE()(torch.rand(4, 2)), "GaussianKDE is not fitted: call fit"),
            "unfitted sample": (lambda: GaussianKDE().sample(4), "GaussianKDE is not fitted: call fit"),
            "no samples": (lambda: GaussianKDE(torch.rand(9, 3)).sample(0), "n: expected .* got 0"),
            "seed": (
                lambda: GaussianKDE(torch.rand(9, 3)).sample(1, random_state="a"),
                "random_state: expected .* got 'a'",
            ),
            "bandwidth": (lambda: GaussianKDE(bandwidth="scot"), "bandwidth: expected 'scott', .* got 'scot'"),
            "bandwidth 0": (lambda: GaussianKDE(bandwidth=0.0), "bandwidth: expected .* above 0, got 0.0"),
            "ridge": (lambda: GaussianKDE(ridge=-1.0), "ridge: expected .* got -1.0"),
        },
    ),
    "PCA": Part(
        make=lambda: PCA(3),
        shape=(20, 3),
        argument="(dataset|batch|features)",
        fit=lambda part, x: part.fit(x),
        calls={
            "fit": lambda part, x: part.fit(x).components,
            "fit_transform": lambda part, x: part.fit_transform(x),
            "partial_fit": lambda part, x: part.partial_fit(x).components,
            "merge": lambda part, x: part.merge(PCA(1).partial_fit(x)).components,
            "transform": lambda part, x: part.transform(x),
            "inverse_transform": lambda part, x: part.inverse_transform(x),
            "forward": lambda part, x: part(x),
        },
        half=False,
        pure=("transform", "inverse_transform", "forward"),
        refused={
            "one sample": (lambda: PCA(1).fit(torch.rand(1, 4)), r"dataset: expected .* N >= 2.* \(1, 4\)"),
            "more components than samples": (lambda: PCA(4).fit(torch.rand(3, 9)), r"dataset: .* N >= 4 .* \(3, 9\)"),
            "more components than features": (lambda: PCA(4).fit(torch.rand(9, 3)), r"dataset: .* D >= 4.* \(9, 3\)"),
            "the same, in a batch": (lambda: PCA(4).partial_fit(torch.rand(9, 3)), r"batch: .* D >= 4.* \(9, 3\)"),
            "constant": (lambda: PCA(1).fit(torch.full((9, 4), 0.1)), "dataset: expected features that vary"),
            "constant, share": (lambda: PCA(0.9).fit(torch.ones(3, 4)), "dataset: expected features that vary"),
            "overflow": (lambda: PCA(1).fit(torch.eye(9) * 1e30), "dataset: expected .* finite sum in torch.float32"),
            "share 1.0": (lambda: PCA(1.0), "n_components: expected an int .* float above 0 and below 1.* got 1.0"),
            "count 0": (lambda: PCA(0), "n_components: expected an int of at least 1.* got 0"),
            "count True": (lambda: PCA(True), "n_components: expected .* got True"),
            "unfitted": (lambda: PCA(2).transform(torch.rand(3, 4)), "has seen 0 samples and needs 2: call fit"),
            "unfitted components": (lambda: PCA(2).components, "has seen 0 samples and needs 2: call fit"),
            "unfitted ratio": (lambda: PCA(0.5).explained_variance_ratio, "has seen 0 samples and needs 2"),
            "too few batches": (lambda: PCA(5).partial_fit(torch.rand(4, 9)).components, "has seen 4 .* and needs 5"),
            "other D": (
                lambda: PCA(2).fit(torch.rand(9, 4)).transform(torch.rand(9, 3)),
                r"features: expected .* D = 4, got \(9, 3\)",
            ),
            "other D in a batch": (
                lambda: PCA(2).fit(torch.rand(9, 4)).partial_fit(torch.rand(9, 3)),
                r"batch: expected .* D = 4, got \(9, 3\)",
            ),
            "other k": (
                lambda: PCA(2).fit(torch.rand(9, 4)).inverse_transform(torch.rand(9, 4)),
                r"features: expected .* k = 2, got \(9, 4\)",
            ),
            "merge D": (
                lambda: PCA(2).fit(torch.rand(9, 4)).merge(PCA(2).fit(torch.rand(9, 3))),
                "other: expected D = 4 features, got 3",
            ),
            "merge too few D": (lambda: PCA(4).merge(PCA(2).fit(torch.rand(9, 3))), "other: expected D >= 4 .* got 3"),
            "merge unfitted": (lambda: PCA(2).merge(PCA(2)), "has seen 0 samples and needs 1"),
            "merge what is no PCA": (lambda: PCA(2).merge(torch.rand(9, 4)), "other: expected a PCA, got Tensor"),
        },
    ),
    "SparseRandomProjection": Part(
        make=lambda: SparseRandomProjection(0.9, random_state=0, n_components=4),
        shape=(20, 30),
        argument="embedding",
        fit=lambda part, x: part.fit(x),
        calls={
            "fit": lambda part, x: (part.fit(x), part.columns)[1],
            "transform": lambda part, x: part.transform(x),
            "fit_transform": lambda part, x: part.fit_transform(x),
        },
        pure=("transform",),
        refused={
            "eps 0": (lambda: SparseRandomProjection(0.0), "eps: expected .* above 0 and below 1, got 0.0"),
            "eps 1": (lambda: SparseRandomProjection(1.0), "eps: expected .* above 0 and below 1, got 1.0"),
            "eps NaN": (lambda: SparseRandomProjection(float("nan")), "eps: expected .* above 0 and below 1, got nan"),
            "n_samples": (
                lambda: SparseRandomProjection.johnson_lindenstrauss_min_dim(0),
                "n_samples: expected .* got 0",
            ),
            "n_samples NaN": (
                lambda: SparseRandomProjection.johnson_lindenstrauss_min_dim(float("nan")),
                "n_samples: expected .* got nan",
            ),
            "n_components": (lambda: SparseRandomProjection(n_components=0), "n_components: expected .* got 0"),
            "more components": (
                lambda: SparseRandomProjection(n_components=9).fit(torch.rand(5, 8)),
                "n_components: expected at most D = 8.* got 9",
            ),
            "seed": (lambda: SparseRandomProjection(random_state="a"), "random_state: expected .* got 'a'"),
            "one sample": (
                lambda: SparseRandomProjection().fit(torch.rand(1, 8)),
                r"embedding: .* N >= 2, got \(1, 8\)",
            ),
            "bound": (
                lambda: SparseRandomProjection(0.5).fit(torch.rand(9, 80)),
                "eps: expected .* at most D = 80 .* got 0.5, .* 105 for N = 9 .* larger eps",
            ),
            "D": (
                lambda: SparseRandomProjection(n_components=2).fit(torch.rand(9, 3)).transform(torch.rand(9, 4)),
                r"embedding: .* D = 3, got \(9, 4\)",
            ),
            "unfitted": (lambda: SparseRandomProjection().transform(torch.rand(4, 2)), "not fitted: call fit"),
        },
    ),
    "FeatureExtractor": Part(
        make=lambda: FeatureExtractor("efficientnet_lite0", ["blocks.1", "stem"]),
        shape=(2, 3, 32, 32),
        argument="input_tensor",
        layer=True,
        calls={"forward": lambda part, x: part(x), "out_dims": lambda part, x: torch.tensor(part.out_dims).to(x)},
        refused={
            "layer": (
                lambda: FeatureExtractor("efficientnet_lite0", ["layer1"], pre_trained=False),
                "layers: 'layer1' does not exist.* expected names out of .*stem.*blocks.15.*classifier",
            ),
            "no layers": (lambda: FeatureExtractor("efficientnet_lite0", []), r"layers: expected .* got \[\]"),
            "a string of layers": (lambda: FeatureExtractor("efficientnet_lite0", "stem"), "layers: expected a list"),
            "backbone": (
                lambda: FeatureExtractor("resnet_18", ["layer1"]),
                "backbone: expected 'efficientnet_lite0', .* or one of .*resnet18.*got 'resnet_18'",
            ),
            "backbone type": (lambda: FeatureExtractor(18, ["layer1"]), "backbone: expected .* got int"),
        },
    ),
    "DynamicBufferModule": Part(
        make=Bank,
        shape=(5, 3),
        argument=None,
        fit=lambda part, x: part.fit(x),
        calls={
            "forward": lambda part, x: part(x),
            "get_tensor_attribute": lambda part, x: part.get_tensor_attribute("rows"),
        },
        refused={
            "attribute": (lambda: Bank().get_tensor_attribute("row"), r"attribute_name: .* \['rows'\], got 'row'"),
        },
    ),
    "AUPRO": Part(
        make=AUPRO,
        shape=(2, 8, 8),
        argument="preds",
        calls={"update": score},
        pure=(),
        refused={
            "shapes": (
                lambda: AUPRO().update(torch.rand(1, 4, 4), torch.zeros(1, 4, 5)),
                r"target: .* \(1, 4, 4\), got \(1, 4, 5\)",
            ),
            "one class": (
                lambda: (metric := AUPRO(), metric.update(torch.rand(1, 4, 4), torch.zeros(1, 4, 4)), metric.compute()),
                "target: expected both",
            ),
            "limit": (lambda: AUPRO(0.0), "fpr_limit: expected .* got 0.0"),
        },
    ),
    "PaDiM": Part(
        make=lambda: PaDiM(layers=["blocks.2"], image_size=32, n_features=6),
        shape=(8, 3, 32, 32),
        argument="images",
        fit=lambda part, x: part.fit_batch(x),
        calls=STEPS,
        half=False,
        backbone=True,
        refused={
            "unfitted": (
                lambda: PaDiM(layers=["stem"], image_size=32)(torch.rand(1, 3, 32, 32)),
                "call fit or partial_fit",
            ),
            "one training image": (
                lambda: (
                    model := PaDiM(layers=["stem"], image_size=32),
                    model.fit_batch(torch.rand(1, 3, 32, 32)),
                    model(torch.rand(1, 3, 32, 32)),
                ),
                "has seen 1 samples and needs 2",
            ),
            "n_features": (lambda: PaDiM(layers=["stem"], n_features=33), "n_features: expected None or 1 to 32"),
            "size": (
                lambda: PaDiM(layers=["stem"], image_size=32)(torch.rand(1, 3, 64, 64)),
                "images: expected .* H = 32",
            ),
        },
    ),
    "SSPCAB": Part(
        make=lambda: seeded(lambda: SSPCAB(16)),
        shape=(4, 16, 12, 9),
        argument="x",
        calls={"forward": lambda part, x: part(x), "loss": lambda part, x: part.loss(x, part(x))},
        layer=True,
        refused={
            "no channels": (lambda: SSPCAB(0), "in_channels: expected .* at least 1, got 0"),
            "kernel": (lambda: SSPCAB(8, kernel_size=0), "kernel_size: expected .* at least 1, got 0"),
            "dilation": (lambda: SSPCAB(8, dilation=0), "dilation: expected .* at least 1, got 0"),
            "ratio": (lambda: SSPCAB(8, reduction_ratio=0.5), "reduction_ratio: expected an int .* got 0.5"),
            "channels": (lambda: SSPCAB(8)(torch.rand(1, 4, 8, 8)), r"x: .* C = 8.* got \(1, 4, 8, 8\)"),
            "shapes": (
                lambda: SSPCAB.loss(torch.rand(1, 4, 8, 8), torch.rand(1, 1, 8, 8)),
                "x_hat: expected the shape",
            ),
        },
    ),
    "AllInOneBlock": Part(
        make=block,
        shape=(4, 5),
        argument="x",
        calls={"forward": lambda part, x: part([x]), "inverse": lambda part, x: part([x], rev=True)},
        pure=("forward", "inverse"),
        layer=True,
        takes_empty=True,
        refused={
            "a condition with NaN": (
                lambda: block(dims_c=[(1,)])([torch.rand(2, 5)], [torch.full((2, 1), float("nan"))]),
                "c: expected finite values, got 2 NaN",
            ),
            "seed": (
                lambda: AllInOneBlock([(4,)], subnet_constructor=nn.Linear, random_state="a"),
                "random_state: expected .* got 'a'",
            ),
        },
    ),
    "SequenceINN": Part(
        make=chain,
        shape=(4, 6, 4, 4),
        argument="x_or_z",
        calls={
            "forward": lambda part, x: part(x),
            "inverse": lambda part, x: part(x, rev=True),
            "log_prob": lambda part, x: part.log_prob(x),
            "draw": lambda part, x: part.sample(5, random_state=0),
        },
        pure=("forward", "inverse", "log_prob"),
        layer=True,
        takes_empty=True,
        refused={
            "H": (lambda: chain()(torch.rand(2, 6, 5, 4)), r"x_or_z: .* C = 6 and H = 4 and W = 4, got \(2, 6, 5, 4\)"),
            "no samples": (lambda: chain().sample(0), "n: expected .* got 0"),
            "seed": (lambda: chain().sample(1, random_state="a"), "random_state: expected .* got 'a'"),
        },
    ),
    "KCenterGreedy": Part(
        make=nn.Identity,
        shape=(20, 12),
        argument="embedding",
        calls={
            "select_coreset_idxs": lambda part, x: torch.tensor(picker(x).select_coreset_idxs(), device=x.device),
            "sample_coreset": lambda part, x: picker(x).sample_coreset(),
            "with some selected": lambda part, x: picker(x).sample_coreset([4, 2]),
            "step by step": lambda part, x: steps(picker(x)),
        },
        pure=(),
        refused={
            "ratio 0": (lambda: KCenterGreedy(torch.rand(9, 2), 0.0), "sampling_ratio: expected .* above 0 .* got 0.0"),
            "ratio 2": (lambda: KCenterGreedy(torch.rand(9, 2), 2.0), "sampling_ratio: expected .* at most 1, got 2.0"),
            "seed": (
                lambda: KCenterGreedy(torch.rand(9, 2), 0.5, random_state="a"),
                "random_state: expected .* got 'a'",
            ),
            "projection that is none": (
                lambda: KCenterGreedy(torch.rand(900, 20), 0.5, project=True),
                "eps: expected one that asks for at most D = 20 components",
            ),
            "selected twice": (
                lambda: picker(torch.rand(9, 2)).select_coreset_idxs([1, 1]),
                "selected_idxs: expected distinct .* got 1 repeated",
            ),
            "selected no row": (
                lambda: picker(torch.rand(9, 2)).select_coreset_idxs([9]),
                "selected_idxs: expected row numbers from 0 to 8, got 9",
            ),
            "selected no numbers": (
                lambda: picker(torch.rand(9, 2)).select_coreset_idxs([0.5]),
                "selected_idxs: expected a list of row numbers",
            ),
            "too many selected": (
                lambda: picker(torch.rand(9, 2)).select_coreset_idxs(range(8)),
                "selected_idxs: expected at most 7 of 9 rows, to choose 2 more, got 8",
            ),
            "center": (lambda: picker(torch.rand(9, 2)).update_distances([-1]), "cluster_centers: .* got -1"),
        },
    ),
    "PatchCore": Part(
        make=lambda: PatchCore(layers=["blocks.2"], image_size=32, sampling_ratio=0.1),
        shape=(8, 3, 32, 32),
        argument="images",
        fit=fit_on,
        calls=STEPS,
        half=False,
        backbone=True,
        refused={
            "unfitted": (
                lambda: PatchCore(layers=["stem"], image_size=32)(torch.rand(1, 3, 32, 32)),
                "empty memory bank: call fit_batch and finish_fit",
            ),
            "nothing collected": (
                lambda: PatchCore(layers=["stem"]).finish_fit(),
                "collected no images: call fit_batch",
            ),
            "ratio": (lambda: PatchCore(layers=["stem"], sampling_ratio=2.0), "sampling_ratio: .* at most 1, got 2.0"),
            "neighbours": (lambda: PatchCore(layers=["stem"], n_neighbors=0), "n_neighbors: .* at least 1, got 0"),
            "size": (
                lambda: PatchCore(layers=["stem"], image_size=32).fit_batch(torch.rand(1, 3, 64, 64)),
                "images: .* H = 32",
            ),
        },
    ),
    "DFKDE": Part(
        make=lambda: DFKDE(layers=["blocks.2"], image_size=32, n_components=3),
        shape=(8, 3, 32, 32),
        argument="images",
        fit=fit_on,
        calls=STEPS,
        half=False,
        backbone=True,
        refused={
            "unfitted": (lambda: DFKDE(layers=["stem"], image_size=32)(torch.rand(1, 3, 32, 32)), "call fit"),
            "nothing collected": (lambda: DFKDE(layers=["stem"]).finish_fit(), "collected no images: call fit_batch"),
            "too few images": (
                lambda: fit_on(DFKDE(layers=["stem"], image_size=32, n_components=9), torch.rand(8, 3, 32, 32)),
                r"dataset: expected .* N >= 9 .* got \(8, 32\)",
            ),
            "bandwidth": (lambda: DFKDE(layers=["stem"], bandwidth="scot"), "bandwidth: expected .* got 'scot'"),
            "components": (lambda: DFKDE(layers=["stem"], n_components=0), "n_components: expected .* got 0"),
        },
    ),
    "DFM": Part(
        make=lambda: DFM(layers=["blocks.2"], image_size=32, n_components=3),
        shape=(8, 3, 32, 32),
        argument="images",
        fit=fit_on,
        calls=STEPS,
        half=False,
        backbone=True,
        refused={
            "unfitted": (lambda: DFM(layers=["stem"], image_size=32)(torch.rand(1, 3, 32, 32)), "call fit"),
            "nothing collected": (lambda: DFM(layers=["stem"]).finish_fit(), "collected no images: call fit_batch"),
            "score": (lambda: DFM(layers=["stem"], score="mse"), "score: expected 'fre' or 'nll', got 'mse'"),
            "components": (lambda: DFM(layers=["stem"], n_components=1.0), "n_components: expected .* got 1.0"),
        },
    ),
    "FastFlow": Part(
        make=lambda: seeded(lambda: FastFlow(layers=["blocks.2", "blocks.4"], image_size=32, flow_steps=2)),
        shape=(4, 3, 32, 32),
        argument="images",
        fit=lambda part, x: part.standardize([x]),
        calls={**STEPS, "standardize": standardized},
        half=False,
        backbone=True,
        refused={
            "unfitted": (
                lambda: FastFlow(layers=["stem"], image_size=32)(torch.rand(1, 3, 32, 32)),
                "call standardize",
            ),
            "unfitted loss": (
                lambda: FastFlow(layers=["stem"], image_size=32).loss(torch.rand(1, 3, 32, 32)),
                "call standardize",
            ),
            "no images": (
                lambda: FastFlow(layers=["stem"]).standardize([]),
                "batches: expected at least two images, got 0",
            ),
            "steps": (lambda: FastFlow(layers=["stem"], flow_steps=0), "flow_steps: expected .* at least 1, got 0"),
            "hidden": (
                lambda: FastFlow(layers=["stem"], hidden_ratio=0.0),
                "hidden_ratio: expected .* above 0, got 0.0",
            ),
            "noise": (lambda: FastFlow(layers=["stem"], noise=-0.1), "noise: expected .* at least 0, got -0.1"),
            "rate": (
                lambda: FastFlow(layers=["stem"], learning_rate=0.0),
                "learning_rate: expected .* above 0, got 0.0",
            ),
        },
    ),
}
CALLS = [pytest.param(part, call, id=f"{name}.{call}") for name, part in PARTS.items() for call in part.calls]
TAKES_DATA = [case for case in CALLS if case.values[0].argument and case.values[1] not in ("out_dims", "_cov", "draw")]
PURE = [case for case in CALLS if case.values[1] in case.values[0].pure]
NAMES = pytest.mark.parametrize("name", PARTS)


def sample(part: Part, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 1) -> Tensor:
    return torch.rand(part.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device, dtype)


def fitted(part: Part, dtype: torch.dtype = torch.float32, device: str = "cpu") -> nn.Module:
    made = part.make().to(device, dtype)
    part.fit(made, sample(part, dtype, device, seed=0))
    return made


def tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        return tensors(list(result.values()))
    return [t for item in result for t in tensors(item)] if isinstance(result, (list, tuple)) else []


def same(a: object, b: object) -> bool:
    """To the last bit, with NaN equal to NaN."""
    pairs = list(zip(tensors(a), tensors(b), strict=True))
    return len(pairs) > 0 and all(
        x.dtype == y.dtype and np.array_equal(x.detach().cpu(), y.detach().cpu(), equal_nan=True) for x, y in pairs
    )


@pytest.mark.parametrize(("part", "call"), CALLS)
def test_arguments_are_left_alone(part, call):
    made, x = fitted(part), sample(part)
    before, version = x.clone(), x._version
    part.calls[call](made, x)
    assert torch.equal(x, before) and x._version == version  # the version also counts changes that were undone


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("part", "call"), CALLS)
def test_dtype_and_device_follow_the_input(part, call, dtype, device):
    for result in tensors(part.calls[call](fitted(part, dtype, device), sample(part, dtype, device))):
        assert result.device.type == device
        assert result.dtype == dtype or not result.is_floating_point()


@pytest.mark.parametrize(("before", "dtype"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
@pytest.mark.parametrize(("part", "call"), [case for case in PURE if not case.values[0].layer])
def test_dtype_follows_the_input_whatever_the_part_was_fitted_in(part, call, before, dtype):
    x = sample(part, dtype)
    results, expected = (tensors(part.calls[call](fitted(part, fitted_in), x)) for fitted_in in (before, dtype))
    for result, other in zip(results, expected, strict=True):
        torch.testing.assert_close(result, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("part", "call"), [case for case in CALLS if not (case.values[0].layer or case.values[0].backbone)]
)
def test_autocast_rounds_nothing(part, call):
    expected = part.calls[call](fitted(part), sample(part))
    with torch.autocast("cpu", torch.bfloat16):
        results = part.calls[call](fitted(part), sample(part))
    assert same(results, expected)


@NAMES
def test_what_is_fitted_in_float32_holds_no_float64(name):
    # A device without float64 would refuse it.
    part = PARTS[name]
    made = fitted(part)
    for call in [lambda part, x: None, *part.calls.values()]:
        call(made, sample(part))
        assert all(value.dtype != torch.float64 for value in [*made.buffers(), *made.parameters()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("part", "call"), CALLS)
def test_half_precision_works_or_is_refused_by_name(part, call, dtype):
    if part.half:
        for result in tensors(part.calls[call](fitted(part, dtype), sample(part, dtype))):
            assert result.isfinite().all() and (result.dtype == dtype or not result.is_floating_point())
    else:
        with pytest.raises(TypeError, match=f"expected .* got {str(dtype).removeprefix('torch.')}"):
            fitted(part, dtype)


@pytest.mark.parametrize(("part", "call"), CALLS)
def test_results_are_the_same_twice_and_global_random_state_is_not_touched(part, call):
    def states():
        return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    x = sample(part)
    torch.manual_seed(1)
    first = part.calls[call](fitted(part), x)
    torch.manual_seed(2)
    made = fitted(part)
    before = states()
    second = part.calls[call](made, x)
    after = states()
    assert same(first, second)
    assert torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2]


def saved_and_loaded(part: Part, made: nn.Module) -> dict[str, nn.Module]:
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    fresh = part.make()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    whole = io.BytesIO()
    torch.save(made, whole)
    whole.seek(0)
    return {
        "state_dict": fresh,
        "deepcopy": copy.deepcopy(made),
        "pickle": pickle.loads(pickle.dumps(made)),
        "torch.save": torch.load(whole, weights_only=False),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("used", [False, True], ids=["before a call", "after a call"])
@pytest.mark.parametrize(("part", "call"), CALLS)
def test_copies_and_checkpoints_give_the_same_results(part, call, used, dtype):
    made, x = fitted(part, dtype), sample(part, dtype)
    if used:
        part.calls[call](made, x)
    copies = saved_and_loaded(part, made)
    expected = part.calls[call](made, x)
    for how, other in copies.items():
        if how == "state_dict" and not made.state_dict():
            other.to(dtype)
            if used:  # a metric's running state is not in its checkpoint, as torchmetrics has it
                part.calls[call](other, x)
        elif any(p.dtype != dtype for p in other.parameters()):
            other.to(dtype)  # parameters keep the module's dtype, as PyTorch has it
        assert same(part.calls[call](other, x), expected), how


@pytest.mark.parametrize(("part", "call"), CALLS)
def test_a_fit_on_tensors_that_require_a_gradient_keeps_no_graph(part, call):
    made, x = part.make(), sample(part, seed=0).requires_grad_()
    part.fit(made, x)
    part.calls[call](made, x)
    assert not [name for name, buffer in made.named_buffers() if buffer.requires_grad]
    saved_and_loaded(part, made)


@pytest.mark.parametrize(("part", "call"), CALLS)
def test_what_is_fitted_and_used_in_inference_mode_is_as_good_as_any_other(part, call):
    made = part.make()
    with torch.inference_mode():
        part.fit(made, sample(part, seed=0))
        part.calls[call](made, sample(part))
    other = fitted(part)
    for one in (made, copy.deepcopy(made)):
        one.load_state_dict(other.state_dict())
        x = sample(part).requires_grad_()
        results = tensors(part.calls[call](one, x))
        if loss := [result.sum() for result in results if result.requires_grad]:
            sum(loss).backward()
        assert same(results, part.calls[call](other, sample(part)))


class Call(nn.Module):
    """One call of a part, as a module that can be traced."""

    def __init__(self, part: Part, call: str) -> None:
        super().__init__()
        self.made, self.call = fitted(part), part.calls[call]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors(self.call(self.made, x)))


@pytest.mark.parametrize("how", ["export", "compile"])
@pytest.mark.parametrize(("part", "call"), PURE)
def test_a_traced_call_gives_the_same_results_for_any_size_of_batch(part, call, how):
    plain, x = Call(part, call), sample(part)
    if how == "export":
        traced = torch.export.export(plain, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    else:
        torch.compiler.reset()
        traced = torch.compile(plain, fullgraph=True, backend="eager")
    for given in (x, torch.cat([x, x.flip(0)])):
        torch.testing.assert_close(traced(given), plain(given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("part", "call"), PURE)
def test_the_meta_device_tells_the_shapes(part, call):
    plain, x = Call(part, call), sample(part)
    expected = plain(x)
    there = copy.deepcopy(plain).to("meta")(x.to("meta"))
    assert [(result.shape, result.dtype) for result in there] == [(result.shape, result.dtype) for result in expected]
    assert all(result.is_meta for result in there)
    with torch.device("meta"):
        fresh = part.make()
    assert type(fresh).__name__ in repr(fresh)
    fresh.load_state_dict(plain.made.state_dict(), assign=True)
    assert same(part.calls[call](fresh, x), expected)


@NAMES
def test_a_fit_returns_the_object(name):
    documented = {("GaussianKDE", "fit"): type(None), ("MultiVariateGaussian", "fit"): list}  # by the seeds
    part = PARTS[name]
    made, other, x = fitted(part), fitted(part), sample(part)
    for method, argument in {"fit": x, "partial_fit": x, "merge": other}.items():
        if hasattr(made, method):
            result = getattr(made, method)(argument)
            assert result is made or type(result) is documented.get((name, method))


@NAMES
def test_repr_shows_whether_a_part_is_fitted(name):
    part = PARTS[name]
    made = part.make()
    if hasattr(made, "is_fitted"):
        assert not made.is_fitted and ", not fitted" in repr(made)
        part.fit(made, sample(part))
        assert made.is_fitted and ", fitted" in repr(made)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (PCA(3), "PCA(n_components=3, not fitted)"),
        (PCA(0.5), "PCA(n_components=0.5, not fitted)"),
        (GaussianKDE(ridge=0.1), "GaussianKDE(bandwidth='scott', ridge=0.1, not fitted)"),
        (
            MultiVariateGaussian(3, 4),
            "MultiVariateGaussian(n_features=3, n_patches=4, ridge=0.01, relative=True, not fitted)",
        ),
        (
            SparseRandomProjection(0.5, 1).fit(torch.rand(3, 99)),
            "SparseRandomProjection(eps=0.5, random_state=1, n_components=None, fitted)",
        ),
        (
            KCenterGreedy(torch.rand(9, 2), 0.5, random_state=1),
            "KCenterGreedy(embedding=tensor of shape (9, 2), sampling_ratio=0.5, random_state=1, project=False, "
            "progress=False)",
        ),
        (
            GaussianBlur2d(None, 4.0, 1),
            "GaussianBlur2d(kernel_size=None, sigma=4.0, channels=1, normalize=True, border_type='reflect', "
            "padding='same')",
        ),
        (SSPCAB(8, dilation=2), "in_channels=8, kernel_size=1, dilation=2, reduction_ratio=8"),
        (
            block(gin_block=True),
            "dims_in=[(5,)], dims_c=[], affine_clamping=2.0, gin_block=True, global_affine_type='SOFTPLUS', "
            "permute_soft=True, learned_householder_permutation=2, reverse_permutation=False",
        ),
        (chain(), "6, 4, 4"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_repr_shows_the_arguments(made, shown):
    assert shown in repr(made) and repr(made).startswith(f"{type(made).__name__}(")


def test_numpy_scalars_are_numbers():
    x, grid = torch.rand(20, 6), torch.rand(9, 3, 2, 2)
    one, two, half, seed = np.int64(1), np.int32(2), np.float32(0.5), np.int64(7)
    assert PCA(two).fit_transform(x).shape == (20, 2)
    assert same(PCA(np.float32(0.9)).fit_transform(x), PCA(0.9).fit_transform(x))
    assert len(KCenterGreedy(x, np.float64(0.1), random_state=seed).select_coreset_idxs()) == 2
    assert len(KCenterGreedy(torch.rand(100, 1), np.float32(0.29)).select_coreset_idxs()) == 29
    assert MultiVariateGaussian(np.int64(3), np.int64(4), ridge=half).fit(grid)[0].shape == (3, 4)
    assert GaussianKDE(x, bandwidth=half, ridge=half).sample(two, random_state=seed).shape == (2, 6)
    assert SparseRandomProjection(half, seed, n_components=two).fit_transform(x).shape == (20, 2)
    assert SparseRandomProjection.johnson_lindenstrauss_min_dim(np.int64(20_000), np.float64(0.9)) == 244
    assert GaussianBlur2d(np.int64(3), half, np.int64(3))(grid).shape == grid.shape
    assert SSPCAB(np.int64(3), one, one, one)(grid).shape == grid.shape
    inn = SequenceINN(np.int64(6))
    inn.append(
        AllInOneBlock,
        cond=np.int64(0),
        cond_shape=(two,),
        subnet_constructor=nn.Linear,
        affine_clamping=half,
        global_affine_init=half,
        learned_householder_permutation=two,
        random_state=seed,
    )
    assert inn.sample(two, [torch.rand(2, 2)], random_state=seed).shape == (2, 6)


def test_one_seed_makes_one_block_and_leaves_the_global_random_state_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = block(), block()
    assert torch.equal(torch.get_rng_state(), state)
    assert same(first.state_dict(), second.state_dict())
    one, other = chain()  # whose blocks share a generator
    assert not torch.equal(one.w_perm, other.w_perm) and not torch.equal(one.subnet.weight, other.subnet.weight)
    for permutation in (hard_permutation, soft_permutation):
        generator = torch.Generator().manual_seed(2)
        assert torch.equal(permutation(9, random_state=2), permutation(9, random_state=generator))
    assert torch.equal(torch.get_rng_state(), state)


BAD = {
    "NaN": lambda x: torch.full_like(x, float("nan")),
    "one infinity": lambda x: x.clone().index_fill_(0, torch.tensor([0]), float("inf")),
    "empty": lambda x: x[:0],
    "another rank": lambda x: x[0],
    "integers": lambda x: x.int(),
    "a list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("part", "call"), TAKES_DATA)
def test_bad_tensors_get_one_error_that_names_the_argument(part, call, bad):
    made = fitted(part)
    before = copy.deepcopy(made.state_dict())
    given = BAD[bad](sample(part))
    if bad == "empty" and part.takes_empty:
        assert all(len(result) == 0 for result in tensors(part.calls[call](made, given)))
        return
    with pytest.raises((ValueError, TypeError), match=rf"^{part.argument}: expected "):
        part.calls[call](made, given)
    assert same(made.state_dict(), before) or not before


@pytest.mark.parametrize(
    ("act", "says"),
    [pytest.param(*case, id=f"{name}: {what}") for name, part in PARTS.items() for what, case in part.refused.items()],
)
def test_other_bad_input_gets_one_error_that_says_what_was_expected(act, says):
    with pytest.raises((ValueError, TypeError)) as caught:
        act()
    assert re.search(says, str(caught.value), flags=re.DOTALL)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.bytes = max([self.bytes, *(t.untyped_storage().nbytes() for t in tensors(result))])
        return result


@pytest.mark.parametrize(("part", "call"), CALLS)
def test_no_tensor_is_much_larger_than_what_comes_in_and_goes_out(part, call):
    made = fitted(part)
    x = sample(part).repeat(16, *[1] * (len(part.shape) - 1))
    with LargestTensor() as largest:
        result = part.calls[call](made, x)
    known = [x, *tensors(result), *tensors(made.state_dict())]
    backbones = [PARTS[name].make for name in ("FeatureExtractor", "PaDiM", "PatchCore", "DFKDE", "DFM", "FastFlow")]
    widest = 32 if part.make in backbones else 2  # channels inside
    assert largest.bytes <= widest * max(t.numel() * t.element_size() for t in known)


LIBRARY = Path(oddlab.__file__).parent


@pytest.mark.parametrize("file", sorted(LIBRARY.rglob("*.py")), ids=lambda p: str(p.relative_to(LIBRARY)))
def test_the_library_sets_no_thread_counts_and_inverts_no_matrix_by_lu(file):
    code = file.read_text()
    assert not re.search(
        r"set_num_threads|set_num_interop|(?<!np\.)linalg\.(inv|solve)\(|torch\.inverse|\.inverse\(", code
    )
    assert not re.search(r"(import|from) lightning\b", code)  # never beside pytorch_lightning
