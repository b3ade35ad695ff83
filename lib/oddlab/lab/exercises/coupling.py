"""Exercises of the lesson about coupling."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)
X = torch.randn(4, 5, generator=_generator)
W, V = torch.randn(5, 5, generator=_generator), torch.randn(5, 5, generator=_generator)
MASK = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])


def conditioner(x: Tensor) -> tuple[Tensor, Tensor]:
    """Log-scales and shifts, such as a network may predict."""
    return torch.tanh(x @ W + 0.3), torch.relu(x @ V) + 0.5


def coupled(
    x: Tensor, mask: Tensor, conditioner: Callable, rev: bool, *, seen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The right answer; `seen` is what the conditioner is asked about instead of the coordinates that pass."""
    log_scale, shift = conditioner(mask * x if seen is None else seen)
    moved = (x - shift) * torch.exp(-log_scale) if rev else x * torch.exp(log_scale) + shift
    log_det = ((1 - mask) * log_scale).sum(1)
    return mask * x + (1 - mask) * moved, -log_det if rev else log_det


def with_everything_moved(x: Tensor, mask: Tensor, conditioner: Callable, rev: bool) -> tuple[Tensor, Tensor]:
    y, log_det = coupled(x, 0 * mask, conditioner, rev, seen=mask * x)
    return y, log_det


def with_every_log_scale(x: Tensor, mask: Tensor, conditioner: Callable, rev: bool) -> tuple[Tensor, Tensor]:
    return coupled(x, mask, conditioner, rev)[0], with_everything_moved(x, mask, conditioner, rev)[1]


def scaled_first(x: Tensor, mask: Tensor, conditioner: Callable, rev: bool) -> tuple[Tensor, Tensor]:
    y, log_det = coupled(x, mask, conditioner, rev)
    log_scale, shift = conditioner(mask * x)
    return mask * x + (1 - mask) * (x * torch.exp(-log_scale) - shift) if rev else y, log_det


masked = Exercise(
    coupled,
    cases=[(X, MASK, conditioner, False), (X, MASK, conditioner, True), (X, 1 - MASK, conditioner, True)],
    mistakes={
        "the conditioner may see only the coordinates that pass: give it mask * x": (
            lambda x, mask, conditioner, rev: coupled(x, mask, conditioner, rev, seen=x)
        ),
        "the coordinates where the mask is 1 have to pass unchanged": with_everything_moved,
        "only the transformed coordinates change a volume: leave the others out of the log-determinant": (
            with_every_log_scale
        ),
        "where the mask is 1 a coordinate passes, and where it is 0 it is transformed": (
            lambda x, mask, conditioner, rev: coupled(x, 1 - mask, conditioner, rev)
        ),
        "the coordinates that pass are missing from the output": lambda x, mask, conditioner, rev: (
            (1 - mask) * coupled(x, mask, conditioner, rev)[0],
            coupled(x, mask, conditioner, rev)[1],
        ),
        "`rev` changes nothing: take the shift off, divide by the scale, and give J the other sign": (
            lambda x, mask, conditioner, rev: coupled(x, mask, conditioner, False)
        ),
        "with `rev` the log-determinant has the other sign": lambda x, mask, conditioner, rev: (
            coupled(x, mask, conditioner, rev)[0],
            coupled(x, mask, conditioner, False)[1],
        ),
        "with `rev` the shift was added last, so it must be taken off first": scaled_first,
        "it should return two things: the outputs and the log-determinants": lambda x, mask, conditioner, rev: coupled(
            x, mask, conditioner, rev
        )[0],
    },
)
"""`masked(x, mask, conditioner, rev)`: a coupling whose halves are told apart by a mask, and its log-determinants."""

largest_alpha = Exercise(
    lambda error, step, depth: math.log(error / step) / depth,
    cases=[(1e-3, 6e-8, 1), (0.5, 6e-8, 4), (1e-6, 1e-16, 8)],
    mistakes={
        "that is how many times larger the error may get: alpha follows from its logarithm": (
            lambda error, step, depth: error / step
        ),
        "that is for a single coupling: the factors of all of them are multiplied": lambda error, step, depth: math.log(
            error / step
        ),
        "a chain divides what one coupling may have by its depth, it does not multiply it": (
            lambda error, step, depth: math.log(error / step) * depth
        ),
        "the factor is e to the alpha, so the logarithm is not the one to base 10": (
            lambda error, step, depth: math.log10(error / step) / depth
        ),
        "the factor is e to the alpha, so the logarithm is not the one to base 2": (
            lambda error, step, depth: math.log2(error / step) / depth
        ),
        "alpha is positive: divide the error by the step, not the other way round": (
            lambda error, step, depth: math.log(step / error) / depth
        ),
    },
    rtol=1e-3,
)
"""`largest_alpha(error, step, depth)`: the clamp at which a chain can enlarge errors of `step` to `error`."""
