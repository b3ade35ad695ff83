"""Exercises of the lesson about coresets."""

from __future__ import annotations

import numpy as np

from oddlab.lab.exercises.exercise import Exercise

RADII = np.array([9.0, 4.0, 2.0, 1.0, 0.5])
PLANE = np.random.default_rng(1).standard_normal((60, 2))
LINE = np.array([[0.0], [10.0], [4.0], [7.0]])  # the third row is exactly 4 away from the first


def discs_needed(radii: np.ndarray, r: float) -> int:
    """One more than the picks whose radius is above 2 r: these and the next lie too far apart to share a disc."""
    return 1 + int((np.asarray(radii) > 2 * r).sum())


def kept_in_one_pass(x: np.ndarray, r: float) -> list[int]:
    kept = []
    for row, point in enumerate(x):
        if all(np.linalg.norm(point - x[other]) > r for other in kept):
            kept.append(row)
    return kept


def compared_with_the_last(x: np.ndarray, r: float) -> list[int]:
    kept = [0]
    for row, point in enumerate(x):
        if np.linalg.norm(point - x[kept[-1]]) > r:
            kept.append(row)
    return kept


def compared_with_all(x: np.ndarray, r: float) -> list[int]:
    return [row for row in range(len(x)) if (np.linalg.norm(x[:row] - x[row], axis=1) > r).all()]


at_least = Exercise(
    discs_needed,
    cases=[(RADII, 1.0), (RADII, 0.6), (RADII, 20.0)],
    mistakes={
        "that is one too few: if t discs are not enough, at least t + 1 are needed": lambda radii, r: (
            discs_needed(radii, r) - 1
        ),
        "that is what greedy selection needs: two points share a disc up to a distance of 2 r": lambda radii, r: (
            discs_needed(radii, r / 2)
        ),
        "points that are exactly 2 r apart do fit into one disc of radius r": lambda radii, r: discs_needed(
            radii, r * (1 - 1e-9)
        ),
        "you compare with r / 2: two points share a disc up to a distance of 2 r": lambda radii, r: discs_needed(
            radii, r / 4
        ),
    },
)
"""`at_least(radii, r)`: how many discs of radius r any cover has at least, by the radii of a greedy selection."""

one_pass = Exercise(
    kept_in_one_pass,
    cases=[(PLANE, 0.8), (LINE, 4.0)],
    mistakes={
        "a point that is exactly r away is covered, and need not be kept": lambda x, r: kept_in_one_pass(
            x, r * (1 - 1e-9)
        ),
        "you compare with the last point kept only: one that was kept earlier may cover it": compared_with_the_last,
        "you compare with all rows before: only those that were kept can cover a point": compared_with_all,
        "the first row is not in your list: with nothing kept, nothing covers it": lambda x, r: kept_in_one_pass(x, r)[
            1:
        ],
        "you return the points: their row numbers are asked for": lambda x, r: x[kept_in_one_pass(x, r)],
    },
)
"""`one_pass(x, r)`: the rows of x (N, D) that are kept if each comes once and is kept when none kept is within r."""
