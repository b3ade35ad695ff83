"""Checks of the exercises in notebook 05."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from oddlab.flow.global_affine import initial_value


def start_value(answer: Callable) -> str | None:
    """`answer(b)` is the parameter at which SOFTPLUS gives the scale b, from 1e-6 to 1e4."""
    got = _number(answer(1.0))
    inverse = math.log(math.expm1(5))  # of b = 1, before it is doubled
    for guess, reason in (
        (inverse, "that is a / 2: the curve holds the exponential of half the parameter"),
        (2 * math.log(math.expm1(1)), "the factor of one fifth in front of the log is left out"),
        (10.0, "that is the straight line far to the right: at b = 1 the curve is not yet on it"),
        (0.0, "that is the inverse of EXP"),
        (math.log1p(math.exp(0.5)) / 5, "that is the scale at the parameter b: go the other way"),
    ):
        if math.isclose(got, guess, rel_tol=1e-5, abs_tol=1e-6):
            return reason
    for b in (1.0, 0.1, 17.0, 18.0, 200.0, 1e4, 1e-3, 1e-6):
        right = initial_value(b, "SOFTPLUS")
        try:
            got = _number(answer(b))
        except OverflowError:
            got = math.inf
        if not math.isfinite(got):
            return f"at b = {b:g} the exponential of {5 * b:g} is too large: take 5 b out of the log"
        if not math.isclose(got, right, rel_tol=1e-5, abs_tol=1e-4):
            return f"at b = {b:g} it should be {right:.4f}, and yours is {got:.4f}"
    return None


def keep_volume(answer: Callable) -> str | None:
    """`answer(l)` is l (N, C, H, W) less each sample's mean."""
    l = np.random.default_rng(0).normal(1.0, 1.0, (3, 4, 2, 5))
    got = np.asarray(torch.as_tensor(answer(l.copy())).detach().cpu(), dtype=float)
    if got.shape != l.shape:
        return f"log-scales of shape {l.shape} keep their shape, and yours have {got.shape}"
    for guess, reason in (
        (l - l.mean(), "that is the mean over the whole batch: a sample must not depend on the others"),
        (l - l.mean(axis=0), "that is the mean over the batch: a sample must not depend on the others"),
        (
            l - l.mean(axis=1, keepdims=True),
            "that keeps the volume at every position, which is more than is asked: take one mean for the whole sample",
        ),
        (l - l.mean(axis=(2, 3), keepdims=True), "that keeps every channel's volume: take one mean for all channels"),
        (l - l.sum(axis=(1, 2, 3), keepdims=True), "that is the sum, taken off every entry: take the mean"),
        (l / l.sum(axis=(1, 2, 3), keepdims=True), "the logs then sum to 1: to sum to 0 they must be shifted"),
    ):
        if np.allclose(got, guess):
            return reason
    if not np.allclose(got, l - l.mean(axis=(1, 2, 3), keepdims=True)):
        sums = got.sum(axis=(1, 2, 3))
        return f"the first sample's should sum to 0 and start with {(l[0] - l[0].mean()).flat[0]:.4f}; " \
            f"yours sum to {sums[0]:.4f} and start with {got.flat[0]:.4f}"
    return None


def _number(value: object) -> float:
    return float(torch.as_tensor(value))
