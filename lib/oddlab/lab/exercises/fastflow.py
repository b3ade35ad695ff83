"""Checks of the exercises in notebook 23."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F


def loss(answer: Callable) -> str | None:
    """`answer(z, log_det)` is minus the mean log-likelihood per dimension, for z (N, C, H, W) and log_det (N,)."""
    g = torch.Generator().manual_seed(0)
    z, log_det = torch.randn(5, 3, 4, 2, generator=g).double(), 8 + torch.randn(5, generator=g).double()
    size, constant = z[0].numel(), 0.5 * math.log(2 * math.pi)
    energy, change = 0.5 * z.square().mean(), log_det.mean() / size
    right = energy + constant - change
    got = torch.as_tensor(answer(z.clone(), log_det.clone())).double()
    if got.numel() != 1:
        return f"the loss of a batch is one number, and yours has the shape {tuple(got.shape)}"
    reasons = {
        energy + constant: "log_det is missing: a flow that shrinks everything to 0 would have the least loss",
        energy + constant + change: "the sign of log_det is wrong: what stretches makes the likelihood larger",
        -right: "that is the log-likelihood, which is to be as large as it can: put a minus before it",
        energy - change: "the constant of the normal density, 0.5 log 2 pi for each dimension, is missing",
        2 * energy + constant - change: "the half before the squares is missing",
        energy + constant - log_det.mean(): "log_det is of all C H W dimensions: divide it by their number too",
        size * right: "that is the loss of a whole map: divide it by the C H W dimensions",
        len(z) * size * right: "that is the loss of all maps together: take the mean, over maps and dimensions",
        right / math.log(2): "that is in bits: take the natural logarithm",
    }
    for wrong, reason in reasons.items():
        if torch.isclose(got, wrong, rtol=1e-4):
            return reason
    return None if torch.isclose(got, right, rtol=1e-4) else f"it should be {right:.4f}, and yours is {got.item():.4f}"


def heat(answer: Callable) -> str | None:
    """`answer(zs, side)` are maps (N, side, side): energies of every z (N, C, H, W), enlarged, mean of the layers."""
    g = torch.Generator().manual_seed(0)
    zs, side = [torch.randn(2, *shape, generator=g).double() for shape in ((3, 8, 8), (5, 4, 4))], 16
    got = torch.as_tensor(answer([z.clone() for z in zs], side)).double()
    if got.shape == (2, 1, side, side):
        return "it has the shape (2, 1, 16, 16): interpolate wants a dimension of channels, which is to go again"
    if got.shape != (2, side, side):
        return f"two images have maps of the shape (2, 16, 16), and yours have {tuple(got.shape)}"

    def combined(energy: Callable = lambda z: 0.5 * z.square().mean(dim=1), **how: bool | str | None) -> torch.Tensor:
        how = {"mode": "bilinear", "align_corners": False, **how}
        return torch.stack([F.interpolate(energy(z)[:, None], size=side, **how)[:, 0] for z in zs]).mean(dim=0)

    right = combined()
    reasons = [
        (2 * right, "it is twice as large: the energy has a half before the squares, and the layers are averaged"),
        (4 * right, "it is four times as large: the half before the squares, and the mean of the layers"),
        (combined(lambda z: 0.5 * z.square().sum(dim=1)), "you add up the channels: take their mean"),
        (combined(lambda z: 0.5 * z.mean(dim=1).square()), "you average before you square, and + and - cancel"),
        (combined(lambda z: z.square().mean(dim=1).sqrt()), "that is a root: the energy is half the mean square"),
        (combined(mode="nearest", align_corners=None), "you enlarge in steps: use mode='bilinear'"),
        (combined(align_corners=True), "align_corners=True pulls the map outwards: leave it False"),
    ]
    for wrong, reason in reasons:
        if torch.allclose(got, wrong, rtol=1e-4):
            return reason
    if torch.allclose(got, right, rtol=1e-4):
        return None
    return f"the first place of the first image should be {right[0, 0, 0]:.4f}, and yours is {got[0, 0, 0]:.4f}"
