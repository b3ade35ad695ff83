"""Exercises of the lesson about PaDiM."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

X = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def squares(x: Tensor, ridge: float, *, own: bool = False, own_mean: bool = False, divisor: int = 2) -> Tensor:
    """Squared distances (N, P) of each image to the Gaussians of the others, or with its own part in them."""
    found = []
    for i in range(len(x)):
        others = x if own else torch.cat([x[:i], x[i + 1 :]])
        delta = (others - others.mean(dim=0)).permute(2, 1, 0)
        covariance = delta @ delta.mT / (len(x) - divisor) + ridge * torch.eye(x.shape[1], dtype=x.dtype)
        off = (x[i] - (x if own_mean else others).mean(dim=0)).T.unsqueeze(-1)
        # Half way through the Cholesky factor is enough: |L^-1 off|^2 = off^T covariance^-1 off.
        whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), off, upper=False)
        found.append(whitened.square().sum(dim=1).flatten())
    return torch.stack(found)


memory = Exercise(
    lambda n_features, side: side**2 * n_features**2 * 4,
    cases=[(152, 16), (100, 56)],
    mistakes={
        "those are the numbers: each takes 4 bytes": lambda d, side: side**2 * d**2,
        "a grid of `side` x `side` has side * side places": lambda d, side: side * d**2 * 4,
        "a covariance is D x D, not D": lambda d, side: side**2 * d * 4,
        "a float32 takes 4 bytes, not 8": lambda d, side: side**2 * d**2 * 8,
    },
    rtol=0,
)
"""`memory(n_features, side)`: the bytes of one float32 matrix D x D for each of side x side places."""

left_out_distances = Exercise(
    lambda x, ridge: squares(x, ridge).sqrt(),
    cases=[(X, 0.1), (X[1:, :, :2], 0.5)],
    mistakes={
        "those are the squares: take the root": squares,
        "each image is among those its Gaussians are fitted to: leave it out": lambda x, ridge: squares(
            x, ridge, own=True, divisor=1
        ).sqrt(),
        "the image is left out of the covariance and not of the mean: leave it out of both": lambda x, ridge: squares(
            x, ridge, own_mean=True
        ).sqrt(),
        "N - 1 images are left, so their covariance is divided by N - 2": lambda x, ridge: squares(
            x, ridge, divisor=1
        ).sqrt(),
        "the ridge is missing: add `ridge` times the unit matrix to each covariance": lambda x, ridge: squares(
            x, 0.0
        ).sqrt(),
    },
)
"""`left_out_distances(x, ridge)`: the distance (N, P) of each embedding of x (N, D, P) to a fit to all the others."""
