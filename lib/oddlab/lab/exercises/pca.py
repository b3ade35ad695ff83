"""Exercises of the lesson about principal components."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

X = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
COMPONENTS = torch.linalg.qr(X).Q
VARIANCES = torch.tensor([40.0, 24.0, 16.0, 12.0, 8.0])


def rebuilt(x: Tensor, mean: Tensor | float, components: Tensor) -> Tensor:
    return (x - mean) @ components.T @ components + mean


def enough(variances: Tensor, share: float) -> int:
    return int((variances.cumsum(0) <= share * variances.sum()).sum()) + 1


rebuild = Exercise(
    rebuilt,
    cases=[(X[:5], X[5], COMPONENTS[:2]), (X[:4], X[4] - 1, COMPONENTS[2:5])],
    mistakes={
        "those are the coordinates: take them back to the samples' space": lambda x, mean, v: (x - mean) @ v.T,
        "the mean is missing on the way back: add it again": lambda x, mean, v: rebuilt(x - mean, 0, v),
        "the mean must be subtracted first, and added in the end": lambda x, mean, v: rebuilt(x, 0, v),
        "the mean is added but was never subtracted": lambda x, mean, v: rebuilt(x, 0, v) + mean,
        "that is what the components miss, not what they rebuild": lambda x, mean, v: x - rebuilt(x, mean, v),
    },
)
"""`rebuild(x, mean, components)`: what the components (k, D) rebuild of samples x (N, D)."""

needed = Exercise(
    enough,
    cases=[(VARIANCES, 0.3), (VARIANCES, 0.5), (VARIANCES, 0.7), (VARIANCES, 0.95)],
    mistakes={
        "they hold less than the share: it takes one more": lambda *case: enough(*case) - 1,
        "that is how many still lie beyond the share: count from the largest": lambda *case: 6 - enough(*case),
        "a share is of the sum of all variances: divide by it": lambda v, share: enough(v, share / v.sum()),
    },
)
"""`needed(variances, share)`: how many components, by falling variance, it takes to hold more than that share."""
