"""Exercises of the lesson that compares detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from oddlab.lab.exercises.exercise import Exercise

AUROCS = [0.95, 0.93, 0.95, 0.90, 0.97, 0.93]
COSTS = [20.0, 10.0, 30.0, 12.0, 80.0, 10.0]


def beaten(aurocs: Sequence[float], costs: Sequence[float], strictly: bool = False) -> np.ndarray:
    """Whether another one is at least as good and as cheap, and better in one of them; or `strictly` in both."""
    auroc, cost = np.array(aurocs, dtype=float), np.array(costs, dtype=float)
    better, cheaper = auroc[None] > auroc[:, None], cost[None] < cost[:, None]
    if strictly:
        return (better & cheaper).any(axis=1)
    no_worse = (auroc[None] >= auroc[:, None]) & (cost[None] <= cost[:, None])
    return (no_worse & (better | cheaper)).any(axis=1)


processors = Exercise(
    lambda images_a_second, milliseconds: math.ceil(images_a_second * milliseconds / 1000 - 1e-9),
    cases=[(30, 20.0), (100, 25.0), (200, 40.0), (50, 20.0)],
    mistakes={
        "half a processor cannot be bought: round up": lambda images_a_second, milliseconds: (
            images_a_second * milliseconds / 1000
        ),
        "rounded down they do not keep up: round up": lambda images_a_second, milliseconds: math.floor(
            images_a_second * milliseconds / 1000
        ),
        "a second has 1,000 milliseconds": lambda images_a_second, milliseconds: images_a_second * milliseconds,
        "that is one more than are needed where it comes out even": lambda images_a_second, milliseconds: (
            math.floor(images_a_second * milliseconds / 1000) + 1
        ),
    },
    rtol=0,
)
"""`processors(images_a_second, milliseconds)`: how many it takes to keep up with the line."""

worth_a_look = Exercise(
    lambda aurocs, costs: ~beaten(aurocs, costs),
    cases=[(AUROCS, COSTS), (AUROCS[::-1], COSTS[1:] + COSTS[:1]), ([0.9, 0.9, 0.8], [1.0, 2.0, 1.0])],
    mistakes={
        "that is the other way round: True is for those that no other beats": beaten,
        "one that is as good and cheaper beats, too, and one that is as cheap and better": lambda aurocs, costs: (
            ~beaten(aurocs, costs, strictly=True)
        ),
        "two that are equal in both do not beat each other": lambda aurocs, costs: np.array(
            [
                not any(a >= aurocs[i] and c <= costs[i] for j, (a, c) in enumerate(zip(aurocs, costs)) if j != i)
                for i in range(len(aurocs))
            ]
        ),
        "that is the best alone: a cheaper one may be worth a look with a lower AUROC": lambda aurocs, costs: (
            np.array(aurocs) == max(aurocs)
        ),
        "a high cost is bad": lambda aurocs, costs: ~beaten(aurocs, [-cost for cost in costs]),
    },
)
"""`worth_a_look(aurocs, costs)`: for each detector whether no other is as good and as cheap, and better in one."""
