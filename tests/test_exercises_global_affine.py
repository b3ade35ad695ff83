import math

import numpy as np
import pytest
import torch

from oddlab.lab import check


def start_value(b):
    return 2 * (5 * b + math.log(-math.expm1(-5 * b)))


@pytest.mark.parametrize("wrap", [float, np.float64, torch.tensor])
def test_the_inverse_that_does_not_overflow_is_right(wrap):
    assert str(check("global_affine.start_value", lambda b: wrap(start_value(b)))) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda b: 2 * math.log(math.exp(5 * b) - 1), "at b = 200 the exponential of 1000 is too large"),
        (lambda b: 2 * torch.log(torch.exp(torch.tensor(5 * b)) - 1), "at b = 18 the exponential of 90 is too large"),
        (lambda b: 2 * np.log(np.exp(5 * b) - 1), "at b = 200 the exponential of 1000 is too large"),
        (lambda b: start_value(b) / 2, "that is a / 2"),
        (lambda b: start_value(b / 5), "one fifth"),
        (lambda b: 10 * b, "the straight line"),
        (math.log, "inverse of EXP"),
        (lambda b: math.log1p(math.exp(b / 2)) / 5, "go the other way"),
        (lambda b: start_value(b) + 1, "at b = 1 it should be 9.9865, and yours is 10.9865"),
        (lambda b: math.log(-b), "it raised ValueError"),
    ],
)
def test_wrong_starts_are_told_why(answer, reason):
    with np.errstate(all="ignore"):
        result = check("global_affine.start_value", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("of", [lambda l: l, torch.from_numpy])
def test_one_mean_a_sample_is_right(of):
    right = lambda l: of(l - l.mean(axis=(1, 2, 3), keepdims=True))
    assert str(check("global_affine.keep_volume", right)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda l: l - l.mean(), "over the whole batch"),
        (lambda l: l - l.mean(axis=0), "over the batch: a sample"),
        (lambda l: l - l.mean(axis=1, keepdims=True), "at every position"),
        (lambda l: l - l.mean(axis=(2, 3), keepdims=True), "one mean for all channels"),
        (lambda l: l - l.sum(axis=(1, 2, 3), keepdims=True), "that is the sum"),
        (lambda l: l / l.sum(axis=(1, 2, 3), keepdims=True), "the logs then sum to 1"),
        (lambda l: l.sum(axis=(1, 2, 3)), "keep their shape, and yours have (3,)"),
        (lambda l: l, "the first sample's should sum to 0"),
    ],
)
def test_wrong_volumes_are_told_why(answer, reason):
    result = check("global_affine.keep_volume", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["global_affine.start_value", "global_affine.keep_volume"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
