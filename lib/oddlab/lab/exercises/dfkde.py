"""Exercises of the lesson about DFKDE and DFM."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


PHI, MU = random(4, 6) + 2, torch.linspace(1, 3, 6, dtype=torch.float64)
V = torch.linalg.qr(random(6, 2)).Q.mT.contiguous()
FEW, MANY = ((2 * random(4, k), torch.linspace(0.5, 4, k, dtype=torch.float64)) for k in (3, 600))


def left_over(phi: Tensor, V: Tensor, mu: Tensor, added: bool = True) -> Tensor:
    """phi less what the components rebuild, which is the part inside them and the mean."""
    return phi - ((phi - mu) @ V.mT @ V + mu * added)


def scores(z: Tensor, variance: Tensor, logs: float = 0.5, inside: float = 2 * math.pi) -> Tensor:
    """Minus the log density, whose logs have the factor `logs`, and variances the factor `inside` under the log."""
    return 0.5 * (z**2 / variance).sum(dim=1) + logs * (inside * variance).log().sum()


def by_product(z: Tensor, variance: Tensor) -> Tensor:
    return -torch.distributions.Normal(0, variance.sqrt()).log_prob(z).exp().prod(dim=1).log()


reconstruction_error = Exercise(
    lambda phi, V, mu: left_over(phi, V, mu).square().sum(1),
    cases=[(PHI, V, MU)],
    mistakes={
        "the mean is not added back: z says what is beside mu": lambda *case: left_over(*case, False).square().sum(1),
        "the mean is never taken off: components start at mu": lambda phi, V, mu: (phi - phi @ V.T @ V).square().sum(1),
        "those are the distances: the error is squared": lambda *case: left_over(*case).norm(dim=1),
        "that is the mean over the D features: take the sum": lambda *case: left_over(*case).square().mean(1),
        "what is left over is summed without a square, so that it cancels": lambda *case: left_over(*case).sum(1),
        "that is inside the components: take what is outside": lambda phi, V, mu: ((phi - mu) @ V.T).square().sum(1),
        "that is all the distance from mu: take off what is inside": lambda phi, V, mu: (phi - mu).square().sum(1),
    },
)
"""`reconstruction_error(phi, V, mu)`: the squared distance (N,) of phi (N, D) from what components V (k, D) rebuild."""

neg_log_likelihood = Exercise(
    lambda z, variance: scores(z, variance),
    cases=[FEW, MANY],
    mistakes={
        "with k = 600 it is infinite: add up logs, since a product of so many densities is 0": by_product,
        "the sign: anomalous images should have a high score": lambda *case: -scores(*case),
        "the half is missing": lambda *case: 2 * scores(*case),
        "the term log(2 pi variance) is missing: it is what makes a density": lambda *case: scores(*case, logs=0),
        "the 2 pi is missing under the log": lambda *case: scores(*case, inside=1),
        "the half belongs to both terms": lambda *case: scores(*case, logs=1),
        "it is the square of z that is divided": lambda z, variance: scores(z / variance.sqrt(), variance),
    },
)
"""`neg_log_likelihood(z, variance)`: minus the log density (N,) of z (N, k) under Gaussians of mean 0."""
