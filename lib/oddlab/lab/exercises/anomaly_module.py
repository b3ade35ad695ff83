"""Exercises of the lesson about thresholds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from oddlab.lab.exercises.exercise import Exercise


def scored(seed: int, n_defects: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 60 images, in steps of `step`, and whether each has a defect."""
    labels = np.arange(60) < n_defects
    scores = 50 + np.random.default_rng(seed).normal(size=60) + 1.6 * labels
    return np.round(scores / step) * step, labels


def ranked_right(scores: np.ndarray, labels: np.ndarray, tie: float = 0.5) -> float:
    difference = scores[labels][:, None] - scores[~labels]
    return (difference > 0).mean() + tie * (difference == 0).mean()


def cost(called: np.ndarray, labels: np.ndarray, share: float, miss: float, alarm: float) -> float:
    """What mistakes cost for one image where `share` of them is defective."""
    missed, alarms = (~called[labels]).mean(), called[~labels].mean()
    return share * miss * missed + (1 - share) * alarm * alarms


def costs(scores: np.ndarray, labels: np.ndarray, *case: float, decide: Callable = np.greater_equal) -> list:
    """That of the decisions with each of the sorted scores as threshold."""
    return [cost(decide(scores, t), labels, *case) for t in np.unique(scores)]


def cheapest(scores: np.ndarray, *case: np.ndarray | float, **how: Callable) -> float:
    return np.unique(scores)[np.argmin(costs(scores, *case, **how))]


auroc = Exercise(
    ranked_right,
    cases=[scored(3, 18, 1e-6), scored(3, 18, 1)],
    mistakes={
        "equal scores count as 0 with you: they are ranked neither way, so count 1/2": partial(ranked_right, tie=0),
        "equal scores count as 1 with you: they are ranked neither way, so count 1/2": partial(ranked_right, tie=1),
        "your pairs are ranked the wrong way round: a defect should score more than a good image": (
            lambda scores, labels: ranked_right(-scores, labels)
        ),
    },
)
"""`auroc(scores, labels)`: the share of pairs of a defect and a good image that are ranked right."""

cheapest_threshold = Exercise(
    lambda scores, labels, share, miss, alarm: cheapest(scores, labels, share, miss, alarm),
    cases=[(*scored(19, 25, 1 / 8), 0.05, 60.0, 2.0), (*scored(2, 20, 1 / 8), 0.02, 90.0, 3.0)],
    mistakes={
        "that is the least cost itself: return the threshold that reaches it": lambda *case: min(costs(*case)),
        "that is its place among the sorted scores: return the score there": lambda *case: np.argmin(costs(*case)),
        "you decide by s > t, which misses defects at exactly t: decide by s >= t": partial(
            cheapest, decide=np.greater
        ),
        "you use the share of defects of the labelled images: weigh recall and false alarm rate by `share`": (
            lambda scores, labels, share, miss, alarm: cheapest(scores, labels, labels.mean(), miss, alarm)
        ),
        "the two costs are interchanged: a missed defect costs `miss`, a false alarm `alarm`": (
            lambda scores, labels, share, miss, alarm: cheapest(scores, labels, share, alarm, miss)
        ),
    },
    accept=lambda got, scores, *case: np.isclose(cost(scores >= got, *case), min(costs(scores, *case))),
)
"""`cheapest_threshold(scores, labels, share, miss, alarm)`: the score that, as threshold, costs least on the line."""
