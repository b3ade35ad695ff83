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


def f1(called: np.ndarray, labels: np.ndarray) -> float:
    return 2 * (called & labels).sum() / (called.sum() + labels.sum())


def accuracy(called: np.ndarray, labels: np.ndarray) -> float:
    return (called == labels).mean()


def each(scores: np.ndarray, labels: np.ndarray, measure: Callable = f1, decide: Callable = np.greater_equal) -> list:
    """How good the decisions are with each of the sorted scores as threshold."""
    return [measure(decide(scores, t), labels) for t in np.unique(scores)]


def best(scores: np.ndarray, labels: np.ndarray, **how: Callable) -> float:
    return np.unique(scores)[np.argmax(each(scores, labels, **how))]


def ranked_right(scores: np.ndarray, labels: np.ndarray, tie: float = 0.5) -> float:
    difference = scores[labels][:, None] - scores[~labels]
    return (difference > 0).mean() + tie * (difference == 0).mean()


best_threshold = Exercise(
    best,
    cases=[scored(19, 15, 1 / 8), scored(2, 5, 1 / 8)],
    mistakes={
        "that is the best F1 itself: return the threshold that reaches it": lambda *case: max(each(*case)),
        "that is its place among the sorted scores: return the score there": lambda *case: np.argmax(each(*case)),
        "you decide by s > t, which misses defects at exactly t: decide by s >= t": partial(best, decide=np.greater),
        "that maximises accuracy, which counts good images that are let through, and there are many: take F1": partial(
            best, measure=accuracy
        ),
    },
    accept=lambda got, scores, labels: np.isclose(f1(scores >= got, labels), max(each(scores, labels))),
)
"""`best_threshold(scores, labels)`: the t at which deciding s >= t has the best F1; labels are True for a defect."""

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
