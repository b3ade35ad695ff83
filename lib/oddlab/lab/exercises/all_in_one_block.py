"""Exercises of the lesson about flows of several blocks."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from oddlab.lab.exercises.exercise import Exercise

_rng = np.random.default_rng(0)
Z, LOG_DET = _rng.normal(size=(4, 3)), _rng.normal(size=4).round(2)
LOG_P = np.array([[-1.0, -2.0, -4.0], [-2000.0, -2001.0, -1999.0], [700.0, 705.0, 690.0]])
SHARES = np.array([0.2, 0.7, 0.1])


def normal(z: np.ndarray, half: float = 0.5, constants: int = 3) -> np.ndarray:
    """The log density of the standard normal, with the constant of each of the three numbers."""
    return -half * (z**2).sum(axis=1) - 0.5 * constants * math.log(2 * math.pi)


def joint(log_p: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return log_p + np.log(shares)


def normalised(logs: np.ndarray, axis: int = 1) -> np.ndarray:
    return np.exp(logs - logsumexp(logs, axis=axis, keepdims=True))


def underflowing(log_p: np.ndarray, shares: np.ndarray) -> np.ndarray:
    p = shares * np.exp(log_p)
    return p / p.sum(axis=1, keepdims=True)


log_density = Exercise(
    lambda z, log_det: normal(z) + log_det,
    cases=[(Z, LOG_DET)],
    mistakes={
        "log_det has the wrong sign: where x is stretched to reach z, it was dense": lambda z, j: normal(z) - j,
        "that is the density of z: the log-determinant is missing": lambda z, j: normal(z),
        "the constant is missing: D / 2 times the log of 2 pi": lambda z, j: normal(z, constants=0) + j,
        "the constant counts once for each of the D numbers": lambda z, j: normal(z, constants=1) + j,
        "the squares are halved in a normal's density": lambda z, j: normal(z, half=1) + j,
        "that is the mean of the squares: take their sum": lambda z, j: normal(z, half=0.5 / 3) + j,
        "that is the density: its logarithm is asked for": lambda z, j: np.exp(normal(z) + j),
    },
)
"""`log_density(z, log_det)`: the log density (N,) of what a chain sent to z (N, D) with the log-determinants (N,)."""

kind_probability = Exercise(
    lambda log_p, shares: normalised(joint(log_p, shares)),
    cases=[(LOG_P, SHARES)],
    mistakes={
        "log densities near -2000 give 0 / 0: take off the row's maximum before the exponential": underflowing,
        "the shares are left out: what is rare is less probable": lambda log_p, shares: normalised(log_p),
        "they do not sum to 1: divide by their sum": lambda log_p, shares: shares * np.exp(log_p),
        "those are densities: weigh them by the shares and divide by their sum": lambda log_p, shares: np.exp(log_p),
        "to a log density the log of the share is added": lambda log_p, shares: normalised(log_p + shares),
        "each column sums to 1: each row should, a row being a point": lambda *case: normalised(joint(*case), axis=0),
        "those are logarithms: take their exponential": lambda *case: np.log(normalised(joint(*case))),
    },
)
"""`kind_probability(log_p, shares)`: the probability (N, K) of every kind, by Bayes' rule."""
