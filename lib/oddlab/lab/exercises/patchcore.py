"""Exercises of the lesson about PatchCore."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from oddlab.lab.exercises.exercise import Exercise

rng = np.random.default_rng(0)
CROWD = rng.standard_normal((6, 3)) / 5
MEMORY = np.concatenate([CROWD, rng.standard_normal((8, 3)) + 2])
ROWS = torch.tensor([7, 0, 3, 19, 5, 1, 18])

rows_per_image = Exercise(
    lambda rows, places, n_images: torch.bincount(rows // places, minlength=n_images),
    cases=[(ROWS, 4, 6), (ROWS, 8, 3), (ROWS[:4], 5, 4)],
    mistakes={
        "those are the images that the rows come from: count how often each of them occurs": (
            lambda rows, places, n_images: rows // places
        ),
        "that counts rows for each place: the remainder is the place, the quotient is the image": (
            lambda rows, places, n_images: torch.bincount(rows % places, minlength=n_images)
        ),
        "images that no row comes from are missing at the end: the answer has n_images numbers": (
            lambda rows, places, n_images: torch.bincount(rows // places)
        ),
        "you divide by the number of images: an image has `places` patches": (
            lambda rows, places, n_images: torch.bincount(rows // n_images, minlength=n_images)
        ),
        "those are shares of the memory: return counts": (
            lambda rows, places, n_images: torch.bincount(rows // places, minlength=n_images) / len(rows)
        ),
    },
)
"""`rows_per_image(rows, places, n_images)`: how many of the memory's rows come from each training image."""


def distances(patch: np.ndarray, memory: np.ndarray) -> np.ndarray:
    return np.linalg.norm(memory - patch, axis=1)


def weight(away: np.ndarray, around: np.ndarray) -> float:
    return 1 - 1 / np.exp(away[around] - away.min()).sum()


def around_the_nearest(patch: np.ndarray, memory: np.ndarray, b: int) -> np.ndarray:
    nearest = distances(patch, memory).argmin()
    return distances(memory[nearest], memory).argsort()[:b]


def score_with(rows: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> Callable:
    """The score whose factor is made of the rows that `rows(patch, memory, b)` names."""

    def score(patch: np.ndarray, memory: np.ndarray, b: int) -> float:
        away = distances(patch, memory)
        return away.min() * weight(away, rows(patch, memory, b))

    return score


def overflowing(patch: np.ndarray, memory: np.ndarray, b: int) -> float:
    away = distances(patch, memory)
    powers = np.exp(away[around_the_nearest(patch, memory, b)])
    return away.min() * (1 - np.exp(away.min()) / powers.sum())


def without_score(patch: np.ndarray, memory: np.ndarray, b: int) -> float:
    return weight(distances(patch, memory), around_the_nearest(patch, memory, b))


def crowd_is_higher(patch: np.ndarray, memory: np.ndarray, b: int) -> float:
    away = distances(patch, memory)
    return away.min() * (1 - weight(away, around_the_nearest(patch, memory, b)))


weighted_score = Exercise(
    score_with(around_the_nearest),
    cases=[
        (np.array([0.5, 0.6, 0.5]), MEMORY, 4),
        (np.array([3.0, 1.0, 2.0]), MEMORY, 5),
        (np.array([900.0, 900.0, 900.0]), MEMORY, 3),
    ],
    mistakes={
        "e to the power of 1,000 is infinite: use the second form of the factor": overflowing,
        "those are the rows nearest to the patch: take the rows nearest to its nearest row": score_with(
            lambda patch, memory, b: distances(patch, memory).argsort()[:b]
        ),
        "the nearest row is one of the b rows, and you left it out": score_with(
            lambda patch, memory, b: distances(memory[distances(patch, memory).argmin()], memory).argsort()[1 : b + 1]
        ),
        "that is the factor alone: multiply it by the distance to the nearest row": without_score,
        "the 1 - is missing: a patch beside a crowd would get the higher score": crowd_is_higher,
        "that is the distance without the factor": lambda patch, memory, b: distances(patch, memory).min(),
        "you took all rows: only the b rows nearest to the nearest one count": score_with(
            lambda patch, memory, b: np.arange(len(memory))
        ),
    },
)
"""`weighted_score(patch, memory, b)`: the distance of a patch (D,) to the nearest row of (K, D), times the factor."""
