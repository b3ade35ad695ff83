"""Exercises of the lesson about permutations."""

from __future__ import annotations

import numpy as np

from oddlab.lab.exercises.exercise import Exercise

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

never_moved = Exercise(
    lambda depth: 0.5**depth,
    cases=[(1,), (2,), (3,), (6,)],
    mistakes={
        "that is the share that *has* been moved": lambda depth: 1 - 0.5**depth,
        "that falls as 1 / depth, and each coupling halves what is left": lambda depth: 0.5 / depth,
        "that is one block off: already the first coupling moves half of them": lambda depth: 0.5 ** (depth - 1),
        "that is so without a permutation, where it is always the same half": lambda depth: 0.5,
        "that is in percent: give a share": lambda depth: 100 * 0.5**depth,
    },
)
"""`never_moved(depth)`: the expected share of the channels that none of `depth` couplings has moved."""
