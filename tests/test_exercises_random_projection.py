import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from oddlab import johnson_lindenstrauss_min_dim
from oddlab.lab import check

EPS = np.arange(1, 1000) / 1000


def ratio(x, y):
    return pdist(y) ** 2 / pdist(x) ** 2


def with_the_diagonal(x, y):
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return ((y[:, None] - y).square().sum(2) / (x[:, None] - x).square().sum(2) - 1).abs().max()


def fits(n, k):
    return EPS[[johnson_lindenstrauss_min_dim(n, eps) <= k for eps in EPS]]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("worst", lambda x, y: np.abs(ratio(x, y) - 1).max()),
        ("worst", lambda x, y: torch.from_numpy(ratio(x, y) - 1).abs().max()),
        ("promised", lambda n, k: fits(n, k)[0]),
        ("promised", lambda n, k: round(fits(n, k)[0], 2)),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert str(check(f"random_projection.{exercise}", answer)) == "right"


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("worst", lambda x, y: np.abs(pdist(y) / pdist(x) - 1).max(), "square them first"),
        ("worst", lambda x, y: (ratio(x, y) - 1).max(), "take the absolute value before the maximum"),
        ("worst", lambda x, y: ratio(x, y).max(), "take 1 off"),
        ("worst", lambda x, y: np.abs(pdist(y) ** 2 - pdist(x) ** 2).max(), "divide each by the pair's own"),
        ("worst", lambda x, y: np.abs(1 / ratio(x, y) - 1).max(), "upside down"),
        ("worst", with_the_diagonal, "0 / 0"),
        ("worst", lambda x, y: ratio(x, y) - 1, "yours has shape (66,)"),
        ("worst", lambda x, y: np.abs(ratio(x, y) - 1).mean(), "it should be "),
        ("promised", lambda n, k: (8 * np.log(n) / k) ** 0.5, "cube of eps is missing"),
        ("promised", lambda n, k: (2 / k) ** 0.5, "typical error"),
        ("promised", lambda n, k: fits(n, k)[-1], "find the smallest"),
        ("promised", lambda n, k: 0.01, "it should be 0.50, and yours is 0.01"),
    ],
)
def test_wrong_answers_are_told_why(exercise, answer, reason):
    result = check(f"random_projection.{exercise}", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["worst", "promised"])
def test_stubs_are_not_attempted(exercise):
    assert check(f"random_projection.{exercise}", lambda *args: ...).verdict == "not attempted"
