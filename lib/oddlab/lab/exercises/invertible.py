"""Exercises of the lesson about invertible modules."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

Y = torch.tensor([0.2, 0.7, 1.0, 1.5, 4.0])
X = torch.tensor([[-2.0, 0.5, -0.3], [1.0, 3.0, 0.2], [-0.1, -4.0, -1.5], [0.8, -1.2, 2.5]])


def normal(x: Tensor) -> Tensor:
    return -0.5 * x.square() - 0.5 * math.log(2 * math.pi)


log_normal = Exercise(
    lambda y: normal(y.log()) - y.log(),
    cases=[(Y,)],
    mistakes={
        "the log-determinant is missing: a stretched axis must thin the density out": lambda y: normal(y.log()),
        "the log-determinant is that of f(y) = log y, the way to the normal number, so its sign is the other one": (
            lambda y: normal(y.log()) + y.log()
        ),
        "the normal density is asked at f(y) = log y, not at y": lambda y: normal(y) - y.log(),
        "the normal number is log y, not exp y": lambda y: normal(y.exp()) + y,
        "that is p(y): return its logarithm": lambda y: (normal(y.log()) - y.log()).exp(),
        "the slope 1 / y is multiplied into the density, so to a log density its logarithm is added": (
            lambda y: normal(y.log()) + 1 / y
        ),
        "the constant log(2 pi) / 2 is missing": lambda y: -0.5 * y.log().square() - y.log(),
        "that is -log p(y)": lambda y: y.log() - normal(y.log()),
    },
)
"""`log_normal(y)`: log p(y) (N,) of y = exp(x) (N,), where x is a standard normal number."""


def leaky(x_or_z: Tensor, slope: float, rev: bool) -> tuple[Tensor, Tensor]:
    factor = torch.where(x_or_z < 0, torch.full_like(x_or_z, slope), torch.ones_like(x_or_z))
    factor = 1 / factor if rev else factor
    return factor * x_or_z, factor.log().sum(1)


def leaky_with(change: Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]) -> Callable:
    """A leaky ReLU whose right outputs and log-determinants are changed by that function of both and of `rev`."""

    def answer(x_or_z: Tensor, slope: float, rev: bool) -> tuple[Tensor, Tensor]:
        return change(*leaky(x_or_z, slope, rev), rev)

    return answer


leaky_relu = Exercise(
    leaky,
    cases=[(X, 0.1, False), (X, 0.1, True), (X[:2], 3.0, True)],
    mistakes={
        "it should return two things: the outputs and the log-determinants": lambda x, slope, rev: leaky(x, slope, rev)[
            0
        ],
        "`rev` changes nothing: divide the negative coordinates by the slope, and give J the other sign": (
            lambda x, slope, rev: leaky(x, slope, False)
        ),
        "with `rev` the log-determinant has the other sign": leaky_with(lambda z, j, rev: (z, -j if rev else j)),
        "with `rev` the negative coordinates should be divided by the slope": lambda x, slope, rev: (
            leaky(x, slope, False)[0],
            leaky(x, slope, rev)[1],
        ),
        "it has to be counted in each sample how many coordinates are negative: only those change a volume": (
            lambda x, slope, rev: (
                leaky(x, slope, rev)[0],
                torch.full((len(x),), (-1 if rev else 1) * x.shape[1] * math.log(slope)),
            )
        ),
        "that is the determinant: return its logarithm": leaky_with(lambda z, j, rev: (z, j.exp())),
        "each of the N samples has its own log-determinant: sum over the coordinates only": leaky_with(
            lambda z, j, rev: (z, j.sum())
        ),
        "the log-determinant is the sum of the logarithms over the D coordinates": lambda x, slope, rev: (
            leaky(x, slope, rev)[0],
            torch.where(x < 0, (-1 if rev else 1) * math.log(slope), 0.0),
        ),
        "the derivative of a leaky ReLU is 1 or the slope: nothing depends on how large x is": lambda x, slope, rev: (
            leaky(x, slope, rev)[0],
            leaky(x, slope, rev)[0].abs().log().sum(1),
        ),
    },
)
"""`leaky_relu(x_or_z, slope, rev)`: a leaky ReLU (N, D) or its inverse, and the log-determinants (N,) there."""
