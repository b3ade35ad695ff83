"""Checks of the exercises in notebook 22."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


def reconstruction_error(answer: Callable) -> str | None:
    """`answer(phi, V, mu)` is the squared distance (N,) of phi (N, D) from what components V (k, D) rebuild."""
    g = torch.Generator().manual_seed(0)
    phi, mu = torch.randn(4, 6, generator=g, dtype=torch.float64) + 2, torch.linspace(1, 3, 6, dtype=torch.float64)
    V = torch.linalg.qr(torch.randn(6, 2, generator=g, dtype=torch.float64)).Q.mT.contiguous()
    z = (phi - mu) @ V.mT
    left = phi - (z @ V + mu)
    right, got = left.square().sum(dim=1), torch.as_tensor(answer(phi.clone(), V.clone(), mu.clone())).detach()
    if got.shape != (4,):
        return f"4 rows of features have 4 errors, and yours have shape {tuple(got.shape)}"
    for guess, reason in (
        ((phi - z @ V).square().sum(dim=1), "the mean is not added back: z says what is beside mu"),
        ((phi - phi @ V.mT @ V).square().sum(dim=1), "the mean is never taken off: components start at mu, not at 0"),
        (right.sqrt(), "those are the distances: the error is squared"),
        (right / 6, "that is the mean over the D features: the error is their sum"),
        (left.sum(dim=1), "what is left over is summed without a square, so that it cancels"),
        (z.square().sum(dim=1), "that is what lies inside the components: the error is what lies outside"),
        ((phi - mu).square().sum(dim=1), "that is all the distance from the mean: take off what is inside"),
    ):
        if torch.allclose(got.to(guess), guess):
            return reason
    if not torch.allclose(got.to(right), right):
        return f"the first should be {right[0]:.4f}, and yours is {float(got[0]):.4f}"
    return None


def neg_log_likelihood(answer: Callable) -> str | None:
    """`answer(z, variance)` is minus the log density (N,) of z (N, k) under Gaussians of mean 0 and `variance` (k,)."""
    g = torch.Generator().manual_seed(0)
    for k in (3, 600):
        variance = torch.linspace(0.5, 4, k, dtype=torch.float64)
        z = 2 * torch.randn(4, k, generator=g, dtype=torch.float64)
        normal = torch.distributions.Normal(0, variance.sqrt())
        right, got = -normal.log_prob(z).sum(dim=1), torch.as_tensor(answer(z.clone(), variance.clone())).detach()
        if got.shape != (4,):
            return f"4 rows of z have 4 scores, and yours have shape {tuple(got.shape)}"
        if not torch.isfinite(got).all():
            bad = float(got[~torch.isfinite(got)][0])
            return f"with k = {k} yours is {bad}: add up logs, since a product of so many densities is 0"
        squares, logs = (z.square() / variance).sum(dim=1), variance.log().sum()
        constant = k * math.log(2 * math.pi)
        for guess, reason in (
            (-right, "the sign: odd images shall score high"),
            (2 * right, "the half is missing"),
            (0.5 * squares, "the term log(2 pi variance) is missing: it is what makes a density"),
            (0.5 * (squares + logs), "the 2 pi is missing under the log"),
            (squares * 0.5 + logs + constant, "the half belongs to both terms"),
            (0.5 * ((z / variance).square().sum(dim=1) + logs + constant), "it is the square of z that is divided"),
        ):
            if torch.allclose(got.to(guess), guess):
                return reason
        if not torch.allclose(got.to(right), right):
            return f"with k = {k} the first should be {right[0]:.4f}, and yours is {float(got[0]):.4f}"
    return None
