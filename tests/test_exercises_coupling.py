"""The exercises of notebook 02: right answers, likely mistakes, untouched stubs."""

import math
import re

import pytest
import torch

from oddlab.flow.coupling import affine_coupling
from oddlab.lab import check


def split(a):
    return (0.1 * a).chunk(2, 1)


def undo(y, a, alpha):
    s, t = split(a)
    return (y - t) / torch.exp(alpha * torch.tanh(s))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("coupling.undo", undo),
        ("coupling.undo", lambda y, a, alpha: affine_coupling(y, a, alpha, rev=True)[0]),
        ("coupling.undo", lambda y, a, alpha: undo(y, a, alpha).numpy()),
        ("coupling.largest_alpha", lambda error, step: math.log(error / step)),
        ("coupling.largest_alpha", lambda error, step: torch.tensor(error).log() - torch.tensor(step).log()),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("coupling.undo", lambda y, a, alpha: affine_coupling(y, a, alpha)[0], "the way forwards"),
        ("coupling.undo", lambda y, a, alpha: undo(y + split(a)[1], a, alpha) - split(a)[1], "taken off first"),
        ("coupling.undo", lambda y, a, alpha: (y - split(a)[1]) ** 2 / undo(y, a, alpha), "must be undone"),
        ("coupling.undo", lambda y, a, alpha: undo(y, 10 * a, alpha), "multiplied by 0.1"),
        ("coupling.undo", lambda y, a, alpha: (y - split(a)[1]) / split(a)[0].exp(), "s is not clamped"),
        (
            "coupling.undo",
            lambda y, a, alpha: (y - split(a)[1]) / torch.exp(alpha * torch.tanh(split(a)[0] / alpha)),
            "development version",
        ),
        ("coupling.undo", lambda y, a, alpha: undo(y, a.roll(3, 1), alpha), "the second is t"),
        ("coupling.undo", lambda y, a, alpha: undo(y, a, alpha)[0], r"the shape \(4, 3\) of y, and yours has \(3,\)"),
        ("coupling.undo", lambda y, a, alpha: y, "the first number should be"),
        ("coupling.largest_alpha", lambda error, step: error / step, "its logarithm"),
        ("coupling.largest_alpha", lambda error, step: math.log10(error / step), "not the one to base 10"),
        ("coupling.largest_alpha", lambda error, step: math.log2(error / step), "not the one to base 2"),
        ("coupling.largest_alpha", lambda error, step: math.log(step / error), "not the other way round"),
        ("coupling.largest_alpha", lambda error, step: 2.0, "should be 9.72, and yours is 2.00"),
    ],
)
def test_likely_mistakes_are_named(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("exercise", ["coupling.largest_alpha", "coupling.undo"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *args: ...).verdict == "not attempted"
