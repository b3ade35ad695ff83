"""Exercises of the lesson that starts the course."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

MAPS = torch.rand(2, 4, 7, generator=torch.Generator().manual_seed(0))
MAPS[0, 2, 5] = MAPS[1, 3, 0] = 2.0
FEATURES = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
GOOD, NEW = FEATURES[0] + 4, 2 * FEATURES[1, :6] + 3


def place(anomaly_map: Tensor) -> tuple[int, int]:
    return divmod(int(anomaly_map.argmax()), anomaly_map.shape[1])


most_anomalous_place = Exercise(
    place,
    cases=[(MAPS[0],), (MAPS[1],)],
    mistakes={
        "that is the place in the flattened map: divide by the width for the row, the rest is the column": torch.argmax,
        "that is (column, row): rows come first": lambda anomaly_map: place(anomaly_map)[::-1],
        "that divides by the height: divide by the width": lambda anomaly_map: divmod(int(anomaly_map.argmax()), 4),
        "that is the largest value of the map itself: return where it is": torch.max,
    },
)
"""`most_anomalous_place(anomaly_map)`: the row and the column of the largest value of a map (H, W)."""


def deviations(good: Tensor, new: Tensor) -> Tensor:
    return (new - good.mean(dim=0)) / good.std(dim=0)


smallest_detector = Exercise(
    lambda good, new: deviations(good, new).abs().amax(dim=1),
    cases=[(GOOD, NEW), (NEW, GOOD)],
    mistakes={
        "a value far below the mean is as anomalous as one far above: take the absolute value": (
            lambda good, new: deviations(good, new).amax(dim=1)
        ),
        "the mean over the numbers hides a single anomalous one: take the largest": (
            lambda good, new: deviations(good, new).abs().mean(dim=1)
        ),
        "you measure by the mean and deviation of the new images: what is normal comes from the good ones": (
            lambda good, new: deviations(new, new).abs().amax(dim=1)
        ),
        "the distances are not divided by how much each number usually varies": (
            lambda good, new: (new - good.mean(dim=0)).abs().amax(dim=1)
        ),
        "that is one standard deviation for all numbers: each has its own (dim=0)": (
            lambda good, new: ((new - good.mean(dim=0)) / good.std()).abs().amax(dim=1)
        ),
        "that is one mean for all numbers: each has its own (dim=0)": (
            lambda good, new: ((new - good.mean()) / good.std(dim=0)).abs().amax(dim=1)
        ),
        "you divide by the variance: its root is the standard deviation": (
            lambda good, new: ((new - good.mean(dim=0)) / good.var(dim=0)).abs().amax(dim=1)
        ),
        "those are the distances of all numbers: each image gets the largest of its own": (
            lambda good, new: deviations(good, new).abs()
        ),
        "that is the largest over the images, one for each number: the other way round": (
            lambda good, new: deviations(good, new).abs().amax(dim=0)
        ),
    },
)
"""`smallest_detector(good, new)`: the scores (M,) of images (M, D): their largest deviation from good ones (N, D)."""
