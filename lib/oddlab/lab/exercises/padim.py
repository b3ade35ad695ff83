"""Exercises of the lesson about PaDiM."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

X, ROOT = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MEAN, INVERSE = ROOT[0] - 1, (ROOT @ ROOT.mT + torch.eye(3))[1:]


def squares(x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    """Squared Mahalanobis distances (N, P)."""
    return torch.einsum("ndp,pde,nep->np", x - mean, inverse, x - mean)


memory = Exercise(
    lambda n_features, side: side**2 * n_features**2 * 4,
    cases=[(152, 16), (100, 56)],
    mistakes={
        "those are the numbers: each takes 4 bytes": lambda d, side: side**2 * d**2,
        "a grid of `side` x `side` has side * side positions": lambda d, side: side * d**2 * 4,
        "a covariance is D x D, not D": lambda d, side: side**2 * d * 4,
        "a float32 takes 4 bytes, not 8": lambda d, side: side**2 * d**2 * 8,
    },
    rtol=0,
)
"""`memory(n_features, side)`: the bytes of one float32 matrix D x D for each of side x side positions."""

distances = Exercise(
    lambda x, mean, inverse: squares(x, mean, inverse).sqrt(),
    cases=[(X, MEAN, INVERSE), (X[:2, :, :2], MEAN[:, :2], INVERSE[1:])],
    mistakes={
        "those are the squares: take the root": squares,
        "that is the Euclidean distance: multiply by the inverse": lambda x, mean, inverse: (x - mean).norm(dim=1),
        "the mean is not subtracted": lambda x, mean, inverse: squares(x, 0, inverse).sqrt(),
    },
)
"""`distances(x, mean, inverse)`: the Mahalanobis distance (N, P) of each embedding of x (N, D, P) at each position."""
