"""Exercises of the lesson about coupling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)
Y, A = torch.randn(4, 3, generator=_generator), 10 * torch.randn(4, 6, generator=_generator)


def scale_and_shift(a: Tensor, factor: float = 0.1) -> tuple[Tensor, Tensor]:
    """s and t, the halves of what the subnet returns."""
    s, t = (factor * a).chunk(2, 1)
    return s, t


def undone(y: Tensor, a: Tensor, alpha: float, factor: float = 0.1) -> Tensor:
    s, t = scale_and_shift(a, factor)
    return (y - t) * torch.exp(-alpha * torch.tanh(s))


def with_clamp(clamp):  # of s and alpha
    def undo(y: Tensor, a: Tensor, alpha: float) -> Tensor:
        s, t = scale_and_shift(a)
        return (y - t) * torch.exp(-clamp(s, alpha))

    return undo


def forwards(y: Tensor, a: Tensor, alpha: float) -> Tensor:
    s, t = scale_and_shift(a)
    return y * torch.exp(alpha * torch.tanh(s)) + t


def scaled_first(y: Tensor, a: Tensor, alpha: float) -> Tensor:
    s, t = scale_and_shift(a)
    return y * torch.exp(-alpha * torch.tanh(s)) - t


undo = Exercise(
    undone,
    cases=[(Y, A, 1.5)],
    mistakes={
        "that is the way forwards": forwards,
        "t was added last, so it must be taken off first": scaled_first,
        "the scale must be undone: divide by it": with_clamp(lambda s, alpha: -alpha * torch.tanh(s)),
        "what the subnet returns is multiplied by 0.1 first": lambda y, a, alpha: undone(y, a, alpha, factor=1.0),
        "s is not clamped: the exponent is alpha tanh(s)": with_clamp(lambda s, alpha: s),
        "that is the clamp of FrEIA's development version, not alpha tanh(s)": with_clamp(
            lambda s, alpha: alpha * torch.tanh(s / alpha)
        ),
        "the first half of a is s, the second is t": lambda y, a, alpha: undone(y, a.roll(3, dims=1), alpha),
    },
    rtol=1e-3,
    atol=1e-4,
)
"""`undo(y, a, alpha)`: the x (N, C) that an affine coupling by the subnet's output a (N, 2 C) made y of."""

largest_alpha = Exercise(
    lambda error, step: math.log(error / step),
    cases=[(1e-3, 6e-8), (0.5, 6e-8), (1e-6, 1e-16)],
    mistakes={
        "that is how many times larger the error may get: alpha is its logarithm": lambda error, step: error / step,
        "the factor is e to the alpha, so the logarithm is not the one to base 10": lambda error, step: math.log10(
            error / step
        ),
        "the factor is e to the alpha, so the logarithm is not the one to base 2": lambda error, step: math.log2(
            error / step
        ),
        "alpha is positive: divide the error by the step, not the other way round": lambda error, step: math.log(
            step / error
        ),
    },
    rtol=1e-3,
)
"""`largest_alpha(error, step)`: the alpha at which a coupling enlarges rounding errors of `step` to `error`."""
