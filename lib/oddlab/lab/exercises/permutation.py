"""Exercises of the lesson about permutations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(1)
SHUFFLED = torch.stack([torch.randperm(6, generator=_generator) for _ in range(3)]) < 3
FLIPPED = torch.tensor([[True, True, False, False], [False, False, True, True], [True, True, False, False]])


def pairs(passing: Tensor) -> Tensor:
    """For each coupling (k, D, D) whether i passes while j is transformed."""
    return passing[:, :, None] & ~passing[:, None, :]


def share(found: Tensor) -> float:
    """The share of the ordered pairs of two different numbers that are true in `found` (D, D)."""
    n = len(found)
    return (found & ~torch.eye(n, dtype=torch.bool)).double().sum().item() / (n * (n - 1))


undo = Exercise(
    lambda p: np.argsort(p),
    cases=[(np.array([2, 0, 3, 1, 5, 4, 6]),), (np.array([1, 2, 0]),)],
    mistakes={
        "that is p itself, which undoes only what swaps pairs": lambda p: p,
        "that is p read backwards: look for the place i at which p[i] is 0, then 1, and so on": lambda p: p[::-1],
        "that leaves everything where it is: x[p] stays shuffled": lambda p: np.arange(len(p)),
        "x comes back in the reverse order: sort p upwards": lambda p: np.argsort(-p),
        "that is a matrix: an index of one number for each channel is asked for": lambda p: np.eye(len(p))[p],
    },
)
"""`undo(p)`: the index q with x[p][q] equal to x, for the index p (n,) of a permutation."""

met = Exercise(
    lambda passing: share(pairs(passing).any(dim=0)),
    cases=[(SHUFFLED,), (FLIPPED,), (SHUFFLED[:1],)],
    mistakes={
        "a pair has an order: i conditions j and j conditions i are two different pairs": lambda passing: share(
            pairs(passing).any(dim=0) | pairs(passing).any(dim=0).T
        ),
        "no number meets itself: there are D (D - 1) ordered pairs": lambda passing: (
            pairs(passing).any(dim=0).double().mean().item()
        ),
        "one coupling is enough for a pair to meet, it need not meet in all": lambda passing: share(
            pairs(passing).all(dim=0)
        ),
        "a pair that meets twice counts once": lambda passing: sum(map(share, pairs(passing))),
        "that is the mean over the couplings: a pair counts if it meets in any of them": lambda passing: (
            sum(map(share, pairs(passing))) / len(passing)
        ),
        "that is the share of the pairs that have not met": lambda passing: 1 - share(pairs(passing).any(dim=0)),
        "two numbers meet where one passes and the other is transformed, not where they do the same": lambda passing: (
            share((passing[:, :, None] == passing[:, None, :]).any(dim=0))
        ),
        "that is in percent: give a share": lambda passing: 100 * share(pairs(passing).any(dim=0)),
    },
)
"""`met(passing)`: the share of the ordered pairs (i, j) where i has passed while j was transformed, in any coupling."""
