"""Exercises of the lesson about principal components."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

VARIANCES = torch.tensor([40.0, 24.0, 16.0, 12.0, 8.0])


def enough(variances: Tensor, share: float) -> int:
    return int((variances.cumsum(0) <= share * variances.sum()).sum()) + 1


def wide_samples(n: int, d: int, seed: int) -> Tensor:
    """Samples (n, d), n < d, whose mean is not zero and whose variances differ clearly."""
    generator = torch.Generator().manual_seed(seed)
    coordinates = torch.randn(n, n, generator=generator, dtype=torch.float64) * 2.0 ** -torch.arange(n)
    directions = torch.linalg.qr(torch.randn(d, n, generator=generator, dtype=torch.float64)).Q
    return 10 * coordinates @ directions.T + torch.randn(d, generator=generator, dtype=torch.float64)


def from_products(x: Tensor, k: int, centre: bool = True, largest: bool = True, unit: bool = True) -> Tensor:
    """Components (k, D) from the eigenvectors of the N x N products of the samples."""
    centred = x - x.mean(dim=0) if centre else x
    vectors = torch.linalg.eigh(centred @ centred.T).eigenvectors
    vectors = vectors[:, -k:].flip(1) if largest else vectors[:, 1 : k + 1]  # of centred samples the first is 0
    directions = vectors.T @ centred
    return directions / directions.norm(dim=1, keepdim=True) if unit else directions


def with_one_sign(rows: np.ndarray) -> np.ndarray:
    """Rows whose largest entry is positive; whatever is no matrix stays as it is."""
    rows = np.asarray(rows)
    if rows.ndim != 2 or not rows.size:
        return rows
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows * np.where(largest < 0, -1, 1)


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

few_samples = Exercise(
    from_products,
    cases=[(wide_samples(7, 30, seed=0), 3), (wide_samples(6, 40, seed=1), 2)],
    mistakes={
        "the mean must be taken off the samples first": lambda x, k: from_products(x, k, centre=False),
        "those belong to the smallest eigenvalues: eigh sorts them from the smallest to the largest": (
            lambda x, k: from_products(x, k, largest=False)
        ),
        "the first row must belong to the largest eigenvalue: turn the order round": (
            lambda x, k: from_products(x, k).flip(0)
        ),
        "the rows must have length one: divide each by its length": lambda x, k: from_products(x, k, unit=False),
        "those are columns: return one component in each row": lambda x, k: from_products(x, k).T,
        "those are the eigenvectors of the products of the samples: multiply them with the centred samples": (
            lambda x, k: torch.linalg.eigh((x - x.mean(dim=0)) @ (x - x.mean(dim=0)).T).eigenvectors[:, -k:].flip(1).T
        ),
    },
    prepare=with_one_sign,
    atol=1e-4,
)
"""`few_samples(x, k)`: the first k components (k, D) of samples x (N, D), N < D, without a D x D matrix."""
