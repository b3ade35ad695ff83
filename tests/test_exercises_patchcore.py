"""The exercises of notebook 21: right answers, likely mistakes, untouched stubs."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from oddlab.lab import check


def measured(measure):
    """An answer to `score` that makes something of the distances (P, K)."""
    return lambda patches, bank: measure(np.linalg.norm(patches[:, None] - bank, axis=2))


def from_the_mean(patches, bank):
    return np.linalg.norm(patches - bank.mean(axis=0), axis=1).max()


def by_torch(patches, bank):
    return torch.cdist(torch.from_numpy(patches), torch.from_numpy(bank)).amin(dim=1).amax()


def overflowing(away):
    return 1 - np.exp(away[0]) / np.exp(away).sum()


def nearest_left_out(away):
    return 1 - np.exp(away[0] - away.max()) / np.exp(away[1:] - away.max()).sum()


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("patchcore.score", measured(lambda away: away.min(axis=1).max())),
        ("patchcore.score", by_torch),
        ("patchcore.factor", lambda away: 1 - softmax(away)[0]),
        ("patchcore.factor", lambda away: 1 - 1 / np.exp(away - away[0]).sum()),
        ("patchcore.factor", lambda away: 1 - torch.softmax(torch.from_numpy(away), 0)[0]),
    ],
)
def test_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("patchcore.score", measured(lambda away: away.min(axis=1).mean()), "mean over the patches"),
        ("patchcore.score", measured(lambda away: away.min(axis=1).max() ** 2), "squared distance"),
        ("patchcore.score", from_the_mean, "mean of the bank"),
        ("patchcore.score", measured(lambda away: away.max()), "row that is farthest"),
        ("patchcore.score", measured(lambda away: away.min()), "least odd patch"),
        ("patchcore.score", measured(lambda away: away.min(axis=0).max()), "swap the axes"),
        ("patchcore.score", measured(lambda away: away.min(axis=1)), "the shape (30,)"),
        ("patchcore.score", lambda patches, bank: 0.0, "it should be"),
        ("patchcore.factor", lambda away: softmax(away)[0], "the 1 - is missing"),
        ("patchcore.factor", lambda away: 1 - softmax(-away)[0], "no minus"),
        ("patchcore.factor", nearest_left_out, "belongs into the sum"),
        ("patchcore.factor", lambda away: 1 - away[0] / away.sum(), "divide the distances themselves"),
        ("patchcore.factor", overflowing, "subtract the largest"),
        ("patchcore.factor", lambda away: 1 - softmax(away), "the shape (4,)"),
        ("patchcore.factor", lambda away: 0.5, "it should be"),
    ],
)
def test_a_likely_mistake_is_called_by_its_name(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong" and reason in result.reason, result


@pytest.mark.parametrize("exercise", ["patchcore.score", "patchcore.factor"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, ...).verdict == check(exercise, lambda *_: ...).verdict == "not attempted"
