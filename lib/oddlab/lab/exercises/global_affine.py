"""Exercises of the lesson about global affine layers."""

from __future__ import annotations

import numpy as np

from oddlab.lab.exercises.exercise import Exercise

_rng = np.random.default_rng(0)
LOGS = _rng.normal(1.0, 1.0, (3, 4, 2, 5))
SAMPLE = (1, 2, 3)
BATCH = (0, 2, 3)
MAPS = _rng.normal(size=(2, 4, 3, 2)) * np.array([0.001, 0.4, 0.0, 30.0]).reshape(1, 4, 1, 1)
MAPS += np.array([0.5, -1.0, 2.0, 7.0]).reshape(1, 4, 1, 1)


def softplus_parameter(b: np.ndarray) -> np.ndarray:
    return 2 * (5 * b + np.log(-np.expm1(-5 * b)))


def started(
    x: np.ndarray,
    axes: tuple = BATCH,
    ddof: int = 0,
    floor: bool = True,
    inverse=softplus_parameter,
    centre: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and offsets from the means and standard deviations over `axes`."""
    spread = x.std(axis=axes, ddof=ddof)
    scale = 1 / np.where(spread > 1e-12, spread, 1) if floor else 1 / spread
    return inverse(scale), -x.mean(axis=axes) * (scale if centre else 1)


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

start_from_data = Exercise(
    started,
    cases=[(MAPS,), (MAPS[:, 1:] + 1,)],
    mistakes={
        "those are the scales: return the parameters at which SOFTPLUS gives them": lambda x: started(
            x, inverse=lambda b: b
        ),
        "those are the parameters of EXP, whose inverse is the logarithm": lambda x: started(x, inverse=np.log),
        "the exponential of 5 b is too large where a channel is narrow: take 5 b out of the logarithm": lambda x: (
            started(x, inverse=lambda b: 2 * np.log(np.exp(5 * b) - 1))
        ),
        "the scale of a channel that never changes should be 1, not 1 / 0": lambda x: started(x, floor=False),
        "the offset is added after the scale: the mean must be scaled, too": lambda x: started(x, centre=False),
        "the offset has the wrong sign": lambda x: (started(x)[0], -started(x)[1]),
        "that divides by one less than the number of values": lambda x: started(x, ddof=1),
        "those are a and offset in the other order": lambda x: started(x)[::-1],
    },
)
"""`start_from_data(x)`: SOFTPLUS parameters (C,) and offsets (C,) that standardise the channels of x (N, C, H, W)."""
