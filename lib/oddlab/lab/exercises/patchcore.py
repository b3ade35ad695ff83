"""Exercises of the lesson about PatchCore."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

from oddlab.lab.exercises.exercise import Exercise

PATCHES = np.random.default_rng(0).standard_normal((30, 4))
BANK = np.random.default_rng(1).standard_normal((12, 4)) + 0.5


def by(measure: Callable[[np.ndarray], float]) -> Callable:
    """A score that is made of the distances (P, K) between the patches and the rows of the bank."""
    return lambda patches, bank: measure(cdist(patches, bank))


def overflowing(away: np.ndarray) -> float:
    return 1 - np.exp(away[0]) / np.exp(away).sum()


def others_only(away: np.ndarray) -> float:
    return 1 - 1 / np.exp(away[1:] - away[0]).sum()


score = Exercise(
    by(lambda away: away.min(axis=1).max()),
    cases=[(PATCHES, BANK), (BANK, PATCHES[:7])],
    mistakes={
        "a small defect drowns in the mean over patches: take the largest": by(lambda away: away.min(axis=1).mean()),
        "that is the squared distance: take its root": by(lambda away: away.min(axis=1).max() ** 2),
        "the mean of the bank is no patch that was ever seen: measure from the nearest row": lambda patches, bank: (
            cdist(patches, bank.mean(axis=0, keepdims=True)).max()
        ),
        "you measure from the row that is farthest: take the nearest row of each patch first": by(np.max),
        "that is the least anomalous patch: take the largest over the patches": by(np.min),
        "you look for the nearest patch of each row: swap the axes": by(lambda away: away.min(axis=0).max()),
        "those are the scores of the patches: take the largest": by(lambda away: away.min(axis=1)),
    },
)
"""`score(patches, bank)`: the largest distance of a patch (P, D) to the nearest row of the bank (K, D)."""

factor = Exercise(
    lambda away: 1 - softmax(away)[0],
    cases=[(np.array([1.0, 1.2, 1.5, 3.0]),), (np.array([2.0, 2.0]),), (np.array([1000.0, 1001.0, 1000.5]),)],
    mistakes={
        "e to the 1,000 is infinite: subtract the largest distance first": overflowing,
        "the 1 - is missing: a patch in a crowd would get the higher score": lambda away: softmax(away)[0],
        "there is no minus in the exponents: take e to the distances": lambda away: 1 - softmax(-away)[0],
        "the nearest row is one of the b rows: it belongs in the sum": others_only,
        "you divide the distances themselves: take e to their power first": lambda away: 1 - away[0] / away.sum(),
        "the factor is one number, that of the first row": lambda away: 1 - softmax(away),
    },
)
"""`factor(away)`: 1 - e^away[0] / sum of e^away, for distances (b,) of which the first is to the nearest row."""
