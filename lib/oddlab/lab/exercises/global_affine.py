"""Exercises of the lesson about global affine layers."""

from __future__ import annotations

import numpy as np

from oddlab.flow.global_affine import initial_value
from oddlab.lab.exercises.exercise import Exercise

LOGS = np.random.default_rng(0).normal(1.0, 1.0, (3, 4, 2, 5))
SAMPLE = (1, 2, 3)


def start(b: float) -> float:
    return initial_value(b, "SOFTPLUS")


start_value = Exercise(
    start,
    cases=[(1.0,), (200.0,), (1000.0,), (1e-6,)],
    mistakes={
        "at b = 200 the exponential of 1000 is too large: take 5 b out of the log": lambda b: (
            2 * np.log(np.expm1(5 * b))
        ),
        "that is a / 2: the curve holds the exponential of half the parameter": lambda b: start(b) / 2,
        "the factor of one fifth in front of the log is left out": lambda b: start(b / 5),
        "that is the straight line far to the right: at b = 1 the curve is not yet on it": lambda b: 10 * b,
        "that is the inverse of EXP": lambda b: np.log(b),
        "that is the scale at the parameter b: go the other way": lambda b: np.logaddexp(0, b / 2) / 5,
    },
)
"""`start_value(b)`: the parameter at which SOFTPLUS gives the scale b, from 1e-6 to 1e4."""

keep_volume = Exercise(
    lambda logs: logs - logs.mean(axis=SAMPLE, keepdims=True),
    cases=[(LOGS,)],
    mistakes={
        "that is the mean over the whole batch: a sample must not depend on the others": lambda logs: (
            logs - logs.mean()
        ),
        "that is the mean over the batch: a sample must not depend on the others": lambda logs: (
            logs - logs.mean(axis=0)
        ),
        "that keeps the volume at every position: take one mean of the sample": lambda logs: (
            logs - logs.mean(1, keepdims=True)
        ),
        "that keeps every channel's volume: take one mean of all": lambda logs: (
            logs - logs.mean(axis=(2, 3), keepdims=True)
        ),
        "that is the sum, taken off every entry: take the mean": lambda logs: (
            logs - logs.sum(axis=SAMPLE, keepdims=True)
        ),
        "the logs then sum to 1: to sum to 0 they must be shifted": lambda logs: (
            logs / logs.sum(axis=SAMPLE, keepdims=True)
        ),
    },
)
"""`keep_volume(logs)`: logs (N, C, H, W) less each sample's mean."""
