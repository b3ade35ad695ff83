"""Exercises of the lesson about SSPCAB, a block that predicts what it does not see."""

from __future__ import annotations

from oddlab.lab.exercises.exercise import Exercise


def both_sides(*far: int) -> list[int]:
    return [*(-o for o in far), *far]


offsets = Exercise(
    lambda kernel_size, dilation: both_sides(*range(dilation + 1, dilation + kernel_size + 1)),
    cases=[(1, 1), (2, 1), (1, 3), (3, 2)],
    mistakes={
        "0 is among them: then the layer sees what it is to predict": lambda k, d: [*range(-d - k, d + k + 1)],
        "that looks one way only: there are sub-kernels on both sides": lambda k, d: [*range(d + 1, d + k + 1)],
        "d positions lie between centre and sub-kernel: begin at d + 1": lambda k, d: both_sides(*range(d, d + k)),
        "that is an ordinary convolution, with d between the taps: here those of one sub-kernel are neighbours": (
            lambda k, d: both_sides(*range(d, d * k + 1, d))
        ),
    },
    prepare=sorted,
)
"""`offsets(kernel_size, dilation)`: how far, in rows or columns, from the hidden position the layer looks."""

smallest_dilation = Exercise(
    lambda width: max(1, width - 1),
    cases=[(1,), (2,), (6,), (9,)],
    mistakes={
        "for a width of 1 that is 0: d is 1 at least": lambda width: width - 1,
        "half the width hides the defect from its middle, but not from its edge": lambda width: max(1, width // 2),
        "that hides the defect from its middle, but not from its edge": lambda width: max(1, (width - 1) // 2),
        "that is one more than it needs: the nearest tap is at distance d + 1": lambda width: width,
    },
)
"""`smallest_dilation(width)`: the least d for which no position of a square defect sees another one of it."""
