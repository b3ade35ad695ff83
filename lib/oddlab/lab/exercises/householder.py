"""Checks of the exercises in notebook 04."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from oddlab.flow.householder import compact_wy, reflect


def mirror(answer: Callable) -> str | None:
    """`answer(x, v)` is each row of x (N, C) reflected at v (C,), a vector of any length."""
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((5, 3), (3,)))
    v = 2 * v
    got = _tensor(answer(x.clone(), v.clone()))
    if got is None or got.shape != x.shape:
        return f"5 points of 3 numbers stay 5 points of 3 numbers, (5, 3), and yours is {_what(got)}"
    along = (x @ v)[:, None] * v
    guesses = {
        "that puts the points on the mirror: go as far again behind it, by twice the projection": x - along / (v @ v),
        "that takes v to be of length 1: divide by v @ v": x - 2 * along,
        "v is divided by once: there are two of it, so divide by v @ v and not by its root": x - 2 * along / v.norm(),
        "that is the negative: what lies in the mirror should stay, and v should turn round": 2 * along / (v @ v) - x,
    }
    for reason, guess in guesses.items():
        if _same(got, guess):
            return reason
    right = reflect(x, v[None])
    if not _same(got, right):
        return f"the first point should go to {_rounded(right[0])}, and yours goes to {_rounded(got[0])}"
    return None


def grow(answer: Callable) -> str | None:
    """`answer(U, T, u)` is the T (k + 1, k + 1) of (I - U' T U) (I - 2 u u'), for U (k, C), T (k, k), and a unit u."""
    v = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    U, right = compact_wy(v)
    T = compact_wy(v[:3])[1]
    got = _tensor(answer(U[:3].clone(), T.clone(), U[3].clone()))
    if got is None or got.shape != (4, 4):
        return f"3 reflections and one more need a T of (4, 4), and yours is {_what(got)}"
    if _same(got, right):
        return None
    if _same(got, right.T):
        return "that is its transpose: the new column is on the right, and the new row below is 0"
    if not _same(got[:3, :3], T):
        return "the T that was there should stay as it is, in the upper left"
    if not _same(got[3, :3], torch.zeros(3)):
        return "the new row, on the left of the new diagonal entry, should be 0"
    if not _same(got[3, 3], right[3, 3]):
        return f"the new diagonal entry is the 2 of I - 2 u u', and yours is {got[3, 3]:.4g}"
    column, plain = got[:3, 3], U[:3] @ U[3]
    guesses = {
        "the new column is 0: the product of two small changes is a change too": torch.zeros(3),
        "the new column has the wrong sign: minus times minus is plus, and T is taken off": 2 * T @ plain,
        "the new column lacks the 2 of I - 2 u u'": -T @ plain,
        "the new column lacks T: U' T U meets u as T (U u)": -2 * plain,
    }
    for reason, guess in guesses.items():
        if _same(column, guess):
            return reason
    return f"the new column should be {_rounded(right[:3, 3])}, and yours is {_rounded(column)}"


def _tensor(values: Any) -> Tensor | None:
    try:
        return torch.as_tensor(values, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return None


def _what(got: Tensor | None) -> str:
    return "no array of numbers" if got is None else str(tuple(got.shape))


def _same(got: Tensor, right: Tensor) -> bool:
    return torch.allclose(got, right.to(got.dtype), rtol=1e-6, atol=1e-6)


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
