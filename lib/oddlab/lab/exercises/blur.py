"""Checks of the exercises in notebook 13."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from oddlab.blur import gaussian_kernel


def separable(answer: Callable) -> str | None:
    """`answer(x, w)` blurs an image (H, W) by the odd kernel w along rows and columns, where it fits whole."""
    x, w = np.random.default_rng(0).random((9, 12)), np.array([1.0, 2.0, 4.0, 2.0, 1.0])
    got = np.asarray(answer(x.copy(), w.copy()), dtype=float)
    if got.shape != (5, 8):
        return f"a 9 x 12 image and 5 weights leave 5 x 8 pixels whose neighbourhood is whole, and yours has {got.shape}"
    once = ndimage.correlate1d(x, w, axis=1)[2:-2, 2:-2]
    if np.allclose(got, once):
        return "only the rows are blurred: do the same along the columns of the result"
    if not np.allclose(got, ndimage.correlate1d(ndimage.correlate1d(x, w, axis=1), w, axis=0)[2:-2, 2:-2]):
        return f"pixel (0, 0) should be the sum of x[i, j] w[i] w[j] over 5 x 5 pixels, and yours is {got[0, 0]:.4g}"
    return None


def noise_left(answer: Callable) -> str | None:
    """`answer(sigma)` is the standard deviation that noise of standard deviation 1 has after the blur."""
    for sigma in (1.5, 4.0, 9.0):
        w = gaussian_kernel(2 * int(6 * sigma) + 1, sigma)
        right, got = w.square().sum().item(), float(torch.as_tensor(answer(sigma)))
        if abs(got - right**2) < 0.02 * right**2:
            return "that is the variance: take its square root"
        if abs(got - right**0.5) < 0.02 * right**0.5:
            return "that is for a blur along one axis: there are two"
        if abs(got - right) > 0.02 * right:
            return f"at sigma = {sigma} it should be {right:.4f}, and yours is {got:.4f}"
    return None
