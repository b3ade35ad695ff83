"""Every exercise: a right answer is right, every mistake is told, and no answer of an odd type ends in a traceback."""

import numpy as np
import pytest
import torch

from oddlab.lab import check
from oddlab.lab.exercises import find_checker, list_checkers, stems
from oddlab.lab.exercises.exercise import Exercise

NAMES = [f"{stem}.{name}" for stem in stems() for name in list_checkers(stem)]
DECLARED = {name: find_checker(name) for name in NAMES if isinstance(find_checker(name), Exercise)}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_right_is_right_and_asked_in_words(name):
    exercise = DECLARED[name]
    assert str(check(name, exercise.right)) == "right"
    assert len(exercise.mistakes) >= 2


@pytest.mark.parametrize(
    ("name", "reason"), [(name, reason) for name, one in DECLARED.items() for reason in one.mistakes]
)
def test_every_mistake_is_told(name, reason):
    result = check(name, DECLARED[name].mistakes[reason])
    assert (result.verdict, result.reason) == ("wrong", reason)


def nested(change):
    """`change` for every array and tensor in what an answer returns."""

    def inside(value):
        if isinstance(value, (tuple, list)):
            return type(value)(map(inside, value))
        return change(value) if isinstance(value, (np.ndarray, torch.Tensor)) else value

    return inside


def as_array(value):
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


SAME = {
    "lists": nested(lambda value: value.tolist()),
    "the other library": nested(
        lambda value: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else as_array(value)
    ),
    "float32": nested(lambda value: value.astype("float32") if isinstance(value, np.ndarray) else value.float()),
    "numpy numbers": lambda value: np.float64(value) if isinstance(value, float) else value,
    "a gradient": nested(lambda value: torch.as_tensor(as_array(value).astype("float64")).requires_grad_()),
}
"""The right result in other clothes."""

ODD = {
    "nothing": lambda value: None,
    "a generator": lambda value: (entry for entry in [1, 2]),
    "text": lambda value: "three",
    "a dictionary": lambda value: {"answer": value},
    "an object": lambda value: object(),
    "a list of nothing": lambda value: [None, None],
    "an empty list": lambda value: [],
    "another shape": lambda value: np.zeros((2, 3, 4)),
    "a ragged list": lambda value: [[1, 2], [3]],
    "a complex number": lambda value: 1j,
    "not a number": lambda value: float("nan"),
    "a module": lambda value: torch.nn.Identity(),
}


@pytest.mark.parametrize("dress", SAME)
@pytest.mark.parametrize("name", DECLARED)
def test_a_right_result_is_right_as_list_array_or_tensor_of_any_dtype(name, dress):
    right = DECLARED[name].right
    assert str(check(name, lambda *args: SAME[dress](right(*args)))) == "right"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_result_is_wrong_and_no_traceback(name, odd):
    result = check(name, lambda *args, **kwargs: ODD[odd](None))
    assert result.verdict == "wrong" and result.reason


@pytest.mark.parametrize(
    "answer", [None, 3, [1, 2], "three", {"a": 1}, np.ones(3), object(), dict], ids=lambda answer: type(answer).__name__
)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_no_function_is_wrong_and_no_traceback(name, answer):
    assert check(name, answer).verdict == "wrong"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_attempted_is_not_wrong(name):
    assert check(name, ...).verdict == "not attempted"
    if name in DECLARED:
        assert check(name, lambda *args: ...).verdict == "not attempted"


@pytest.mark.parametrize("name", NAMES)
def test_a_function_with_other_arguments_is_told_what_it_raised(name):
    result = check(name, lambda one, two, three, four, five, six, seven: 1)
    assert result.verdict == "wrong" and result.reason


def test_where_a_result_differs_is_said_with_its_case():
    exercise = Exercise(lambda n, x: (n, x + n), cases=[(2, np.array([1.0, 5.0]))], mistakes={})
    assert exercise(lambda n, x: (n, x)) == "for n = 2, x = [1, 5] the number at 0 should be 3, and yours is 1"
    assert exercise(lambda n, x: (3, x)) == "for n = 2, x = [1, 5] it should be 2, and yours is 3"
    assert (
        exercise(lambda n, x: x)
        == "for n = 2, x = [1, 5] it should have 2 parts of the shapes (), (2,), and yours has the shape (2,)"
    )


def test_an_answer_that_changes_its_arguments_spoils_no_other_case():
    exercise = Exercise(lambda x: x.sum(), cases=[(np.ones(2),), (np.ones(2),)], mistakes={})

    def greedy(x):
        total = x.sum()
        x[:] = 0
        return total

    assert exercise(greedy) is None and exercise(greedy) is None
