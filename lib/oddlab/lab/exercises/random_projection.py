"""Exercises of the lesson about random projections."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import cdist, pdist

from oddlab.lab.exercises.exercise import Exercise
from oddlab.random_projection import johnson_lindenstrauss_min_dim

X = np.random.default_rng(0).normal(size=(12, 7))


def errors(x: np.ndarray, y: np.ndarray, distances=pdist, power: int = 2) -> np.ndarray:
    return (distances(y) / distances(x)) ** power - 1


def first_enough(n: int, k: int) -> float:
    return next(eps for eps in np.arange(1, 1000) / 1000 if johnson_lindenstrauss_min_dim(n, eps) <= k)


worst = Exercise(
    lambda x, y: np.abs(errors(x, y)).max(),
    cases=[(X, 1.3 * X[:, :6]), (X, 0.5 * X)],  # in the second every error is below 0
    mistakes={
        "it is not finite: leave out the distance of each point to itself, which is 0 / 0": lambda x, y: np.abs(
            errors(x, y, distances=lambda points: cdist(points, points))
        ).max(),
        "those are the errors of the distances: square them first": lambda x, y: np.abs(errors(x, y, power=1)).max(),
        "-1 is a larger error than 0.1: take the absolute value before the maximum": lambda x, y: errors(x, y).max(),
        "that is the largest ratio: take 1 off": lambda x, y: 1 + errors(x, y).max(),
        "that is the largest difference: divide each by the pair's own squared distance in x": lambda x, y: np.abs(
            pdist(y) ** 2 - pdist(x) ** 2
        ).max(),
        "the ratio is upside down: y over x": lambda x, y: np.abs(errors(y, x)).max(),
        "those are the errors of all pairs: return the largest": lambda x, y: np.abs(errors(x, y)),
    },
)
"""`worst(x, y)`: the largest |delta| of the squared distances of all pairs, for x (N, D) and y (N, k)."""

promised = Exercise(
    first_enough,
    cases=[(1000, 331), (20_000, 244), (50, 1000)],
    mistakes={
        "the term with the cube of eps is missing: near eps = 1 it counts": lambda n, k: math.sqrt(8 * math.log(n) / k),
        "that is the typical error: the bound speaks of all pairs": lambda n, k: math.sqrt(2 / k),
        "that is promised, but so are smaller ones: find the smallest": lambda n, k: 0.99,
    },
    rtol=0,
    atol=0.0101,
)
"""`promised(n, k)`: the smallest eps, to 0.01, for which the bound asks for at most k sums for n points."""
