"""The exercises of notebook 07: right answers, likely mistakes, untouched stubs."""

import re

import pytest
import torch

from oddlab.lab import check


def ratios(variances):
    return (variances / variances.sum()).cumsum(0)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("pca.rebuild", lambda x, mean, components: (x - mean) @ components.T @ components + mean),
        ("pca.rebuild", lambda x, mean, v: mean.numpy() + (x - mean).numpy() @ (v.T @ v).numpy()),
        ("pca.needed", lambda variances, share: int((ratios(variances) <= share).sum()) + 1),
        ("pca.needed", lambda variances, share: int((ratios(variances) > share).nonzero()[0]) + 1),
        ("pca.needed", lambda variances, share: 1 + torch.searchsorted(ratios(variances), share)),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("pca.rebuild", lambda x, mean, v: (x - mean) @ v.T, "those are the coordinates"),
        ("pca.rebuild", lambda x, mean, v: (x - mean) @ v.T @ v, "missing on the way back"),
        ("pca.rebuild", lambda x, mean, v: x @ v.T @ v, "must be subtracted first"),
        ("pca.rebuild", lambda x, mean, v: x @ v.T @ v + mean, "never subtracted"),
        ("pca.rebuild", lambda x, mean, v: x - mean - (x - mean) @ v.T @ v, "what the components miss"),
        ("pca.rebuild", lambda x, mean, v: mean, r"should have the shape \(5, 6\) of x, and yours have \(6,\)"),
        ("pca.rebuild", lambda x, mean, v: x, "the first number should be"),
        ("pca.needed", lambda variances, share: int((ratios(variances) > share).nonzero()[0]), "one more"),
        ("pca.needed", lambda variances, share: int((ratios(variances) > share).sum()), "still lie beyond"),
        ("pca.needed", lambda variances, share: int((variances.cumsum(0) <= share).sum()) + 1, "divide by it"),
        ("pca.needed", lambda variances, share: 7, r"should be \[1, 2, 3, 5\], and yours is \[7, 7, 7, 7\]"),
    ],
)
def test_likely_mistakes_are_named(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("exercise", ["pca.needed", "pca.rebuild"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *args: ...).verdict == "not attempted"
