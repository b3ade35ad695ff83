import numpy as np
import pytest
import torch

from oddlab.lab import check


def log_mean_exp(e):
    top = e.max(axis=1)
    return top + np.log(np.exp(e - top[:, None]).mean(axis=1))


def likelihoods(points, widths, own=False):
    """Mean log density of the points under each width, with or without their own bumps."""
    squares = (points[:, None] - points) ** 2
    means = []
    for width in widths:
        bumps = np.exp(-squares / 2 / width**2) / width
        sums = bumps.sum(axis=1) - (0 if own else bumps.diagonal())
        means.append(np.log(np.maximum(sums, 1e-300)).mean())
    return np.array(means)


@pytest.mark.parametrize("answer", [log_mean_exp, lambda e: torch.from_numpy(e).logsumexp(1) - np.log(e.shape[1])])
def test_every_stable_log_of_a_mean_is_right(answer):
    assert str(check("kde.log_mean_exp", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda e: np.log(np.exp(e).mean(axis=1)), "at exponents near -1000 yours is -inf: take off"),
        (lambda e: e.max() + np.log(np.exp(e - e.max()).mean(axis=1)), "each row's own maximum"),
        (lambda e: log_mean_exp(e) + np.log(3), "log of the sum"),
        (lambda e: log_mean_exp(e) - e.max(axis=1), "not added back"),
        (lambda e: e.max(axis=1), "largest exponent alone"),
        (lambda e: e.mean(axis=1), "mean of the exponents"),
        (lambda e: log_mean_exp(e) + 1, "the row [0.0, -1.0, -3.0] gives"),
        (lambda e: log_mean_exp(e.T), "yours have shape (3,)"),
    ],
)
def test_wrong_logs_of_means_are_told_why(answer, reason):
    with np.errstate(all="ignore"):
        result = check("kde.log_mean_exp", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("wrap", [float, np.float64, torch.tensor])
def test_the_width_of_the_largest_leave_one_out_likelihood_is_right(wrap):
    assert str(check("kde.choose_width", lambda p, w: wrap(w[likelihoods(p, w).argmax()]))) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda p, w: w[likelihoods(p, w, own=True).argmax()], "0.05, the narrowest, wins only where"),
        (lambda p, w: likelihoods(p, w).argmax(), "return the width itself"),
        (lambda p, w: 1.06 * p.std() * len(p) ** -0.2, "the points are most likely with width"),
        (lambda p, w: w[4], "the points are most likely with width"),
    ],
)
def test_wrong_widths_are_told_why(answer, reason):
    result = check("kde.choose_width", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["kde.log_mean_exp", "kde.choose_width"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
