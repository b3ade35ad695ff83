import numpy as np
import pytest
import torch

from oddlab.lab import check


def undo_in_a_loop(p):
    q = [0] * len(p)
    for i, channel in enumerate(p):
        q[channel] = i
    return q


@pytest.mark.parametrize("answer", [np.argsort, undo_in_a_loop, lambda p: torch.from_numpy(p).argsort()])
def test_every_way_to_undo_is_right(answer):
    assert str(check("permutation.undo", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda p: p, "p itself"),
        (lambda p: p[::-1], "read backwards"),
        (lambda p: np.arange(len(p)), "stays shuffled"),
        (lambda p: np.argsort(-p), "in the reverse order"),
        (lambda p: np.roll(p, 1), "yours begins with"),
        (lambda p: np.eye(len(p)), "an index of 7 ints, and yours has shape (7, 7)"),
        (lambda p: np.argsort(p) * 1.0, "dtype float64"),
    ],
)
def test_wrong_ways_to_undo_are_told_why(answer, reason):
    result = check("permutation.undo", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("answer", [lambda d: 0.5**d, lambda d: torch.tensor(2.0) ** -d])
def test_the_right_share_is_right(answer):
    assert str(check("permutation.never_moved", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda d: 1 - 0.5**d, "*has* been moved"),
        (lambda d: 0.5 / d, "falls as 1 / depth"),
        (lambda d: 0.5 ** (d - 1), "one block off"),
        (lambda d: 0.5, "always the same half"),
        (lambda d: 100 * 0.5**d, "in percent"),
        (lambda d: 0.3**d, "after 1 couplings it should be 0.5, and yours is 0.3"),
        (lambda d: max(0.0, 1 - d / 2), "after 2 couplings it should be 0.25, and yours is 0"),
    ],
)
def test_wrong_shares_are_told_why(answer, reason):
    result = check("permutation.never_moved", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["permutation.undo", "permutation.never_moved"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
