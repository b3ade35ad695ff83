"""Checks of the exercises in notebook 15."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def best_threshold(answer: Callable) -> str | None:
    """`answer(scores, labels)` is the t at which deciding s >= t has the best F1; labels are True for a defect."""
    for seed, n_defects in ((1, 15), (2, 5)):
        rng = np.random.default_rng(seed)
        labels = np.arange(60) < n_defects
        scores = np.round(50 + rng.normal(size=60) + 1.6 * labels, 1)
        levels, got = np.unique(scores), float(answer(scores.copy(), labels.copy()))
        f1 = np.array([_f1(scores >= t, labels) for t in levels])
        if np.isclose(_f1(scores >= got, labels), f1.max()):
            continue
        if np.isclose(got, f1.max()):
            return "that is the best F1 itself: return the threshold at which it is reached"
        if got == f1.argmax():
            return "that is the place of the threshold among the sorted scores: return the score that stands there"
        if got == levels[np.argmax([_f1(scores > t, labels) for t in levels])]:
            return "you decide by s > t, and then no defect that scores exactly t is found: decide by s >= t"
        accuracy = np.array([((scores >= t) == labels).mean() for t in levels])
        if got in levels[accuracy == accuracy.max()]:
            return "that maximises accuracy, which counts good images that are let through, and there are many: take F1"
        best, reached = f1.max(), _f1(scores >= got, labels)
        return (
            f"the best F1 is {best:.3f}, at t = {levels[f1.argmax()]}, and yours, {got:.4g}, reaches only {reached:.3f}"
        )
    return None


def auroc(answer: Callable) -> str | None:
    """`answer(scores, labels)` is the share of pairs of a defect and a good image that are ranked right."""
    for step in (0.0, 1.0):
        rng = np.random.default_rng(3)
        labels = np.arange(40) < 12
        scores = rng.normal(size=40) + 1.2 * labels
        scores = np.round(scores / step) * step if step else scores
        difference = scores[labels][:, None] - scores[~labels]
        above, equal = (difference > 0).mean(), (difference == 0).mean()
        right, got = above + equal / 2, float(answer(scores.copy(), labels.copy()))
        if np.isclose(got, right):
            continue
        if np.isclose(got, above):
            return "a pair of equal scores counts as 0 with you: count it as 1/2, since it is ranked neither way"
        if np.isclose(got, above + equal):
            return "a pair of equal scores counts as 1 with you: count it as 1/2, since it is ranked neither way"
        if np.isclose(got, 1 - right):
            return "your pairs are ranked the wrong way round: a defect should score more than a good image"
        return f"of {difference.size} pairs a share of {right:.4f} is ranked right, and yours is {got:.4f}"
    return None


def _f1(called: np.ndarray, labels: np.ndarray) -> float:
    return 2 * (called & labels).sum() / (called.sum() + labels.sum())
