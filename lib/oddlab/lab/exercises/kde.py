"""Exercises of the lesson about kernel density estimates."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from oddlab.lab.exercises.exercise import Exercise

EXPONENTS = np.array([[0.0, -1.0, -3.0], [-1000.0, -1001.0, -1003.0], [800.0, 800.0, 790.0], [-2000.0, -20.0, -30.0]])
WIDTHS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
HALVES = np.random.default_rng(0).standard_normal((2, 25))
GAP = np.array([[0], [6]])


def log_of_mean(e: np.ndarray) -> np.ndarray:
    return logsumexp(e, axis=1) - np.log(e.shape[1])


def naive(e: np.ndarray) -> np.ndarray:
    return np.log(np.exp(e).mean(axis=1))


def likelihoods(points: np.ndarray, widths: np.ndarray, own: float = 0.0, power: float = 1.0) -> np.ndarray:
    """The mean log density under the kernels of the others, of each width; of `own`, how much the own one counts."""
    e = -(((points[:, None] - points) / widths[:, None, None]) ** 2) / 2
    counted = np.where(np.eye(len(points)), own, 1.0)
    return logsumexp(e, axis=2, b=counted).mean(axis=1) - power * np.log(widths)


log_mean_exp = Exercise(
    log_of_mean,
    cases=[(EXPONENTS,), (EXPONENTS[1:, :2],)],
    mistakes={
        "e to the -1,000 is 0 and e to the 800 is infinite: take off each row's maximum first": naive,
        "some are not finite: take off each row's own maximum, not one of all": lambda e: naive(e - e.max()) + e.max(),
        "that is the log of the sum: the mean is smaller by the log of M": lambda e: logsumexp(e, axis=1),
        "the maximum that you took off is not added back": lambda e: log_of_mean(e) - e.max(axis=1),
        "that is the largest exponent alone: the others count too": lambda e: e.max(axis=1),
        "that is the mean of the exponents: take the mean of their exponentials": lambda e: e.mean(axis=1),
    },
)
"""`log_mean_exp(e)`: the log of the mean of exp(e) of every row of e (N, M), whatever the size of the exponents."""

choose_width = Exercise(
    lambda points, widths: widths[likelihoods(points, widths).argmax()],
    cases=[((HALVES + GAP).ravel(), WIDTHS), ((2 * HALVES + GAP).ravel(), WIDTHS)],
    mistakes={
        "the narrowest wins where every point counts its own kernel: leave that out": lambda points, widths: widths[
            likelihoods(points, widths, own=1.0).argmax()
        ],
        "the widest wins where kernels are not divided by their width": lambda points, widths: widths[
            likelihoods(points, widths, power=0.0).argmax()
        ],
        "that is where the width stands in the list: return the width itself": lambda points, widths: likelihoods(
            points, widths
        ).argmax(),
    },
)
"""`choose_width(points, widths)`: the kernel width that makes points (N,) most likely, each by the others' kernels."""
