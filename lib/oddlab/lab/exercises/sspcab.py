"""Checks of the exercises in notebook 16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def offsets(answer: Callable) -> str | None:
    """`answer(kernel_size, dilation)` lists how far, in rows or columns, from the hidden position the layer looks."""
    for side, d in ((1, 1), (2, 1), (1, 3), (3, 2)):
        far = range(d + 1, d + side + 1)
        right = [*(-o for o in reversed(far)), *far]
        got = _ints(answer(side, d))
        if got is None:
            return "it should return whole numbers, as in [-2, 2]"
        got = sorted(got)
        given = f"for kernel_size {side} and dilation {d}"
        if 0 in got:
            return f"{given} yours has 0 among them: then the layer sees what it is to predict, at least in part"
        if got == list(far):
            return f"{given} yours looks one way only: there are sub-kernels on both sides"
        if got == [-o + 1 for o in reversed(far)] + [o - 1 for o in far]:
            return f"{given} yours begin at d: with d positions between the centre and a sub-kernel they begin at d + 1"
        if side > 1 and d > 1 and got == [-o * d for o in range(side, 0, -1)] + [o * d for o in range(1, side + 1)]:
            return "in an ordinary convolution d is between the taps: here those of one sub-kernel are neighbours"
        if got != right:
            return f"{given} it should be {right}, and yours is {got}"
    return None


def smallest_dilation(answer: Callable) -> str | None:
    """`answer(width)` is the least d for which no position of a square defect sees another one of it."""
    for width in (1, 2, 3, 6, 9):
        right, got = max(1, width - 1), _ints([answer(width)])
        if got is None:
            return "d is a whole number"
        (d,) = got
        if d < 1:
            return f"for a width of {width} yours is {d}: d is 1 at least"
        if d != right and d in (width // 2, (width - 1) // 2):
            return f"with {d} for a width of {width} the middle does not see the defect, but what lies at its edge does"
        if d == right + 1:
            return f"{d} for a width of {width} is one more than it needs: the nearest tap is at distance d + 1"
        if d != right:
            return f"for a width of {width} it should be {right}, and yours is {d}"
    return None


def _ints(values: Any) -> list[int] | None:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return [int(n) for n in numbers] if all(n.is_integer() for n in numbers) else None
