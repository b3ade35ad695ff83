"""Checks of the exercises in notebook 01."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


def log_density(answer: Callable) -> str | None:
    """`answer(z, log_det)` is log p(x) (N,) for the z (N, D) and log-determinants (N,) of a flow at x."""
    g = torch.Generator().manual_seed(0)
    z, log_det = torch.randn(4, 3, generator=g), torch.randn(4, generator=g)
    got = torch.as_tensor(answer(z.clone(), log_det.clone()))
    squares, constant = 0.5 * z.square().sum(1), 1.5 * math.log(2 * math.pi)
    right = log_det - squares - constant
    mistakes = {
        "the log-determinant is added, not subtracted: where f stretches, p(x) is high": right - 2 * log_det,
        "the log-determinant is missing: that is the density of z": right - log_det,
        "the constant log(2 pi) / 2 is missing, once for each of the D dimensions": right + constant,
        "the constant log(2 pi) / 2 comes once for each of the D dimensions": right + constant * 2 / 3,
        "dimensions are independent: their log-densities are summed, not averaged": log_det - (squares + constant) / 3,
        "that is p(x): return its logarithm": right.exp(),
        "that is -log p(x)": -right,
    }
    for reason, wrong in mistakes.items():
        if got.shape == wrong.shape and torch.allclose(got.to(wrong), wrong, atol=1e-4):
            return reason
    if got.shape != right.shape:
        return f"four samples have four log-densities, a tensor of shape (4,), and yours has {tuple(got.shape)}"
    if not torch.allclose(got.to(right), right, atol=1e-4):
        return f"the first one should be {right[0]:.3f}, and yours is {got[0]:.3f}"
    return None


def stretch(answer: Callable) -> str | None:
    """`answer(x_or_z, s, rev)` is z = s x, or its inverse, and the log-determinants (N,) in that direction."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for s in (torch.tensor([2.0, 0.5, 3.0]), torch.tensor([-2.0, 0.25, 1.5])):
        log_scale = s.abs().log().sum()
        for rev in (False, True):
            got = answer(x.clone(), s.clone(), rev)
            if not isinstance(got, tuple) or len(got) != 2:
                return "it should return two things: the outputs and the log-determinants"
            value, log_det = map(torch.as_tensor, got)
            right, right_log_det = (x / s, -log_scale) if rev else (x * s, log_scale)
            if rev and value.shape == x.shape and torch.allclose(value, x * s, atol=1e-4):
                return "with `rev` the outputs should be divided by s"
            if value.shape != x.shape or not torch.allclose(value, right, atol=1e-4):
                return f"the outputs should be {'z / s with `rev`' if rev else 's x'}, entry by entry"
            if log_det.isnan().any():
                return "s may be negative: the determinant's absolute value counts"
            if log_det.shape == s.shape:
                return "the log-determinant is the sum of the logarithms over the D dimensions"
            if torch.allclose(log_det, s.abs().prod(), atol=1e-4):
                return "that is the determinant: return its logarithm"
            if rev and torch.allclose(log_det, log_scale, atol=1e-4):
                return "with `rev` the log-determinant has the other sign"
            if not torch.allclose(log_det, right_log_det, atol=1e-4):
                return f"the log-determinant should be {right_log_det:.3f}, and yours is {log_det.flatten()[0]:.3f}"
            if log_det.shape != (4,):
                return f"each of the 4 samples has its log-determinant, and yours have the shape {tuple(log_det.shape)}"
    return None
