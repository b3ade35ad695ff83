"""Exercises of the lesson about one's own images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_NEW = torch.rand(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
# Copies of a copy: rows 3 and 6 are row 0 up to 0.01 and row 4 is row 1; row 7 is near row 2 in all numbers but one.
IMAGES = torch.cat([_NEW[:3], _NEW[:1] + 0.01, _NEW[1:2], _NEW[3:4], _NEW[:1] - 0.01, _NEW[2:3], _NEW[4:]])
IMAGES[7, 0] += 0.03


def is_same(images: Tensor, tolerance: float) -> Tensor:
    """Whether the numbers of two images differ by at most `tolerance`, for all pairs (N, N)."""
    return (images[:, None] - images[None]).abs().amax(dim=2) <= tolerance


smallest_validation = Exercise(
    lambda rate: math.ceil(1 / rate - 1e-9) - 1,
    cases=[(0.05,), (0.01,), (0.03,), (0.2,)],
    mistakes={
        "with one image fewer the new one still has a chance of at most `rate` to be the largest": lambda rate: (
            math.ceil(1 / rate - 1e-9)
        ),
        "round up: with the number rounded down the chance is larger than `rate`": lambda rate: (
            math.floor(1 / rate + 1e-9) - 1
        ),
        "a number of images is whole: round up": lambda rate: 1 / rate - 1,
        "that is the chance for `rate` images; the other way round": lambda rate: 1 / (rate + 1),
    },
    rtol=0,
)
"""`smallest_validation(rate)`: how many good images it takes to promise a false alarm rate."""

first_of_each = Exercise(
    lambda images, tolerance: is_same(images, tolerance).double().argmax(dim=1),
    cases=[(IMAGES, 0.015), (IMAGES, 0.05), (IMAGES[2:], 0.0)],
    mistakes={
        "that is the last image that is the same: return the first": lambda images, tolerance: (
            len(images) - 1 - is_same(images, tolerance).flip(1).double().argmax(dim=1)
        ),
        "that says whether an image is the first of its kind: return which is the first": lambda images, tolerance: (
            is_same(images, tolerance).double().argmax(dim=1) == torch.arange(len(images))
        ),
        "those are the numbers of the images to keep: return one number for every image": lambda images, tolerance: (
            is_same(images, tolerance).double().argmax(dim=1).unique()
        ),
        "the mean difference hides a small part that differs: compare the largest": lambda images, tolerance: (
            ((images[:, None] - images[None]).abs().mean(dim=2) <= tolerance).double().argmax(dim=1)
        ),
        "a copy that was saved again differs a little: allow for `tolerance`": lambda images, tolerance: (
            is_same(images, 0.0).double().argmax(dim=1)
        ),
        "each image is the same as itself, so the diagonal counts": lambda images, tolerance: (
            (is_same(images, tolerance) & ~torch.eye(len(images), dtype=torch.bool)).double().argmax(dim=1)
        ),
    },
)
"""`first_of_each(images, tolerance)`: for every image (N, D) the number of the first one that is the same."""
