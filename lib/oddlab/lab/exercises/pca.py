"""Checks of the exercises in notebook 07."""

from __future__ import annotations

from collections.abc import Callable

import torch


def rebuild(answer: Callable) -> str | None:
    """`answer(x, mean, components)` is what the components (k, D) rebuild of samples x (N, D)."""
    g = torch.Generator().manual_seed(0)
    x, mean = torch.randn(5, 6, generator=g), torch.randn(6, generator=g)
    components = torch.linalg.qr(torch.randn(6, 2, generator=g)).Q.T
    coordinates = (x - mean) @ components.T
    right = coordinates @ components + mean
    got = torch.as_tensor(answer(x.clone(), mean.clone(), components.clone()))
    mistakes = {
        "those are the coordinates: take them back to the samples' space": coordinates,
        "the mean is missing on the way back: add it again": coordinates @ components,
        "the mean must be subtracted first": x @ components.T @ components,
        "the mean is added but was never subtracted": x @ components.T @ components + mean,
        "that is what the components miss, not what they rebuild": x - right,
    }
    for reason, wrong in mistakes.items():
        if got.shape == wrong.shape and torch.allclose(got, wrong, atol=1e-4):
            return reason
    if got.shape != right.shape:
        return f"the rebuilt samples should have the shape {tuple(x.shape)} of x, and yours have {tuple(got.shape)}"
    if not torch.allclose(got, right, atol=1e-4):
        return f"the first number should be {right[0, 0]:.3f}, and yours is {got[0, 0]:.3f}"
    return None


def needed(answer: Callable) -> str | None:
    """`answer(variances, share)` is how many of the components, by falling variance, hold more than that share."""
    variances, shares = torch.tensor([40.0, 24.0, 16.0, 12.0, 8.0]), (0.3, 0.5, 0.7, 0.95)
    sums = variances.cumsum(0)
    right = [int((sums / sums[-1] <= share).sum()) + 1 for share in shares]
    got = [int(torch.as_tensor(answer(variances.clone(), share))) for share in shares]
    mistakes = {
        "they hold less than the share: it takes one more": [k - 1 for k in right],
        "that is how many still lie beyond the share: count from the largest": [len(variances) - k + 1 for k in right],
        "a share is of the sum of all variances: divide by it": [int((sums <= share).sum()) + 1 for share in shares],
    }
    for reason, wrong in mistakes.items():
        if got == wrong:
            return reason
    if got != right:
        return f"for shares of {shares} of {variances.tolist()} it should be {right}, and yours is {got}"
    return None
