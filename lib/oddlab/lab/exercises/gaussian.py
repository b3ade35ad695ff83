"""Checks of the exercises in notebook 11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def whiten(answer: Callable) -> str | None:
    """`answer(x)` is W (x - mean) for the samples x (N, D) in rows: of mean 0, and of the unit covariance."""
    rng = np.random.default_rng(0)
    x = 5 + rng.standard_normal((40, 3)) @ np.array([[2.0, 1.0, 0.5], [0.0, 0.5, 0.3], [0.0, 0.0, 0.2]])
    got = _floats(answer(x.copy()))
    if got is None or got.shape != x.shape:
        return f"40 samples of 3 features should stay {x.shape}, and yours is {_what(got)}"
    if not np.isfinite(got).all():
        return "some of your numbers are not finite"
    covariance, found = np.cov(x, rowvar=False), np.cov(got, rowvar=False)
    factor = np.linalg.inv(np.linalg.cholesky(covariance))
    if _same(found, np.corrcoef(x, rowvar=False)):
        return "each feature has variance 1 now, but they are as correlated as before: use the whole covariance"
    if _same(found, np.linalg.inv(covariance)):
        return "that is the inverse covariance times x, which divides by the spread twice: W is a root of it, W.T @ W"
    if _same(found, np.cov(x @ factor, rowvar=False)):
        return "W is on the wrong side: for samples in rows, W x is x @ W.T"
    if _same(found, np.eye(3) * 39 / 40) or _same(found, np.eye(3) * 40 / 39):
        return f"the variances are {found[0, 0]:.4f} and not 1: N and N - 1 are mixed up"
    if not _same(found, np.eye(3)):
        return f"the covariance should be the identity, and the first row of yours is {np.round(found[0], 3).tolist()}"
    if not _same(got.mean(axis=0), 0):
        return f"the covariance is right, but the mean is {np.round(got.mean(axis=0), 2).tolist()}: take it off first"
    return None


def merge(answer: Callable) -> str | None:
    """`answer(a, b)` is the (n, mean, scatter) of two parts together, each given as (n, mean (D,), scatter (D, D))."""
    x = np.random.default_rng(0).standard_normal((12, 3))
    x[:4] += [1.0, 2.0, 4.0]
    a, b, whole = (_moments(part) for part in (x[:4], x[4:], x))
    got = answer(*((n, mean.copy(), scatter.copy()) for n, mean, scatter in (a, b)))
    parts = [_floats(part) for part in got] if isinstance(got, (tuple, list)) else []
    if [None if part is None else part.shape for part in parts] != [(), (3,), (3, 3)]:
        return "it should return n, mean and scatter, of shapes (), (D,) and (D, D)"
    n, mean, scatter = parts
    if n != 12:
        return f"4 samples and 8 more are 12, and yours are {n:g}"
    if _same(mean, (a[1] + b[1]) / 2):
        return "that is the mean of the means: weigh each by its number of samples"
    if not _same(mean, whole[1]):
        return f"the mean should begin with {whole[1][0]:.4f}, and yours with {mean[0]:.4f}"
    shift = b[1] - a[1]
    between = scatter - a[2] - b[2]
    if _same(between, 0):
        return "the scatters are only added: the two means differ, and that scatters too"
    if _same(between, np.outer(shift, shift)):
        return "the outer product of the shift lacks its weight n_a n_b / (n_a + n_b)"
    if _same(between, shift * shift * 8 / 3) or _same(between, shift @ shift * 8 / 3):
        return "the shift enters by its outer product, a matrix: shift * shift and shift @ shift are none"
    if not _same(scatter, whole[2]):
        return f"the scatter should begin with {whole[2][0, 0]:.4f}, and yours with {scatter[0, 0]:.4f}"
    return None


def _moments(x: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    centred = x - x.mean(axis=0)
    return len(x), x.mean(axis=0), centred.T @ centred


def _floats(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value, dtype=float)
    except (TypeError, ValueError):
        return None


def _what(value: np.ndarray | None) -> str:
    return "no array of numbers" if value is None else str(value.shape)


def _same(a: Any, b: Any) -> bool:
    return np.allclose(a, b, rtol=1e-4, atol=1e-4)
