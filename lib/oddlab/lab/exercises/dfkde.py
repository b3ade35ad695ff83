"""Exercises of the lesson about DFKDE."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


FEW, MANY = (random(6, 2), 0.7), (random(8, 600), 0.5)


def places(delta: float, sigma: float, n_places: int, t: float, power: float = 0.5) -> float:
    """How many places it takes, not rounded, if the spread of the mean were sigma / n_places ** (1 - power)."""
    return t * sigma * n_places**power / delta


def exponents(z: Tensor, h: float, own: bool = False) -> Tensor:
    """Minus half the squared distances (N, N) in kernel widths; to itself minus infinity, unless `own`."""
    e = -0.5 * ((z[:, None] - z) / h).square().sum(dim=2)
    return e if own else e.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)


def volume(z: Tensor, h: float, inside: float = 2 * math.pi) -> float:
    """The log of what a kernel is divided by; `inside` stands for 2 pi."""
    return z.shape[1] * (math.log(h) + 0.5 * math.log(inside))


def score(z: Tensor, h: float, own: bool = False, others: int = 1) -> Tensor:
    return math.log(len(z) - others) + volume(z, h) - exponents(z, h, own).logsumexp(dim=1)


def naive(z: Tensor, h: float) -> Tensor:
    return -(exponents(z, h).exp().sum(dim=1) / (len(z) - 1)).log() + volume(z, h)


places_needed = Exercise(
    lambda *case: math.ceil(places(*case)),
    cases=[(4.0, 2.0, 16, 1.7), (0.5, 0.1, 256, 3.0), (2.0, 1.0, 49, 4.0)],
    mistakes={
        "you compare with sigma: the mean of n_places independent numbers varies by sigma / sqrt(n_places)": (
            lambda *case: math.ceil(places(*case, power=1))
        ),
        "the spread of the mean falls with the root of n_places, not with n_places": (
            lambda *case: math.ceil(places(*case, power=0))
        ),
        "with that many the mean is not yet t off: round up": lambda *case: math.floor(places(*case)),
        "places are whole: round up": places,
        "that is the share of the places: return how many they are": lambda *case: places(*case) / case[2],
    },
)
"""`places_needed(delta, sigma, n_places, t)`: how many must be `delta` off, so that the mean is `t` deviations off."""

leave_one_out = Exercise(
    score,
    cases=[FEW, MANY],
    mistakes={
        "each image's own kernel is still in the sum: leave it out": lambda *case: score(*case, own=True, others=0),
        "each image's own kernel is still in the sum, which you divide by N - 1": lambda *case: score(*case, own=True),
        "there are N - 1 other images, and you divide by N": lambda *case: score(*case, others=0),
        "with 600 components it is not finite: add up the exponents by logsumexp": naive,
        "the sign: anomalous images should have a high score": lambda *case: -score(*case),
        "the variance of a kernel is h**2, and yours is h": lambda z, h: score(z, h**0.5),
        "what a kernel is divided by is missing, (2 pi h**2) ** (k / 2)": lambda *case: score(*case) - volume(*case),
        "the 2 pi is missing in what a kernel is divided by": lambda z, h: score(z, h) - volume(z, 1.0),
        "the h is missing in what a kernel is divided by": lambda z, h: score(z, h) - volume(z, h, inside=1.0),
        "that is the nearest other image alone: add up all kernels": lambda z, h: (
            math.log(len(z) - 1) + volume(z, h) - exponents(z, h).amax(dim=1)
        ),
    },
)
"""`leave_one_out(z, h)`: minus the log density (N,) of each row of z (N, k) under Gaussian kernels at the others."""
