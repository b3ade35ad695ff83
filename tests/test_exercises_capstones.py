"""The checks of notebooks 00, 13 and 20: right answers are right, likely mistakes are told by name."""

import numpy as np
import pytest
import torch

from oddlab.lab import check


def separable(x, w):
    windows = np.lib.stride_tricks.sliding_window_view
    return windows(windows(x, len(w), axis=1) @ w, len(w), axis=0) @ w


def rows_only(x, w):
    return (np.lib.stride_tricks.sliding_window_view(x, len(w), axis=1) @ w)[2:-2]


def distances(x, mean, inverse):
    delta = x - mean
    return torch.einsum("ndp,pde,nep->np", delta, inverse, delta).sqrt()


RIGHT = {
    "blur.separable": separable,
    "blur.noise_left": lambda sigma: 1 / (2 * np.sqrt(np.pi) * sigma),
    "padim.memory": lambda n_features, side: side**2 * n_features**2 * 4,
    "padim.distances": distances,
    "start_here.loudest": lambda scores: divmod(int(scores.argmax()), scores.shape[1]),
    "start_here.called_odd": lambda scores, threshold: scores >= threshold,
}
WRONG = [
    ("blur.separable", rows_only, "only the rows"),
    ("blur.separable", lambda x, w: x, "leave 5 x 8 pixels"),
    ("blur.separable", lambda x, w: separable(x, w) / w.sum(), "should be the sum"),
    ("blur.noise_left", lambda sigma: 1 / (4 * np.pi * sigma**2), "that is the variance"),
    ("blur.noise_left", lambda sigma: (1 / (2 * np.sqrt(np.pi) * sigma)) ** 0.5, "along one axis"),
    ("blur.noise_left", lambda sigma: 1 / sigma, "it should be"),
    ("padim.memory", lambda n_features, side: side**2 * n_features**2, "each takes 4 bytes"),
    ("padim.memory", lambda n_features, side: side**2 * n_features * 4, "a covariance is D x D"),
    ("padim.memory", lambda n_features, side: side * n_features**2 * 4, "side * side positions"),
    ("padim.memory", lambda n_features, side: side**2 * n_features**2 * 8, "4 bytes, not 8"),
    ("padim.distances", lambda x, mean, inverse: distances(x, mean, inverse) ** 2, "take the root"),
    ("padim.distances", lambda x, mean, inverse: (x - mean).norm(dim=1), "plain distance"),
    ("padim.distances", lambda x, mean, inverse: x, "shape (4, 5)"),
    ("start_here.loudest", lambda scores: scores.argmax(), "flattened"),
    ("start_here.loudest", lambda scores: divmod(int(scores.argmax()), scores.shape[1])[::-1], "rows come first"),
    ("start_here.loudest", lambda scores: (0, 0), "the largest score is at"),
    ("start_here.called_odd", lambda scores, threshold: scores > threshold, ">= and not >"),
    ("start_here.called_odd", lambda scores, threshold: scores < threshold, "high scores are odd"),
    ("start_here.called_odd", lambda scores, threshold: scores.max() >= threshold, "four answers"),
]


@pytest.mark.parametrize("exercise", RIGHT)
def test_right(exercise):
    assert check(exercise, RIGHT[exercise])
    assert check(exercise, ...).verdict == check(exercise, lambda *_: ...).verdict == "not attempted"


@pytest.mark.parametrize(("exercise", "answer", "reason"), WRONG)
def test_wrong(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong" and reason in result.reason
