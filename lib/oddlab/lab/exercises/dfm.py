"""Exercises of the lesson about DFM."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


PHI, MU = random(4, 6) + 2, torch.linspace(1, 3, 6, dtype=torch.float64)
V = torch.linalg.qr(random(6, 2)).Q.mT.contiguous()
LONG, LONG_MU = random(3, 24) + 1, torch.linspace(0, 2, 24, dtype=torch.float64)
LONG_V = torch.linalg.qr(random(24, 4)).Q.mT.contiguous()


def left_over(phi: Tensor, V: Tensor, mu: Tensor, added: bool = True) -> Tensor:
    """phi less what the components rebuild, which is the part inside them and the mean."""
    return phi - ((phi - mu) @ V.mT @ V + mu * added)


def share(phi: Tensor, V: Tensor, mu: Tensor, centre: float = 1.0) -> Tensor:
    """The share of the squared length of phi less `centre` times mu that V leaves over."""
    away = phi - centre * mu
    return 1 - (away @ V.mT).square().sum(dim=1) / away.square().sum(dim=1)


def at_places(squares: Tensor, height: int, width: int) -> Tensor:
    """Sums (N, h, w) over the channels of squares (N, C h w)."""
    return squares.unflatten(1, (-1, height, width)).sum(dim=1)


share_outside = Exercise(
    share,
    cases=[(PHI, V, MU), (LONG, LONG_V, LONG_MU)],
    mistakes={
        "that is the share inside the components: take the one outside": lambda *case: 1 - share(*case),
        "the mean is never subtracted: components start at mu": lambda *case: share(*case, centre=0.0),
        "that is the squared distance itself: divide it by all of the squared distance from mu": lambda *case: (
            left_over(*case).square().sum(dim=1)
        ),
        "you divide lengths: divide their squares, which add up to the whole": lambda *case: share(*case).sqrt(),
        "you divide by the squared length of phi: divide by that of phi - mu": lambda phi, V, mu: (
            left_over(phi, V, mu).square().sum(dim=1) / phi.square().sum(dim=1)
        ),
        "you divide what is outside by what is inside: divide by the whole": lambda *case: (
            share(*case) / (1 - share(*case))
        ),
    },
)
"""`share_outside(phi, V, mu)`: which share (N,) of the squared distance of phi (N, D) from mu is outside V (k, D)."""

error_map = Exercise(
    lambda phi, V, mu, height, width: at_places(left_over(phi, V, mu).square(), height, width),
    cases=[(LONG, LONG_V, LONG_MU, 2, 3), (LONG, LONG_V, LONG_MU, 4, 2)],
    mistakes={
        "the mean is not added back to what the components rebuild": lambda phi, V, mu, *shape: at_places(
            left_over(phi, V, mu, added=False).square(), *shape
        ),
        "the mean is never subtracted: components start at mu": lambda phi, V, mu, *shape: at_places(
            (phi - phi @ V.mT @ V).square(), *shape
        ),
        "what is left over is summed without a square, so that it cancels": lambda phi, V, mu, *shape: at_places(
            left_over(phi, V, mu), *shape
        ),
        "those are distances: the error at a place is squared": lambda phi, V, mu, *shape: at_places(
            left_over(phi, V, mu).square(), *shape
        ).sqrt(),
        "the channels come first in phi: unflatten it as (C, height, width)": lambda phi, V, mu, height, width: (
            left_over(phi, V, mu).square().unflatten(1, (height, width, -1)).sum(dim=3)
        ),
        "that is the mean over the channels: take the sum, so that a map adds up to the score": (
            lambda phi, V, mu, height, width: (
                left_over(phi, V, mu).square().unflatten(1, (-1, height, width)).mean(dim=1)
            )
        ),
        "that is the whole score of each image: keep the places apart": lambda phi, V, mu, *shape: (
            left_over(phi, V, mu).square().sum(dim=1)
        ),
        "that is all the distance from mu: take off what the components rebuild": lambda phi, V, mu, *shape: at_places(
            (phi - mu).square(), *shape
        ),
    },
)
"""`error_map(phi, V, mu, height, width)`: the squared error (N, h, w) at every place; phi is (N, C h w)."""
