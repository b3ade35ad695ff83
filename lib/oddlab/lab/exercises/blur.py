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


def squares(sigma: float) -> float:
    """The sum of the squared weights of a Gaussian kernel along one axis."""
    return gaussian_kernel(2 * int(6 * sigma) + 1, sigma).square().sum().item()


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
    lambda sigma_y, sigma_x: (squares(sigma_y) * squares(sigma_x)) ** 0.5,
    cases=[(1.5, 4.0), (9.0, 2.0)],
    mistakes={
        "that is the variance: take its square root": lambda sigma_y, sigma_x: squares(sigma_y) * squares(sigma_x),
        "that is for a blur along the columns only: there are two axes": lambda sigma_y, sigma_x: (
            squares(sigma_y) ** 0.5
        ),
        "that is for a blur along the rows only: there are two axes": lambda sigma_y, sigma_x: squares(sigma_x) ** 0.5,
        "that is for the mean of the two sigmas: the variances along the axes multiply": lambda sigma_y, sigma_x: (
            squares((sigma_y + sigma_x) / 2)
        ),
    },
    rtol=0.02,
)
"""`noise_left(sigma_y, sigma_x)`: the standard deviation that noise of standard deviation 1 has after the blur."""
