"""Checks of the exercises in notebook 21."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist


def score(answer: Callable) -> str | None:
    """`answer(patches, bank)` is the largest distance of a patch (P, D) to the nearest row of the bank (K, D)."""
    g = np.random.default_rng(0)
    patches, bank = g.standard_normal((30, 4)), g.standard_normal((12, 4)) + 0.5
    away = cdist(patches, bank)
    right = away.min(axis=1).max()
    got = np.asarray(answer(patches.copy(), bank.copy()), dtype=float)
    if got.size != 1:
        return f"the score of an image is one number, and yours has the shape {got.shape}"
    reasons = {
        away.min(axis=1).mean(): "that is the mean over the patches, in which a small defect drowns: take the largest",
        right**2: "that is the squared distance: take its root",
        np.linalg.norm(patches - bank.mean(axis=0), axis=1).max(): "you measure from the mean of the bank, which is no "
        "patch that was ever seen: measure from its nearest row",
        away.max(): "you measure from the row that is farthest: take the nearest row of each patch first",
        away.min(): "that is the least odd patch: take the largest over the patches",
        away.min(axis=0).max(): "you look for the nearest patch of each row of the bank: swap the axes",
    }
    for wrong, reason in reasons.items():
        if np.isclose(got.item(), wrong):
            return reason
    return None if np.isclose(got.item(), right) else f"it should be {right:.4f}, and yours is {got.item():.4f}"


def factor(answer: Callable) -> str | None:
    """`answer(away)` is 1 - e^away[0] / sum of e^away, for distances (b,) of which the first is to the nearest row."""
    for away in (np.array([1.0, 1.2, 1.5, 3.0]), np.array([2.0, 2.0]), np.array([1000.0, 1001.0, 1000.5])):
        with np.errstate(over="ignore", invalid="ignore"):
            got = np.asarray(answer(away.copy()), dtype=float)
        if got.size != 1:
            return f"the factor is one number, and yours has the shape {got.shape}"
        got, shown = got.item(), ", ".join(f"{distance:g}" for distance in away)
        if not np.isfinite(got):
            return f"for the distances {shown} it is {got}, as e to the 1,000 is infinite: subtract the largest distance first"
        weights, reverse = np.exp(away - away.max()), np.exp(away.min() - away)
        right = 1 - weights[0] / weights.sum()
        if np.isclose(got, right):
            continue
        reasons = {
            1 - right: "the 1 - is missing: a patch in a crowd would get the higher score",
            1 - reverse[0] / reverse.sum(): "you take e to minus the distances: there is no minus in the exponents",
            1 - weights[0] / weights[1:].sum(): "the nearest row is one of the b rows: it belongs into the sum",
            1 - away[0] / away.sum(): "you divide the distances themselves: take e to their power first",
        }
        for wrong, reason in reasons.items():
            if np.isclose(got, wrong):
                return reason
        return f"for the distances {shown} it should be {right:.4f}, and yours is {got:.4f}"
    return None
