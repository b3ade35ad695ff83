"""Checks of the exercises in notebook 02."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


def undo(answer: Callable) -> str | None:
    """`answer(y, a, alpha)` is the x (N, C) that an affine coupling by the subnet's output a (N, 2 C) made y of."""
    g = torch.Generator().manual_seed(0)
    y, a, alpha = torch.randn(4, 3, generator=g), 10 * torch.randn(4, 6, generator=g), 1.5
    (s, t), (loud_s, loud_t) = (0.1 * a).chunk(2, 1), a.chunk(2, 1)
    clamped = alpha * torch.tanh(s)
    right = (y - t) * torch.exp(-clamped)
    got = torch.as_tensor(answer(y.clone(), a.clone(), alpha))
    mistakes = {
        "that is the way forwards": y * torch.exp(clamped) + t,
        "t was added last, so it must be taken off first": y * torch.exp(-clamped) - t,
        "the scale must be undone: divide by it": (y - t) * torch.exp(clamped),
        "what the subnet returns is multiplied by 0.1 first": (y - loud_t) * torch.exp(-alpha * torch.tanh(loud_s)),
        "s is not clamped: the exponent is alpha tanh(s)": (y - t) * torch.exp(-s),
        "that is the clamp of FrEIA's development version, not alpha tanh(s)": (y - t)
        * torch.exp(-alpha * torch.tanh(s / alpha)),
        "the first half of a is s, the second is t": (y - s) * torch.exp(-alpha * torch.tanh(t)),
    }
    for reason, wrong in mistakes.items():
        if got.shape == wrong.shape and torch.allclose(got.to(wrong), wrong, rtol=1e-3, atol=1e-4):
            return reason
    if got.shape != right.shape:
        return f"x should have the shape {tuple(right.shape)} of y, and yours has {tuple(got.shape)}"
    if not torch.allclose(got.to(right), right, rtol=1e-3, atol=1e-4):
        return f"the first number should be {right[0, 0]:.4f}, and yours is {got[0, 0]:.4f}"
    return None


def largest_alpha(answer: Callable) -> str | None:
    """`answer(error, step)` is the alpha at which a coupling enlarges rounding errors of `step` to `error`."""
    for error, step in ((1e-3, 6e-8), (0.5, 6e-8), (1e-6, 1e-16)):
        right, got = math.log(error / step), float(torch.as_tensor(answer(error, step)))
        mistakes = {
            "that is how many times larger the error may get: alpha is its logarithm": error / step,
            "the factor is e to the alpha, so the logarithm is not the one to base 10": math.log10(error / step),
            "the factor is e to the alpha, so the logarithm is not the one to base 2": math.log2(error / step),
            "alpha is positive: divide the error by the step, not the other way round": -right,
        }
        for reason, wrong in mistakes.items():
            if math.isclose(got, wrong, rel_tol=1e-3):
                return reason
        if not math.isclose(got, right, rel_tol=1e-3):
            return f"from steps of {step} to an error of {error} it should be {right:.2f}, and yours is {got:.2f}"
    return None
