"""Exercises of the lesson about invertible modules."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

Z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
POSITIVE, MIXED = torch.tensor([2.0, 0.5, 3.0]), torch.tensor([-2.0, 0.25, 1.5])


def density(z: Tensor, log_det: Tensor) -> Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det


def log_scale(s: Tensor) -> Tensor:
    return s.abs().log().sum().expand(5)


def stretch_with(log_det: Callable[[Tensor], Tensor]) -> Callable:
    """A `stretch` whose log-determinants are that function of s, or minus it."""

    def stretch(x_or_z: Tensor, s: Tensor, rev: bool) -> tuple[Tensor, Tensor]:
        return (x_or_z / s, -log_det(s)) if rev else (x_or_z * s, log_det(s))

    return stretch


log_density = Exercise(
    density,
    cases=[(Z, Z[:, 0]), (Z[:, :2], Z[:, 2])],
    mistakes={
        "the log-determinant is added, not subtracted: where f stretches, p(x) is high": lambda z, j: density(z, -j),
        "the log-determinant is missing: that is the density of z": lambda z, j: density(z, 0),
        "the constant log(2 pi) / 2 is missing, once for each dimension": lambda z, j: j - z.square().sum(1) / 2,
        "the constant log(2 pi) / 2 comes once for each of the D dimensions": lambda z, j: (
            j - (z.square().sum(1) + math.log(2 * math.pi)) / 2
        ),
        "log densities of dimensions are summed, not averaged": lambda z, j: density(z, 0 * j) / z.shape[1] + j,
        "that is p(x): return its logarithm": lambda z, j: density(z, j).exp(),
        "that is -log p(x)": lambda z, j: -density(z, j),
    },
)
"""`log_density(z, log_det)`: log p(x) (N,) for the z (N, D) and log-determinants (N,) of a flow at x."""

stretch = Exercise(
    stretch_with(log_scale),
    cases=[(Z, POSITIVE, False), (Z, MIXED, True)],
    mistakes={
        "it should return two things: the outputs and the log-determinants": lambda x, s, rev: x / s if rev else x * s,
        "`rev` changes nothing: divide by s, and give the log-determinants the other sign": (
            lambda x, s, rev: (x * s, log_scale(s))
        ),
        "with `rev` the outputs should be divided by s": lambda x, s, rev: (x * s, log_scale(1 / s if rev else s)),
        "with `rev` the log-determinant has the other sign": lambda x, s, rev: (x / s if rev else x * s, log_scale(s)),
        "s may be negative: the determinant's absolute value counts": stretch_with(lambda s: s.log().sum().expand(5)),
        "the log-determinant is the sum of the logarithms over the D dimensions": stretch_with(lambda s: s.abs().log()),
        "that is the determinant: return its logarithm": stretch_with(lambda s: s.abs().prod().expand(5)),
        "each of the N samples has its log-determinant: return N of them": stretch_with(lambda s: log_scale(s)[0]),
    },
)
"""`stretch(x_or_z, s, rev)`: z = s x (N, D), or its inverse, and the log-determinants (N,) in that direction."""
