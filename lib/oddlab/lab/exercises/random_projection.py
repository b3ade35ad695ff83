"""Exercises of the lesson about random projections."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise


def exponent(eps: float) -> float:
    return eps**2 / 2 - eps**3 / 3


def enough(n: int, eps: float, failure: float) -> float:
    """The k, not rounded, at which the chances of all pairs to fail add up to `failure`."""
    return 2 * math.log(n * (n - 1) / failure) / exponent(eps)


def into_buckets(x: Tensor, bucket: Tensor, sign: Tensor, k: int) -> Tensor:
    return x.new_zeros(len(x), k).index_add_(1, bucket, x * sign)


def only_the_last(x: Tensor, bucket: Tensor, sign: Tensor, k: int) -> Tensor:
    sums = x.new_zeros(len(x), k)
    for j, place in enumerate(bucket.tolist()):
        sums[:, place] = sign[j] * x[:, j]
    return sums


def some_points(n: int, d: int, k: int, seed: int) -> tuple[Tensor, Tensor, Tensor, int]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.randint(k, (d,), generator=generator), 2 * torch.randint(2, (d,), generator=generator) - 1, k


sums_for = Exercise(
    lambda n, eps, failure: math.ceil(enough(n, eps, failure)),
    cases=[(1000, 0.5, 0.01), (20_000, 0.9, 0.05), (300, 0.3, 0.001)],
    mistakes={
        "that is the formula's k, which promises a chance of 1/n only": lambda n, eps, failure: math.ceil(
            4 * math.log(n) / exponent(eps)
        ),
        "one pair is kept with that chance: add up those of all n (n - 1) / 2 pairs": lambda n, eps, failure: math.ceil(
            2 * math.log(2 / failure) / exponent(eps)
        ),
        "a pair may fail on two sides, too long and too short: the factor 2 is missing": lambda n, eps, failure: (
            math.ceil(2 * math.log(n * (n - 1) / 2 / failure) / exponent(eps))
        ),
        "that is a little too few for the promise: round up": lambda *case: math.floor(enough(*case)),
        "k must be a whole number: round up": enough,
        "there `failure` is the chance of success: the proof speaks of the chance to fail": lambda n, eps, failure: (
            math.ceil(enough(n, eps, 1 - failure))
        ),
    },
    rtol=0,
    atol=1e-3,
)
"""`sums_for(n, eps, failure)`: the smallest k at which all pairs are kept but for a chance of `failure`."""

hashed = Exercise(
    into_buckets,
    cases=[some_points(4, 30, 5, seed=0), some_points(3, 50, 8, seed=1)],
    mistakes={
        "the signs are missing: without them the products do not cancel": lambda x, bucket, sign, k: into_buckets(
            x, bucket, torch.ones_like(sign), k
        ),
        "each sum has only the last of its features: add them up (`y[:, bucket] += ...` does not)": only_the_last,
        "no scaling is needed: each feature takes part once, with weight 1": lambda x, bucket, sign, k: (
            into_buckets(x, bucket, sign, k) / k**0.5
        ),
        "those are means: a random sum adds up": lambda x, bucket, sign, k: (
            into_buckets(x, bucket, sign, k) / bucket.bincount(minlength=k).clamp(min=1)
        ),
        "the points belong in the rows: one row for each of them": lambda *case: into_buckets(*case).T,
    },
)
"""`hashed(x, bucket, sign, k)`: sums (N, k) in which each feature of x (N, D) takes part once, with its sign."""
