"""The exercises of notebook 01: right answers, likely mistakes, untouched stubs."""

import math
import re

import pytest
import torch

from oddlab.lab import check

NORMAL = torch.distributions.Normal(0.0, 1.0)


def stretch(x, s, rev=False):
    log_det = s.abs().log().sum().expand(len(x))
    return (x / s, -log_det) if rev else (x * s, log_det)


def log_of(s, x):
    return s.abs().log().sum().expand(len(x))


def but(change):
    """The right outputs, with `change(log_det, s, rev)` in place of the log-determinants."""

    def answer(x, s, rev=False):
        value, log_det = stretch(x, s, rev)
        return value, change(log_det, s, rev)

    return answer


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z).sum(1) + j),
        ("invertible.log_density", lambda z, j: j - (z**2).sum(1) / 2 - z.shape[1] / 2 * math.log(2 * math.pi)),
        ("invertible.stretch", stretch),
        ("invertible.stretch", lambda x, s, rev: stretch(x, 1 / s if rev else s)),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z).sum(1) - j, "added, not subtracted"),
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z).sum(1), "the density of z"),
        ("invertible.log_density", lambda z, j: j - 0.5 * z.square().sum(1), "the constant log.* is missing"),
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z.norm(dim=1)) + j, "comes once for each"),
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z).mean(1) + j, "summed, not averaged"),
        ("invertible.log_density", lambda z, j: (NORMAL.log_prob(z).sum(1) + j).exp(), "return its logarithm"),
        ("invertible.log_density", lambda z, j: -NORMAL.log_prob(z).sum(1) - j, "that is -log"),
        ("invertible.log_density", lambda z, j: NORMAL.log_prob(z).sum() + j.sum(), r"\(4,\), and yours has \(\)"),
        ("invertible.log_density", lambda z, j: j, "the first one should be"),
        ("invertible.stretch", lambda x, s, rev: x * s, "two things"),
        ("invertible.stretch", lambda x, s, rev: (x * s, log_of(s, x)), "divided by s"),
        ("invertible.stretch", lambda x, s, rev: (x + s, log_of(s, x)), "should be s x"),
        ("invertible.stretch", but(lambda log_det, s, rev: log_det.abs()), "has the other sign"),
        ("invertible.stretch", but(lambda log_det, s, rev: log_det + 0 * s.log().sum()), "absolute value"),
        ("invertible.stretch", but(lambda log_det, s, rev: s.abs().log()), "sum of the logarithms"),
        ("invertible.stretch", but(lambda log_det, s, rev: s.abs().prod().expand(4)), "that is the determinant"),
        ("invertible.stretch", but(lambda log_det, s, rev: 2 * log_det), "should be 1.099, and yours is 2.197"),
        ("invertible.stretch", but(lambda log_det, s, rev: log_det[0]), r"each of the 4 samples .* shape \(\)"),
    ],
)
def test_likely_mistakes_are_named(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("exercise", ["invertible.log_density", "invertible.stretch"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *args: ...).verdict == "not attempted"
