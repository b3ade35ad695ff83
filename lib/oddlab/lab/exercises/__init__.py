"""Exercises that check themselves. Each lesson's are in one module here, with the stem of its part.

Most are declared as an `Exercise`. A few that look at more than a result (hooks, buffers) are functions, which take the
answer and return None if it is right, else why it is wrong, as the end of a sentence ("your distances are squared").
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oddlab.lab.exercises.exercise import Exercise


@dataclass(repr=False)
class Result:
    """The answer to an answer: `verdict` is "not attempted", "wrong" or "right", `reason` why it is wrong."""

    exercise: str
    verdict: str
    reason: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "right"

    def __str__(self) -> str:
        if self.verdict == "not attempted":
            return "not attempted yet: replace the ... with your answer and run the cell again"
        return f"wrong because {self.reason}" if self.verdict == "wrong" else "right"

    __repr__ = __str__


def check(exercise: str, answer: Any) -> Result:
    """Check a learner's answer, a value or a function, to an exercise named "stem.name".

    What checks it is `name` in the module `oddlab.lab.exercises.stem`, an `Exercise` or a function. An answer that is
    `...`, or returns it, is not attempted; a function that raises or returns None when it is called is wrong.

    Raises `ValueError` for an unknown exercise, with those there are.
    """
    checker = find_checker(exercise)
    if answer is ...:
        return Result(exercise, "not attempted")
    watched = Watched(answer) if callable(answer) and not inspect.isclass(answer) else None
    try:
        reason = checker(answer if watched is None else watched)
    except _Verdict as verdict:
        return Result(exercise, *verdict.args)
    except Exception as error:
        # What the answer did not raise is a mistake in the checker; what a class raises cannot be told from it.
        if not inspect.isclass(answer) and (watched is None or error not in watched.raised):
            raise
        reason = f"it raised {type(error).__name__}: {error}"
    return Result(exercise, "right") if reason is None else Result(exercise, "wrong", " ".join(reason.split()))


class _Verdict(BaseException):
    """Ends a checker that calls an unfinished answer; no `except Exception` there holds it up."""


class Watched:
    """A learner's function, with the exceptions that come out of it noted."""

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.raised: list[Exception] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            returned = self.__wrapped__(*args, **kwargs)
        except Exception as error:
            self.raised.append(error)
            raise
        if returned is ...:
            raise _Verdict("not attempted")
        if returned is None:
            raise _Verdict("wrong", "it returns nothing: its last line should be a `return`")
        return returned

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["__wrapped__"], name)


def find_checker(exercise: str) -> Callable[[Any], str | None]:
    """What checks an exercise. Raises `ValueError` if there is none, with those there are."""
    stem, _, name = str(exercise).partition(".")
    if checker := list_checkers(stem).get(name):
        return checker
    known = [f"{stem}.{name}" for stem in stems() for name in list_checkers(stem)]
    raise ValueError(f"exercise: expected one of {', '.join(known)}; got {exercise!r}")


def list_checkers(stem: str) -> dict[str, Callable[[Any], str | None]]:
    """What checks the exercises of one lesson, by name; nothing for an unknown stem."""
    if stem not in stems():
        return {}
    module = importlib.import_module(f"{__name__}.{stem}")
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Exercise) or getattr(value, "is_checker", False)
    }


def stems() -> list[str]:
    """The lessons that have exercises."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "exercise"]
