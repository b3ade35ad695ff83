"""Exercises of the lesson about Householder reflections."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oddlab.flow.householder import compact_wy
from oddlab.lab.exercises.exercise import Exercise

X, V = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
U, T = compact_wy(V)


def grown(U: Tensor, T: Tensor, u: Tensor, column: Tensor | None = None, diagonal: float = 2.0) -> Tensor:
    """The new T, or with another column and diagonal entry than the right ones."""
    larger = torch.nn.functional.pad(T, (0, 1, 0, 1))
    larger[:-1, -1] = -2 * T @ (U @ u) if column is None else column
    larger[-1, -1] = diagonal
    return larger


A = torch.tensor([3.0, 0.0, 4.0, 0.0], dtype=torch.float64)
B = torch.tensor([0.0, 5.0, 0.0, 0.0], dtype=torch.float64)


def takes_there(v: np.ndarray, a: Tensor, b: Tensor) -> bool:
    """Whether the reflection at `v` takes `a` to `b`: any multiple of a - b does."""
    v, a, b = (np.asarray(vector, dtype=float) for vector in (v, a, b))
    length = v @ v
    return bool(length > 0 and np.allclose(a - 2 * (v @ a) / length * v, b, rtol=1e-4, atol=1e-5))


mirror_between = Exercise(
    lambda a, b: a - b,
    cases=[(A, B), (X[0], X[0].flip(0)), (A[:3], torch.tensor([0.0, -3.0, -4.0], dtype=torch.float64))],
    mistakes={
        "that vector lies in the mirror, and takes a to -b: v is at right angles to the mirror": lambda a, b: a + b,
        "that is the middle of a and b, which lies in the mirror and takes a to -b": lambda a, b: (a + b) / 2,
        "the mirror at right angles to a takes a to -a: b has to come in": lambda a, b: a,
        "the mirror at right angles to b takes b to -b: a has to come in": lambda a, b: b,
        "that is a matrix: the vector v is asked for": lambda a, b: torch.outer(a - b, a - b),
    },
    accept=takes_there,
)
"""`mirror_between(a, b)`: a vector v (D,) whose reflection takes `a` to `b`, which is as long; of any length."""

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
