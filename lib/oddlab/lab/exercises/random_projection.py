"""Checks of the exercises in notebook 08."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import pdist

from oddlab.random_projection import johnson_lindenstrauss_min_dim


def worst(answer: Callable) -> str | None:
    """`answer(x, y)` is the largest |delta| of the squared distances of all pairs, for x (N, D) and y (N, k)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 7))
    for y in (1.3 * x[:, :6], 0.5 * x):  # in the second every error is below 0
        got = np.asarray(answer(x.copy(), y.copy()), dtype=float)
        if got.shape != ():
            return f"one number is asked for, the largest of all pairs, and yours has shape {got.shape}"
        if not np.isfinite(got):
            return "it is not finite: leave out the distance of each point to itself, which is 0 / 0"
        ratio = pdist(y) ** 2 / pdist(x) ** 2
        right = np.abs(ratio - 1).max()
        if np.isclose(got, right):
            continue
        if np.isclose(got, np.abs(ratio**0.5 - 1).max()):
            return "those are the errors of the distances: square them first"
        if np.isclose(got, (ratio - 1).max()):
            return "an error of -1 is larger than one of 0.1: take the absolute value before the maximum"
        if np.isclose(got, ratio.max()):
            return "that is the largest ratio: take 1 off"
        if np.isclose(got, np.abs(pdist(y) ** 2 - pdist(x) ** 2).max()):
            return "that is the largest difference: divide each by the pair's own squared distance in x"
        with np.errstate(divide="ignore"):
            if np.isclose(got, np.abs(1 / ratio - 1).max()):
                return "the ratio is upside down: y over x"
        return f"it should be {right:.4f} for one of the examples, and yours is {got:.4f}"
    return None


def promised(answer: Callable) -> str | None:
    """`answer(n, k)` is the smallest eps, to 0.01, for which the bound asks for at most k sums for n points."""
    for n, k in ((1000, 331), (20_000, 244), (50, 1000)):
        got = float(np.asarray(answer(n, k), dtype=float))
        grid = np.arange(1, 1000) / 1000
        right = next(eps for eps in grid if johnson_lindenstrauss_min_dim(n, eps) <= k)
        if abs(got - right) <= 0.0101:
            continue
        if np.isclose(got, (8 * np.log(n) / k) ** 0.5, rtol=1e-3):
            return "the term with the cube of eps is missing, and near eps = 1 it is two thirds of the other"
        if np.isclose(got, (2 / k) ** 0.5, rtol=1e-3):
            return "that is the typical error: the bound speaks of all pairs"
        if got > right and johnson_lindenstrauss_min_dim(n, min(got, 0.999)) <= k:
            return f"at n = {n}, k = {k} eps = {got:.2f} is promised, but so is {right:.2f}: find the smallest"
        return f"at n = {n}, k = {k} it should be {right:.2f}, and yours is {got:.2f}"
    return None
