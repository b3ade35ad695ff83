import numpy as np
import pytest
import torch

from oddlab.lab import check


def cholesky(x):
    return np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)))


def whiten(x):
    return (x - x.mean(axis=0)) @ cholesky(x).T


def whiten_by_eigenvectors(x):
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    return (x - x.mean(axis=0)) @ vectors / np.sqrt(values)


def whiten_in_torch(x):
    return torch.from_numpy(whiten(x)).requires_grad_()


def merge(a, b, *, mean=None, between=None):
    (n, mean_a, scatter_a), (m, mean_b, scatter_b) = a, b
    shift = mean_b - mean_a
    mean = mean_a + shift * m / (n + m) if mean is None else mean(mean_a, mean_b)
    between = np.outer(shift, shift) * n * m / (n + m) if between is None else between(shift, n, m)
    return n + m, mean, scatter_a + scatter_b + between


@pytest.mark.parametrize("answer", [whiten, whiten_by_eigenvectors, whiten_in_torch])
def test_every_whitening_is_right(answer):
    assert str(check("gaussian.whiten", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x: (x - x.mean(0)) / x.std(0, ddof=1), "as correlated as before"),
        (lambda x: (x - x.mean(0)) @ np.linalg.inv(np.cov(x, rowvar=False)), "divides by the spread twice"),
        (lambda x: (x - x.mean(0)) @ cholesky(x), "on the wrong side"),
        (lambda x: whiten(x) * (39 / 40) ** 0.5, "N and N - 1 are mixed up"),
        (lambda x: x @ cholesky(x).T, "take it off first"),
        (lambda x: 3 * whiten(x), "the first row of yours is [9.0,"),
        (lambda x: whiten(x).T, "yours is (3, 40)"),
        (lambda x: "white", "yours is no array of numbers"),
        (lambda x: x * np.nan, "not finite"),
    ],
)
def test_wrong_whitenings_are_told_why(answer, reason):
    result = check("gaussian.whiten", answer)
    assert result.verdict == "wrong" and reason in result.reason


def test_a_right_merge_is_right():
    assert str(check("gaussian.merge", merge)) == "right"
    assert check("gaussian.merge", lambda a, b: tuple(map(torch.as_tensor, merge(a, b))))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda a, b: merge(a, b, mean=lambda p, q: (p + q) / 2), "mean of the means"),
        (lambda a, b: merge(a, b, mean=lambda p, q: p), "the mean should begin with"),
        (lambda a, b: merge(a, b, between=lambda shift, n, m: 0), "only added"),
        (lambda a, b: merge(a, b, between=lambda shift, n, m: np.outer(shift, shift)), "lacks its weight"),
        (lambda a, b: merge(a, b, between=lambda shift, n, m: shift * shift * n * m / (n + m)), "its outer product"),
        (lambda a, b: merge(a, b, between=lambda shift, n, m: shift @ shift * n * m / (n + m)), "its outer product"),
        (lambda a, b: merge(a, b, between=lambda shift, n, m: np.eye(3)), "the scatter should begin with"),
        (lambda a, b: (8, *merge(a, b)[1:]), "yours are 8"),
        (lambda a, b: merge(a, b)[2], "should return n, mean and scatter"),
        (lambda a, b: (*merge(a, b)[:2], ...), "should return n, mean and scatter"),
    ],
)
def test_wrong_merges_are_told_why(answer, reason):
    result = check("gaussian.merge", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["gaussian.whiten", "gaussian.merge"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
