"""Checks of the exercises in notebook 06."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.special import logsumexp


def log_density(answer: Callable) -> str | None:
    """`answer(z, log_det)` is the log density (N,) of what a chain sent to z (N, D) with the log-determinants (N,)."""
    rng = np.random.default_rng(0)
    z, log_det = rng.normal(size=(4, 3)), rng.normal(size=4)
    got = _array(answer(z.copy(), log_det.copy()))
    squares, constant = (z**2).sum(axis=1), math.log(2 * math.pi)
    normal = -0.5 * squares - 1.5 * constant
    if got.shape != (4,):
        return f"4 points have 4 log densities, and yours have shape {got.shape}"
    for guess, reason in (
        (normal - log_det, "the log-determinant has the wrong sign: where x is stretched to reach z, it was dense"),
        (normal, "that is the density of z: the log-determinant is missing"),
        (log_det - 0.5 * squares, "the constant is missing: D / 2 times the log of 2 pi"),
        (log_det - 0.5 * squares - 0.5 * constant, "the constant counts once for each of the D numbers"),
        (log_det - squares - 1.5 * constant, "the squares are halved in a normal's density"),
        (log_det - 0.5 * squares / 3 - 1.5 * constant, "that is the mean of the squares: take their sum"),
        (np.exp(normal + log_det), "that is the density: its logarithm is asked for"),
    ):
        if np.allclose(got, guess):
            return reason
    right = normal + log_det
    if not np.allclose(got, right):
        return f"the first point should have {right[0]:.4f}, and yours has {got[0]:.4f}"
    return None


def kind_probability(answer: Callable) -> str | None:
    """`answer(log_p, shares)` is the probability (N, K) of every kind, by Bayes' rule."""
    log_p = np.array([[-1.0, -2.0, -4.0], [-2000.0, -2001.0, -1999.0], [700.0, 705.0, 690.0]])
    shares = np.array([0.2, 0.7, 0.1])
    got = _array(answer(log_p.copy(), shares.copy()))

    def normalised(logs: np.ndarray, axis: int = 1) -> np.ndarray:
        return np.exp(logs - logsumexp(logs, axis=axis, keepdims=True))

    right = normalised(log_p + np.log(shares))
    if got.shape != right.shape:
        return f"3 points and 3 kinds give 3 x 3 probabilities, and yours have shape {got.shape}"
    first = np.exp(log_p[0])
    for guess, reason in (
        (normalised(log_p)[0], "the shares are left out: what is rare is less probable"),
        (shares * first, "they do not sum to 1: divide by their sum"),
        (first, "those are densities: weigh them by the shares and divide by their sum"),
        (normalised(log_p + shares)[0], "to a log density the log of the share is added"),
        (normalised(log_p + np.log(shares), axis=0)[0], "each column sums to 1: each row should, a row being a point"),
        (np.log(right[0]), "those are logarithms: take their exponential"),
    ):
        if np.allclose(got[0], guess):
            return reason
    if np.allclose(got[0], right[0]) and not np.isfinite(got).all():
        k = int((~np.isfinite(got).all(axis=1)).argmax())
        return f"at log densities near {log_p[k, 0]:.0f} yours is {got[k, 0]}: take off the row's maximum first"
    if not np.allclose(got, right):
        k = int((~np.isclose(got, right).all(axis=1)).argmax())
        wanted, yours = right[k].round(4).tolist(), got[k].round(4).tolist()
        return f"log densities {log_p[k].tolist()} give {wanted}, and yours are {yours}"
    return None


def _array(value: object) -> np.ndarray:
    return np.asarray(torch.as_tensor(value).detach().cpu(), dtype=float)
