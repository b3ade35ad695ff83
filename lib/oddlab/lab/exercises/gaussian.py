"""Exercises of the lesson about Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oddlab.lab.exercises.exercise import Exercise

_rng = np.random.default_rng(0)
X = 5 + _rng.standard_normal((40, 3)) @ np.array([[2.0, 1.0, 0.5], [0.0, 0.5, 0.3], [0.0, 0.0, 0.2]])
Y = _rng.standard_normal((12, 3)) + 4 * (np.arange(12) < 4)[:, None] * [0.25, 0.5, 1.0]


def centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


def root(x: np.ndarray) -> np.ndarray:
    """A root W of the inverse covariance, W.T @ W."""
    return np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)))


def is_white(got: np.ndarray, x: np.ndarray) -> bool:
    return np.allclose(np.cov(got, rowvar=False), np.eye(3), atol=1e-4) and np.allclose(got.mean(axis=0), 0, atol=1e-4)


def moments(x: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    return len(x), x.mean(axis=0), centred(x).T @ centred(x)


def merge_by(between: Callable = lambda w, d: w * np.outer(d, d), mean: Callable | None = None) -> Callable:
    """An answer to `merge` with other scatter between the parts, of a weight and the shift, or with another mean."""

    def merged(a: tuple, b: tuple) -> tuple:
        (n, mean_a, scatter_a), (m, mean_b, scatter_b) = a, b
        middle = (n * mean_a + m * mean_b) / (n + m) if mean is None else mean(mean_a, mean_b)
        return n + m, middle, scatter_a + scatter_b + between(n * m / (n + m), mean_b - mean_a)

    return merged


whiten = Exercise(
    lambda x: centred(x) @ root(x).T,
    cases=[(X,)],
    mistakes={
        "the features have variance 1, but are still correlated: use the whole covariance": lambda x: (
            centred(x) / x.std(axis=0, ddof=1)
        ),
        "that is the inverse covariance times x, which divides by the spread twice: W is a root of it, W.T @ W": (
            lambda x: centred(x) @ np.linalg.inv(np.cov(x, rowvar=False))
        ),
        "W is on the wrong side: for samples in rows, W x is x @ W.T": lambda x: centred(x) @ root(x),
        "variances are 40 / 39: N and N - 1 are mixed up": lambda x: centred(x) @ root(x).T * np.sqrt(40 / 39),
        "the covariance is right, but the mean is not 0: take it off first": lambda x: x @ root(x).T,
    },
    accept=is_white,
)
"""`whiten(x)`: W (x - mean) for the samples x (N, D) in rows: of mean 0, and of the unit covariance."""

merge = Exercise(
    merge_by(),
    cases=[(moments(Y[:4]), moments(Y[4:])), (moments(X[:9]), moments(X[9:]))],
    mistakes={
        "that is the mean of the means: weigh each by its number of samples": merge_by(mean=lambda a, b: (a + b) / 2),
        "the scatters are only added: the two means differ, and that scatters too": merge_by(lambda w, d: 0),
        "the outer product of the shift lacks its weight n m / (n + m)": merge_by(lambda w, d: np.outer(d, d)),
        "shift * shift is a vector: take the outer product, a matrix": merge_by(lambda w, d: w * d * d),
        "shift @ shift is a number: take the outer product, a matrix": merge_by(lambda w, d: w * d @ d),
    },
)
"""`merge(a, b)`: (n, mean, scatter) of two parts together, each given as (n, mean (D,), scatter (D, D))."""
