import numpy as np
import pytest
import torch

from oddlab.flow.householder import householder_matrix, reflect
from oddlab.lab import check


def along(x, v):
    return (x @ v)[:, None] * v


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, v: x - 2 * along(x, v) / (v @ v),
        lambda x, v: x @ householder_matrix(v[None]),
        lambda x, v: reflect(x, v[None]).requires_grad_(),
        lambda x, v: (x - 2 * along(x, v) / (v @ v)).numpy(),
    ],
)
def test_every_mirror_is_right(answer):
    assert str(check("householder.mirror", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x, v: x - along(x, v) / (v @ v), "puts the points on the mirror"),
        (lambda x, v: x - 2 * along(x, v), "divide by v @ v"),
        (lambda x, v: x - 2 * along(x, v) / v.norm(), "not by its root"),
        (lambda x, v: 2 * along(x, v) / (v @ v) - x, "that is the negative"),
        (lambda x, v: x, "the first point should go to"),
        (lambda x, v: householder_matrix(v[None]), "yours is (3, 3)"),
        (lambda x, v: "mirrored", "no array of numbers"),
    ],
)
def test_wrong_mirrors_are_told_why(answer, reason):
    result = check("householder.mirror", answer)
    assert result.verdict == "wrong" and reason in result.reason


def grown(U, T, u, column=None, diagonal=2.0):
    made = torch.zeros(len(T) + 1, len(T) + 1, dtype=T.dtype)
    made[:-1, :-1], made[-1, -1] = T, diagonal
    made[:-1, -1] = -2 * T @ (U @ u) if column is None else column
    return made


def put(made, row, column, value):
    made[row, column] = value
    return made


def test_a_grown_t_is_right():
    assert str(check("householder.grow", grown)) == "right"
    assert check("householder.grow", lambda U, T, u: np.asarray(grown(U, T, u)))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda U, T, u: grown(U, T, u).T, "its transpose"),
        (lambda U, T, u: grown(U, 2 * T, u), "should stay as it is"),
        (lambda U, T, u: put(grown(U, T, u), 3, 0, 1.0), "the new row"),
        (lambda U, T, u: grown(U, T, u, diagonal=0.5), "the 2 of I - 2 u u', and yours is 0.5"),
        (lambda U, T, u: grown(U, T, u, column=0.0), "the new column is 0"),
        (lambda U, T, u: grown(U, T, u, column=2 * T @ (U @ u)), "wrong sign"),
        (lambda U, T, u: grown(U, T, u, column=-T @ (U @ u)), "lacks the 2"),
        (lambda U, T, u: grown(U, T, u, column=-2 * U @ u), "lacks T"),
        (lambda U, T, u: grown(U, T, u, column=7.0), "yours is [7.0, 7.0, 7.0]"),
        (lambda U, T, u: T, "yours is (3, 3)"),
        (lambda U, T, u: {}, "no array of numbers"),
    ],
)
def test_wrong_ways_to_grow_are_told_why(answer, reason):
    result = check("householder.grow", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["householder.mirror", "householder.grow"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
