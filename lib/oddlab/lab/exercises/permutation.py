"""Checks of the exercises in notebook 03."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def undo(answer: Callable) -> str | None:
    """`answer(p)` is the index q with x[p][q] equal to x, for the index p (n,) of a permutation."""
    p = np.array([2, 0, 3, 1, 5, 4, 6])
    right = np.argsort(p)
    got = np.asarray(answer(p.copy()))
    if got.shape != p.shape or not np.issubdtype(got.dtype, np.integer):
        return f"7 channels need an index of 7 ints, and yours has shape {got.shape} and dtype {got.dtype}"
    if np.array_equal(got, right):
        return None
    if np.array_equal(got, p):
        return "that is p itself, which undoes only what swaps pairs"
    if np.array_equal(got, p[::-1]):
        return "that is p read backwards: look for the place i at which p[i] is 0, then 1, and so on"
    if np.array_equal(got, np.arange(7)):
        return "that leaves everything where it is: x[p] stays shuffled"
    if np.array_equal(got, right[::-1]):
        return "x comes back in the reverse order: sort p upwards"
    return f"p is {p.tolist()}, and x[p][q] should be 0 to 6 for x = 0 to 6; yours begins with {got[:3].tolist()}"


def never_moved(answer: Callable) -> str | None:
    """`answer(depth)` is the expected share of the channels that none of `depth` couplings has moved."""
    got = {depth: float(torch.as_tensor(answer(depth))) for depth in (1, 2, 3, 6)}
    guesses = {
        "that is the share that *has* been moved": lambda d: 1 - 0.5**d,
        "that falls as 1 / depth, and each coupling halves what is left": lambda d: 0.5 / d,
        "that is one block off: already the first coupling moves half of them": lambda d: 0.5 ** (d - 1),
        "that is so without a permutation, where it is always the same half": lambda d: 0.5,
        "that is in percent: give a share": lambda d: 100 * 0.5**d,
    }
    for reason, guess in guesses.items():
        if all(abs(share - guess(depth)) < 1e-6 for depth, share in got.items()):
            return reason
    for depth, share in got.items():
        if abs(share - 0.5**depth) > 1e-6:
            return f"after {depth} couplings it should be {0.5**depth:.4g}, and yours is {share:.4g}"
    return None
