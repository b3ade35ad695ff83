"""An exercise that is declared: what is right, on which cases, and what each mistake gives."""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Exercise:
    """A function is asked for. It is called on all cases, and what it returns is compared with what is right.

    Args:
        right: a right answer; the names of its arguments are those of the learner's function.
        cases: the arguments of each call, in a tuple. Each call gets copies.
        mistakes: wrong answers by what is wrong with them, the end of a sentence; the first that gives what the
            learner's function gives, on all cases, is the reason that they read.
        accept: where more than one result is right, whether `got` is: `accept(got, *case)`.
        prepare: what is done to a result before it is compared, such as `sorted` where the order is free.
        rtol, atol: how near a number has to be.

    Numbers may come as lists, arrays or tensors of any dtype, or alone; several things as a tuple or list of them.
    Calling the exercise with an answer returns None if it is right, else why it is wrong.

    >>> double = Exercise(lambda x: 2 * x, cases=[(1.0,), (3.0,)], mistakes={"that is the square": lambda x: x**2})
    >>> double(lambda x: x + x), double(lambda x: x * x)
    (None, 'that is the square')
    >>> double(lambda x: x + 1)
    'for x = 3 it should be 6, and yours is 4'
    """

    right: Callable[..., Any]
    cases: Sequence[tuple]
    mistakes: Mapping[str, Callable[..., Any]]
    accept: Callable[..., bool] | None = None
    prepare: Callable[[Any], Any] = lambda result: result
    rtol: float = 1e-4
    atol: float = 1e-6

    def __call__(self, answer: Any) -> str | None:
        if not callable(answer):
            return f"it should be a function, and yours is of type {type(answer).__name__}"
        try:
            found = [self._result(answer, case) for case in self.cases]
        except _NoNumbers as error:
            return str(error)
        for got, case in zip(found, self.cases):
            right = self._result(self.right, case)
            if not self._is_right(got, right, case):
                return self._mistake(found) or self._difference(got, right, case)
        return None

    def _result(self, function: Callable[..., Any], case: tuple) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            parts = as_arrays(_plain(function(*copy.deepcopy(case))))
            try:
                return as_arrays(self.prepare(parts[0] if len(parts) == 1 else parts))
            except (TypeError, ValueError):  # such as one number, which cannot be sorted: its shape is told
                return parts

    def _is_right(self, got: list[np.ndarray], right: list[np.ndarray], case: tuple) -> bool:
        if self.accept is not None and _shapes(got) == _shapes(right):
            return bool(self.accept(got[0] if len(got) == 1 else got, *copy.deepcopy(case)))
        return self._same(got, right)

    def _same(self, got: list[np.ndarray], other: list[np.ndarray]) -> bool:
        return _shapes(got) == _shapes(other) and all(
            np.allclose(a, b, rtol=self.rtol, atol=self.atol, equal_nan=True) for a, b in zip(got, other)
        )

    def _mistake(self, found: list[list[np.ndarray]]) -> str | None:
        for reason, wrong in self.mistakes.items():
            if all(self._same(got, self._result(wrong, case)) for got, case in zip(found, self.cases)):
                return reason
        return None

    def _difference(self, got: list[np.ndarray], right: list[np.ndarray], case: tuple) -> str:
        if _shapes(got) != _shapes(right):
            return f"{self._for(case)} it should have {_shapes(right)}, and yours has {_shapes(got)}"
        for a, b in zip(got, right):
            differs = np.atleast_1d(~np.isclose(a, b, rtol=self.rtol, atol=self.atol, equal_nan=True))
            if differs.any():
                place = tuple(int(i) for i in np.argwhere(differs)[0])
                where = "it" if a.ndim == 0 else f"the number at {place if a.ndim > 1 else place[0]}"
                right_one, own = (f"{np.atleast_1d(part)[place]:.4g}" for part in (b, a))
                verb = "could" if self.accept else "should"
                return f"{self._for(case)} {where} {verb} be {right_one}, and yours is {own}"
        return f"{self._for(case)} it is not what is asked for"

    def _for(self, case: tuple) -> str:
        """The case in words: its short arguments by their names."""
        names = list(inspect.signature(self.right).parameters)
        shown = [f"{name} = {text}" for name, value in zip(names, case) if (text := _short(value))]
        return f"for {', '.join(shown)}" if shown else "for one of the examples"


class _NoNumbers(Exception):
    """A result that is no array, as the end of a sentence."""


def checker(function: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """Mark a function of a module as what checks the exercise of its name."""
    function.is_checker = True
    return function


def _plain(value: Any) -> Any:
    """`value` with its tensors as arrays."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value)) if isinstance(value, tuple) else list(map(_plain, value))
    return value


def as_arrays(value: Any) -> list[np.ndarray]:
    """`value` as arrays of floating point: one, or of a tuple or list of things of different shapes several.

    >>> [part.shape for part in as_arrays((3, [1.0, 2.0]))]
    [(), (2,)]
    """
    if isinstance(value, (types.GeneratorType, map, filter, zip)):
        raise _NoNumbers("it returns a generator, which can be read only once: return a list, an array or a tensor")
    try:
        return [_floats(value)]
    except (TypeError, ValueError):
        if not isinstance(value, (list, tuple)):
            raise _NoNumbers(f"it should return numbers, and yours returns {_kind(value)}") from None
    try:
        return [_floats(part) for part in value]
    except (TypeError, ValueError):
        raise _NoNumbers(
            f"it should return numbers, and yours returns a {type(value).__name__} of something else"
        ) from None


def _floats(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError
    return array.astype(np.float64)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"something of type {type(value).__name__}"


def _shapes(parts: list[np.ndarray]) -> str:
    shapes = [str(part.shape) for part in parts]
    if len(shapes) > 1:
        return f"{len(shapes)} parts of the shapes {', '.join(shapes)}"
    return f"the shape {shapes[0]}" if parts[0].ndim else "the shape () of a single number"


def _short(value: Any) -> str:
    if isinstance(value, (bool, str)):
        return repr(value)
    if isinstance(value, (int, float)):
        return f"{value:g}"
    row = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1
    if row and len(value) <= 6 and all(isinstance(v, (int, float)) or getattr(v, "ndim", 1) == 0 for v in value):
        return "[" + ", ".join(f"{float(entry):g}" for entry in value) + "]"
    return ""
