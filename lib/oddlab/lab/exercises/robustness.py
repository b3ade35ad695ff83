"""Exercises of the lesson about changes of the camera."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

STRENGTHS = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
# Shares of images from the threshold 3.0 on: 0.1, 0.2, 0.6, 0.2, 0.9 and, in the second case, 0.3 and more.
RISING = torch.stack([torch.arange(10.0) + start for start in (-6.0, -5.0, -1.0, -5.0, 2.0)])
STEEP = RISING + 2
GENTLE = RISING - 4
GENTLE[1, 9] = 3.0  # exactly the threshold


def shares(scores: Tensor, threshold: float) -> Tensor:
    return (scores >= threshold).double().mean(dim=1)


def bears(strengths: Tensor, scores: Tensor, threshold: float, limit: float) -> float:
    borne = 0.0
    for strength, share in zip(strengths.tolist(), shares(scores, threshold).tolist()):
        if share > limit:
            break
        borne = strength
    return borne


def last_below(strengths: Tensor, scores: Tensor, threshold: float, limit: float) -> float:
    fine = strengths[shares(scores, threshold) <= limit]
    return float(fine.max()) if len(fine) else 0.0


def first_above(strengths: Tensor, scores: Tensor, threshold: float, limit: float) -> float:
    bad = strengths[shares(scores, threshold) > limit]
    return float(bad[0]) if len(bad) else float(strengths[-1])


noise_left = Exercise(
    lambda sigma, k: sigma / k,
    cases=[(5.0, 2), (3.0, 3), (8.0, 5)],
    mistakes={
        "that is the variance's factor: the standard deviation is its root": lambda sigma, k: sigma / k**2,
        "k x k pixels are averaged, not k": lambda sigma, k: sigma / math.sqrt(k),
        "a mean of independent noise has less noise than each pixel": lambda sigma, k: sigma,
        "that is the noise of a sum; a mean divides it by the number of pixels": lambda sigma, k: sigma * k,
    },
)
"""`noise_left(sigma, k)`: the standard deviation of the mean of k x k pixels with independent noise."""

tolerance = Exercise(
    bears,
    cases=[
        (STRENGTHS, RISING, 3.0, 0.4),
        (STRENGTHS, STEEP, 3.0, 0.2),
        (STRENGTHS, GENTLE, 3.0, 0.0),
        (STRENGTHS, GENTLE, 3.0, 0.2),
    ],
    mistakes={
        "a smaller strength is too much already: it does not count that a larger one is fine": last_below,
        "that is the first strength that is too much: return the one before it": first_above,
        "a score that equals the threshold is called anomalous too": lambda strengths, scores, threshold, limit: bears(
            strengths, scores, threshold + 1e-6, limit
        ),
        "a share that equals the limit is not too much": lambda strengths, scores, threshold, limit: bears(
            strengths, scores, threshold, limit - 1e-6
        ),
        "where all strengths are fine the largest is the answer; where none is, 0": (
            lambda strengths, scores, threshold, limit: (
                bears(strengths, scores, threshold, limit) or float(strengths[0])
            )
        ),
    },
)
"""`tolerance(strengths, scores, threshold, limit)`: up to which strength few enough good images (S, N) are called."""
