import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from oddlab.lab import check


def normal(z):
    return multivariate_normal(np.zeros(z.shape[1])).logpdf(z)


def probabilities(log_p, shares):
    joint = log_p + np.log(shares)
    joint = np.exp(joint - joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("of", [lambda value: value, torch.from_numpy])
def test_the_normal_and_the_log_determinant_are_right(of):
    assert str(check("all_in_one_block.log_density", lambda z, log_det: of(normal(z) + log_det))) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda z, j: normal(z) - j, "wrong sign"),
        (lambda z, j: normal(z), "the log-determinant is missing"),
        (lambda z, j: j - (z**2).sum(1) / 2, "the constant is missing"),
        (lambda z, j: j - (z**2).sum(1) / 2 - np.log(2 * np.pi) / 2, "once for each of the D numbers"),
        (lambda z, j: normal(z) + j - (z**2).sum(1) / 2, "the squares are halved"),
        (lambda z, j: normal(z) + j + (z**2).sum(1) / 2 - (z**2).mean(1) / 2, "that is the mean of the squares"),
        (lambda z, j: np.exp(normal(z) + j), "its logarithm is asked for"),
        (lambda z, j: (normal(z) + j).mean(), "yours have shape ()"),
        (lambda z, j: normal(z) + 2 * j, "the first point should have"),
    ],
)
def test_wrong_log_densities_are_told_why(answer, reason):
    result = check("all_in_one_block.log_density", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize(
    "answer", [probabilities, lambda p, s: (torch.from_numpy(p) + torch.from_numpy(s).log()).softmax(dim=1)]
)
def test_bayes_rule_that_does_not_underflow_is_right(answer):
    assert str(check("all_in_one_block.kind_probability", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda p, s: s * np.exp(p) / (s * np.exp(p)).sum(axis=1, keepdims=True), "near -2000 yours is nan"),
        (lambda p, s: probabilities(p, np.ones(3)), "the shares are left out"),
        (lambda p, s: s * np.exp(p), "they do not sum to 1"),
        (lambda p, s: np.exp(p), "those are densities"),
        (lambda p, s: probabilities(p, np.exp(s)), "the log of the share is added"),
        (lambda p, s: (torch.from_numpy(p) + torch.from_numpy(s).log()).softmax(dim=0), "each row should"),
        (lambda p, s: (torch.from_numpy(p) + torch.from_numpy(s).log()).log_softmax(dim=1), "those are logarithms"),
        (lambda p, s: probabilities(p, s).argmax(axis=1), "yours have shape (3,)"),
        (lambda p, s: 1 - probabilities(p, s), "log densities [-1.0, -2.0, -4.0] give"),
    ],
)
def test_wrong_probabilities_are_told_why(answer, reason):
    with np.errstate(all="ignore"):
        result = check("all_in_one_block.kind_probability", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["all_in_one_block.log_density", "all_in_one_block.kind_probability"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
