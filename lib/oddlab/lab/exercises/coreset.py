"""Exercises of the lesson about coresets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from oddlab.lab.exercises.exercise import Exercise

CLOUD = np.random.default_rng(0).standard_normal((40, 3))
PLANE = np.random.default_rng(1).standard_normal((60, 2))
LINE = np.array([[0.0], [10.0], [4.0], [7.0]])  # two picks leave a radius of exactly 4


def radius_by(measure: Callable[[np.ndarray], float]) -> Callable:
    """An answer that makes something of the distances (N, K) of the points to the picks."""
    return lambda x, picks: measure(cdist(x, x[picks]))


def greedy(x: np.ndarray, first: int, r: float, measure: Callable = lambda d: d.min(1)) -> list[int]:
    """Picks of the row with the largest `measure` of its distances to those before, while the radius is above r."""
    picks = [first]
    while (d := cdist(x, x[picks])).min(axis=1).max() > r and len(picks) < len(x):
        picks.append(int(measure(d).argmax()))
    return picks


def one_too_many(x: np.ndarray, first: int, r: float) -> list[int]:
    picks = greedy(x, first, r)
    return [*picks, int(cdist(x, x[picks]).min(axis=1).argmax())]


radius = Exercise(
    radius_by(lambda d: d.min(1).max()),
    cases=[(CLOUD, [3, 17, 30, 8]), (PLANE, [5, 9])],
    mistakes={
        "that is the mean distance: a radius has to reach the farthest point": radius_by(lambda d: d.min(1).mean()),
        "you take the pick that is farthest from each point: take the nearest": radius_by(lambda d: d.max()),
        "you take each pick's nearest point, which is itself: swap the axes": radius_by(lambda d: d.min(0).max()),
        "you take each pick's farthest point: take each point's nearest pick": radius_by(lambda d: d.max(0).min()),
        "that is the number of the farthest point: its distance is asked for": radius_by(lambda d: d.min(1).argmax()),
        "that is the squared distance: take its root": radius_by(lambda d: d.min(1).max() ** 2),
    },
)
"""`radius(x, picks)`: the largest distance of a row of x (N, D) to the nearest of the rows `picks`."""

cover = Exercise(
    greedy,
    cases=[(PLANE, 5, 0.8), (LINE, 0, 4.0)],
    mistakes={
        "the first pick belongs into the list": lambda *case: greedy(*case)[1:],
        "it stops one pick early: a point is still farther than r from your picks": lambda *case: greedy(*case)[:-1],
        "it makes one pick too many: look whether all are covered before you add another": one_too_many,
        "it makes one pick too many: a point that is exactly r away counts as covered": lambda x, first, r: greedy(
            x, first, r - 1e-9
        ),
        "you look at the last pick only: take the minimum over all picks": partial(greedy, measure=lambda d: d[:, -1]),
        "you add up the distances to all picks: the nearest alone counts": partial(greedy, measure=lambda d: d.sum(1)),
    },
)
"""`cover(x, first, r)`: the greedy picks from row `first` on, until no row of x (N, D) is farther than r."""
