"""Checks of the exercises in notebook 09."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist


def radius(answer: Callable) -> str | None:
    """`answer(x, picks)` is the largest distance of a row of x (N, D) to the nearest of the rows `picks`."""
    x, picks = np.random.default_rng(0).standard_normal((40, 3)), [3, 17, 30, 8]
    away = cdist(x, x[picks])
    right = away.min(axis=1).max()
    got = np.asarray(answer(x.copy(), list(picks)), dtype=float)
    if got.size != 1:
        return f"the radius is one number, and yours has the shape {got.shape}"
    reasons = {
        away.min(axis=1).mean(): "that is the mean distance to the nearest pick: a radius has to reach the farthest point",
        away.max(): "you measure points to the pick that is farthest from them: take the nearest pick of each point first",
        away.min(axis=0).max(): "you look for the nearest point of each pick, which is the pick itself: swap the axes",
        away.max(axis=0).min(): "you look for the farthest point of each pick: take the nearest pick of each point first",
        away.min(axis=1).argmax(): "that is the number of the farthest point: its distance is asked for",
        right**2: "that is the squared distance: take its root",
    }
    for wrong, reason in reasons.items():
        if np.isclose(got.item(), wrong):
            return reason
    return None if np.isclose(got.item(), right) else f"it should be {right:.4f}, and yours is {got.item():.4f}"


def cover(answer: Callable) -> str | None:
    """`answer(x, first, r)` are the greedy picks from row `first` on, until no row of x (N, D) is farther than r."""
    cloud = np.random.default_rng(1).standard_normal((60, 2))
    line = np.array([[0.0], [10.0], [4.0], [7.0]])
    # On the line two picks leave a radius of exactly 4.
    for x, first, r in ((cloud, 5, 0.8), (line, 0, 4.0), (cloud, 2, 99.0)):
        given = answer(x.copy(), first, r)
        if np.ndim(given) != 1:
            return f"it should return a list of row numbers, and yours is of type {type(given).__name__}"
        got, right = [int(pick) for pick in given], _greedy(x, first, r, lambda away: away.min(axis=1))
        if got == right:
            continue
        if got == right[1:]:
            return f"the first pick, row {first}, belongs into the list"
        if got == right[:-1]:
            left = cdist(x, x[got]).min(axis=1).max() if got else np.inf
            return f"it stops one pick early: a point is still {left:.4g} away from your picks, and r is {r}"
        if got[:-1] == right:
            equal = " (a point that is exactly r away counts as covered)" if x is line else ""
            return f"it makes one pick too many: look whether all are covered before you add another{equal}"
        if got == _greedy(x, first, r, lambda away: away[:, -1]):
            return "you take the point farthest from the last pick: it has to be far from all picks, so take the minimum"
        if got == _greedy(x, first, r, lambda away: away.sum(axis=1)):
            return "you take the point whose distances to the picks add up to most: its nearest pick alone counts"
        return f"from row {first} with r = {r} on, the picks should be {right}, and yours are {got}"
    return None


def _greedy(x: np.ndarray, first: int, r: float, measure: Callable[[np.ndarray], Any]) -> list[int]:
    """Picks until all rows are covered, each the row with the largest `measure` of its distances to those before."""
    picks = [first]
    while (away := cdist(x, x[picks])).min(axis=1).max() > r and len(picks) < len(x):
        picks.append(int(measure(away).argmax()))
    return picks
