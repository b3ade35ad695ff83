"""Exercises of the lesson that starts the course."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

MAPS = torch.rand(2, 4, 7, generator=torch.Generator().manual_seed(0))
MAPS[0, 2, 5] = MAPS[1, 3, 0] = 2.0


def place(anomaly_map: Tensor) -> tuple[int, int]:
    return divmod(int(anomaly_map.argmax()), anomaly_map.shape[1])


loudest = Exercise(
    place,
    cases=[(MAPS[0],), (MAPS[1],)],
    mistakes={
        "that is the place in the flattened map: divide by the width for the row, the rest is the column": torch.argmax,
        "that is (column, row): rows come first": lambda anomaly_map: place(anomaly_map)[::-1],
        "that divides by the height: divide by the width": lambda anomaly_map: divmod(int(anomaly_map.argmax()), 4),
        "that is the largest score itself: return where it is": torch.max,
    },
)
"""`loudest(anomaly_map)`: the row and the column of the largest score of a map (H, W)."""

called_odd = Exercise(
    lambda scores, threshold: scores >= threshold,
    cases=[(torch.tensor([1.0, 3.0, 2.0, 5.0]), 3.0), (torch.tensor([0.2, 0.7, 0.4]), 0.5)],
    mistakes={
        "a score of just the threshold is anomalous too: >= and not >": lambda scores, threshold: scores > threshold,
        "high scores are anomalous, not low ones": lambda scores, threshold: scores < threshold,
        "that is one answer: each score has its own": lambda scores, threshold: scores.max() >= threshold,
    },
)
"""`called_odd(scores, threshold)`: whether each image is called anomalous: a score of at least the threshold."""
