"""Exercises of the lesson about blur."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from oddlab.blur import gaussian_kernel
from oddlab.lab.exercises.exercise import Exercise

IMAGE = np.random.default_rng(0).random((9, 12))
WEIGHTS = np.array([1.0, 2.0, 4.0, 2.0, 1.0])


def blurred(x: np.ndarray, w: np.ndarray, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """An image blurred by the odd kernel w along `axes`, where the kernel fits whole."""
    for axis in axes:
        x = ndimage.correlate1d(x, w, axis=axis)
    margin = len(w) // 2
    return x[margin:-margin, margin:-margin]


def variance_left(sigma: float) -> float:
    """Of noise of variance 1 after a Gaussian blur."""
    return gaussian_kernel(2 * int(6 * sigma) + 1, sigma).square().sum().item() ** 2


separable = Exercise(
    blurred,
    cases=[(IMAGE, WEIGHTS)],
    mistakes={
        "only the rows are blurred: do the same along the columns of the result": lambda x, w: blurred(x, w, (1,)),
        "only the columns are blurred: do the same along the rows of the result": lambda x, w: blurred(x, w, (0,)),
        "the kernel is divided by its sum, which was not asked for": lambda x, w: blurred(x, w / w.sum()),
        "the border is kept: only pixels whose neighbourhood is whole are asked for": lambda x, w: ndimage.correlate(
            x, np.outer(w, w), mode="constant"
        ),
    },
)
"""`separable(x, w)`: an image x (H, W) blurred by the odd kernel w along rows and columns, where it fits whole."""

noise_left = Exercise(
    lambda sigma: variance_left(sigma) ** 0.5,
    cases=[(1.5,), (4.0,), (9.0,)],
    mistakes={
        "that is the variance: take its square root": variance_left,
        "that is for a blur along one axis: there are two": lambda sigma: variance_left(sigma) ** 0.25,
    },
    rtol=0.02,
)
"""`noise_left(sigma)`: the standard deviation that noise of standard deviation 1 has after the blur."""
