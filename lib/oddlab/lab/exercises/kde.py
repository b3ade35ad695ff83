"""Checks of the exercises in notebook 10."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm


def log_mean_exp(answer: Callable) -> str | None:
    """`answer(e)` is the log of the mean of exp(e) of every row of e (N, M), whatever the size of the exponents."""
    e = np.array([[0.0, -1.0, -3.0], [-1000.0, -1001.0, -1003.0], [800.0, 800.0, 790.0], [-2000.0, -20.0, -30.0]])
    got = np.asarray(torch.as_tensor(answer(e.copy())).detach().cpu(), dtype=float)
    right, top = logsumexp(e, axis=1) - np.log(3), e.max(axis=1)
    if got.shape != (4,):
        return f"4 rows of 3 exponents give 4 numbers, and yours have shape {got.shape}"
    if np.isclose(got[0], right[0]) and not np.isfinite(got[1:]).all():
        k = int((~np.isfinite(got)).argmax())
        return f"at exponents near {e[k, 0]:.0f} yours is {got[k]}: take off each row's maximum first"
    if not np.isfinite(got).all():
        return "some of yours are not finite: take off each row's own maximum before the exponential"
    for guess, reason in (
        (right + np.log(3), "that is the log of the sum: the mean is smaller by the log of 3"),
        (right - top, "the maximum that you took off is not added back"),
        (top, "that is the largest exponent alone: the others count too"),
        (e.mean(axis=1), "that is the mean of the exponents: take the mean of their exponentials"),
    ):
        if np.allclose(got, guess):
            return reason
    if not np.allclose(got, right):
        k = int((~np.isclose(got, right)).argmax())
        return f"the row {e[k].tolist()} gives {right[k]:.4f}, and yours is {got[k]:.4f}"
    return None


def choose_width(answer: Callable) -> str | None:
    """`answer(points, widths)` is the width of bump that makes points (N,) most likely, each by the bumps of the others."""
    widths = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        points = np.concatenate([rng.normal(0, 1 + seed, 25), rng.normal(6, 1 + seed, 25)])
        bumps = np.array([norm.logpdf(points[:, None], points, width) for width in widths])
        others = logsumexp(np.where(np.eye(50, dtype=bool), -np.inf, bumps), axis=2).mean(axis=1)
        got, right = float(torch.as_tensor(answer(points.copy(), widths.copy()))), widths[others.argmax()]
        if np.isclose(got, right):
            continue
        if np.isclose(got, widths[logsumexp(bumps, axis=2).mean(axis=1).argmax()]):
            return f"{got:g}, the narrowest, wins only where every point counts its own bump: leave that out"
        if got == others.argmax():
            return f"{got:g} is where the width stands in the list: return the width itself"
        return f"the points are most likely with width {right:g}, and yours is {got:g}"
    return None
