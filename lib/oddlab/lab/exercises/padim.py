"""Checks of the exercises in notebook 20."""

from __future__ import annotations

from collections.abc import Callable

import torch


def memory(answer: Callable) -> str | None:
    """`answer(n_features, side)` is the bytes of one float32 matrix D x D for each of side x side positions."""
    for n_features, side in ((152, 16), (100, 56)):
        right, got = side**2 * n_features**2 * 4, answer(n_features, side)
        reasons = {
            right / 4: "those are the numbers: each takes 4 bytes",
            right / side: "a grid of `side` x `side` has side * side positions",
            right / n_features: "a covariance is D x D, not D",
            right * 2: "a float32 takes 4 bytes, not 8",
        }
        if got != right:
            return reasons.get(got, f"D = {n_features} on {side} x {side} takes {right:,} bytes, and yours is {got:,}")
    return None


def distances(answer: Callable) -> str | None:
    """`answer(x, mean, inverse)` is the Mahalanobis distance (N, P) of each embedding at each position."""
    g = torch.Generator().manual_seed(0)
    x, mean = torch.randn(4, 3, 5, generator=g, dtype=torch.float64), torch.randn(3, 5, generator=g, dtype=torch.float64)
    root = torch.randn(5, 3, 3, generator=g, dtype=torch.float64)
    inverse = root @ root.mT + torch.eye(3, dtype=torch.float64)
    got = torch.as_tensor(answer(x.clone(), mean.clone(), inverse.clone()))
    if got.shape != (4, 5):
        return f"4 embeddings at 5 positions have distances of shape (4, 5), and yours has {tuple(got.shape)}"
    delta = x - mean
    squared = torch.stack([torch.stack([d @ s @ d for d, s in zip(row.T, inverse)]) for row in delta])
    if torch.allclose(got, squared):
        return "those are the squares: take the root"
    if torch.allclose(got, delta.square().sum(dim=1).sqrt()):
        return "that is the plain distance: the inverse covariance has no say in it"
    if not torch.allclose(got, squared.sqrt()):
        return f"the first should be {squared[0, 0].sqrt():.4f}, and yours is {float(got[0, 0]):.4f}"
    return None
