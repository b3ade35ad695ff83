"""Checks of the exercises in notebook 00."""

from __future__ import annotations

from collections.abc import Callable

import torch


def loudest(answer: Callable) -> str | None:
    """`answer(anomaly_map)` is the row and the column of the largest score of a map (H, W)."""
    for row, column in ((2, 5), (3, 0)):
        scores = torch.rand(4, 7, generator=torch.Generator().manual_seed(0))
        scores[row, column] = 2.0
        got = tuple(int(index) for index in torch.as_tensor(answer(scores.clone())).flatten())
        if got == (row * 7 + column,):
            return "that is the place in the flattened map: divide by the width for the row, the rest is the column"
        if got == (column, row):
            return "that is (column, row): rows come first"
        if got != (row, column):
            return f"the largest score is at {(row, column)}, and yours is {got}"
    return None


def called_odd(answer: Callable) -> str | None:
    """`answer(scores, threshold)` says of each image whether it is called odd: a score of at least the threshold."""
    scores = torch.tensor([1.0, 3.0, 2.0, 5.0])
    got = torch.as_tensor(answer(scores.clone(), 3.0))
    if got.shape != (4,):
        return f"four scores need four answers, and yours has shape {tuple(got.shape)}"
    if got.tolist() == [False, False, False, True]:
        return "a score of just the threshold is called odd too: >= and not >"
    if got.tolist() == [True, False, True, False]:
        return "high scores are odd, not low ones"
    if got.tolist() != [False, True, False, True]:
        return f"of the scores {scores.tolist()}, 3 and 5 are at least 3, and yours says {got.tolist()}"
    return None
