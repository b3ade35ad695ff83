"""Exercises of the lesson about Householder reflections."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.flow.householder import compact_wy
from oddlab.lab.exercises.exercise import Exercise

X, V = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
U, T = compact_wy(V)


def moved(x: Tensor, v: Tensor, factor: float | Tensor) -> Tensor:
    """Each row of x less (x v) v times a factor."""
    return x - factor * (x @ v)[:, None] * v


def grown(U: Tensor, T: Tensor, u: Tensor, column: Tensor | None = None, diagonal: float = 2.0) -> Tensor:
    """The new T, or with another column and diagonal entry than the right ones."""
    larger = torch.nn.functional.pad(T, (0, 1, 0, 1))
    larger[:-1, -1] = -2 * T @ (U @ u) if column is None else column
    larger[-1, -1] = diagonal
    return larger


mirror = Exercise(
    lambda x, v: moved(x, v, 2 / (v @ v)),
    cases=[(X, V[0]), (V[:, :3], 2 * X[0, :3])],
    mistakes={
        "that puts the points on the mirror: go as far again behind it": lambda x, v: moved(x, v, 1 / (v @ v)),
        "that takes v to be of length 1: divide by v @ v": lambda x, v: moved(x, v, 2),
        "there are two of v, so divide by v @ v and not by its root": lambda x, v: moved(x, v, 2 / v.norm()),
        "that is the negative: what lies in the mirror should stay": lambda x, v: -moved(x, v, 2 / (v @ v)),
    },
)
"""`mirror(x, v)`: each row of x (N, C) reflected at v (C,), a vector of any length."""

grow = Exercise(
    grown,
    cases=[(U[:3], T[:3, :3], U[3]), (U[:2], T[:2, :2], U[2])],
    mistakes={
        "that is its transpose: the new column is on the right, and the new row is 0": lambda *case: grown(*case).T,
        "the T that was there should stay as it is, in the upper left": lambda *case: grown(*case).roll((1, 1), (0, 1)),
        "that multiplies from the left: the new row should be 0": lambda U, T, u: grown(U, T.T, u).T,
        "the new diagonal entry is the 2 of I - 2 u u'": lambda U, T, u: grown(U, T, u, diagonal=1.0),
        "the new column is not 0: two small changes make a third": lambda U, T, u: grown(U, T, u, 0 * T[0]),
        "the new column has the wrong sign: T is taken off": lambda U, T, u: grown(U, T, u, 2 * T @ U @ u),
        "the new column lacks the 2 of I - 2 u u'": lambda U, T, u: grown(U, T, u, -T @ U @ u),
        "the new column lacks T: U' T U meets u as T (U u)": lambda U, T, u: grown(U, T, u, -2 * U @ u),
    },
)
"""`grow(U, T, u)`: the T (k + 1, k + 1) of (I - U' T U) (I - 2 u u'), for U (k, C), T (k, k), and a u of length 1."""
