import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oddlab.threshold import AdaptiveThreshold, conformal_threshold

DRAWS, N, FURTHER = 2000, 37, 400
GOOD = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(shape),
    "log densities": lambda rng, shape: -rng.gamma(2, 300, shape),
    "ties": lambda rng, shape: rng.poisson(3, shape).astype(float),
    "all equal": lambda rng, shape: np.ones(shape),
}


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("name", GOOD)
def test_the_measured_rate_of_false_alarms_is_the_promised_one(name, rate):
    scores = torch.from_numpy(GOOD[name](np.random.default_rng(0), (DRAWS, N + FURTHER)))
    thresholds = torch.stack([conformal_threshold(draw[:N], rate) for draw in scores])
    alarms = (scores[:, N:] >= thresholds[:, None]).double().mean(dim=1)
    error = 3 * alarms.std().item() / DRAWS**0.5
    assert alarms.mean() <= rate + error
    if name not in ("ties", "all equal"):
        assert alarms.mean() >= rate - 1 / (N + 1) - error


@pytest.mark.parametrize(("rate", "n"), [(0.3, 3), (0.1, 9), (0.05, 19), (0.01, 99), (0.29, 3), (0.07, 14)])
def test_how_many_images_it_takes(rate, n):
    assert n == math.ceil(1 / rate - 1 - 1e-9)
    scores = torch.rand(n)
    assert conformal_threshold(scores, rate) == torch.nextafter(scores.max(), torch.tensor(math.inf))
    assert conformal_threshold(scores[1:], rate) == math.inf


def test_the_rate_is_the_decimal_number_that_was_written():
    scores = torch.arange(99.0)
    for hundredths in range(1, 100):
        threshold = conformal_threshold(scores, hundredths / 100)
        assert (scores >= threshold).sum() == hundredths - 1  # of 100, the further one included, this many at most


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_a_monotone_map_of_the_scores_changes_no_decision(values, rate):
    scores = torch.tensor(values, dtype=torch.float64)
    others = torch.arange(-60, 60, dtype=torch.float64)
    mapped = [(x / 10).exp() * 3 - 7 for x in (scores, others)]
    plain = others >= conformal_threshold(scores, rate)
    assert torch.equal(plain, mapped[1] >= conformal_threshold(mapped[0], rate))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_is_just_above_a_score_in_every_dtype(dtype):
    scores = torch.arange(9.0, dtype=dtype)
    before = scores.clone()
    threshold = conformal_threshold(scores, 0.1)
    assert threshold.dtype == dtype and threshold > 8 and (scores >= threshold).sum() == 0
    assert torch.equal(scores, before)


REFUSED = {
    "rate 0": (torch.rand(3), 0.0, "false_alarm_rate: expected a number between 0 and 1, got 0.0"),
    "rate 1": (torch.rand(3), 1.0, "false_alarm_rate: .* got 1.0"),
    "rate NaN": (torch.rand(3), math.nan, "false_alarm_rate: .* got nan"),
    "NaN": (torch.tensor([1.0, math.nan]), 0.1, "scores: expected finite values, got 1 NaN"),
    "infinity": (torch.tensor([1.0, math.inf]), 0.1, "scores: expected finite values"),
    "empty": (torch.zeros(0), 0.1, r"scores: expected shape \(n\) and no empty axis, got \(0,\)"),
    "two axes": (torch.rand(3, 2), 0.1, r"scores: expected shape \(n\).*, got \(3, 2\)"),
    "whole numbers": (torch.arange(3), 0.1, "scores: expected a floating-point tensor, got int64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(case):
    scores, rate, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        conformal_threshold(scores, rate)


def test_the_adaptive_threshold_takes_batches_of_any_shape_and_starts_anew():
    metric = AdaptiveThreshold()
    metric.update(torch.tensor([[1.0, 2.0], [30.0, 3.0]]), torch.tensor([[0, 0], [1, 0]]))
    metric.update(torch.tensor([40.0]), torch.tensor([True]))
    assert metric.compute() == 30
    assert copy.deepcopy(metric).compute() == pickle.loads(pickle.dumps(metric)).compute() == 30
    metric.reset()
    metric.update(torch.tensor([5.0, 4.0], dtype=torch.float64), torch.tensor([0, 0]))
    assert metric.compute() == 5 and metric.compute().dtype == torch.float64  # no anomaly: the largest


def test_the_adaptive_threshold_of_one_batch_by_a_call():
    metric = AdaptiveThreshold()
    assert metric(torch.tensor([1.0, 2.0]), torch.tensor([0, 1])) == 2
    assert metric(torch.tensor([0.5, 3.0]), torch.tensor([0, 1])) == 3
    assert metric.compute() == 2


def test_the_adaptive_threshold_refuses_bad_input_by_name():
    with pytest.raises(ValueError, match="preds: expected numbers, got 1 NaN of 1"):
        AdaptiveThreshold().update(torch.tensor([math.nan]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"target: expected the shape of preds, \(1,\), got \(2,\)"):
        AdaptiveThreshold().update(torch.ones(1), torch.ones(2))
