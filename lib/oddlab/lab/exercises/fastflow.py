"""Exercises of the lesson about FastFlow."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


def heat_by(energy: Callable = lambda z: 0.5 * z.square().mean(1), factor: float = 1, **how: bool | str) -> Callable:
    """An answer to `heat` with another energy, or enlarged in another way."""
    how = {"mode": "bilinear", **how}

    def heat(zs: list[Tensor], side: int) -> Tensor:
        maps = [F.interpolate(energy(z)[:, None], size=side, **how)[:, 0] for z in zs]
        return factor * torch.stack(maps).mean(dim=0)

    return heat


def keep_when(ends: Callable[[list[float], int, int], bool]) -> Callable:
    """An answer to `epoch_to_keep` that trains until `ends(losses, epoch, best)`."""

    def epoch_to_keep(losses: list[float], patience: int) -> int:
        best = 0
        for epoch, value in enumerate(losses):
            if value < losses[best]:
                best = epoch
            if ends(losses, epoch - patience, best):
                break
        return best

    return epoch_to_keep


def end_of_training(losses: list[float], patience: int) -> int:
    """The epoch with which the training ends."""
    best = 0
    for epoch, value in enumerate(losses):
        if value < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch
    return len(losses) - 1


epoch_to_keep = Exercise(
    keep_when(lambda losses, limit, best: best <= limit),
    cases=[
        ([5.0, 4.0, 3.0, 3.5, 3.2, 2.0, 1.5, 4.0], 2),
        ([5.0, 4.0, 3.0, 3.1, 3.2, 2.9, 3.0, 3.1, 3.2, 2.0, 2.1, 2.2, 2.3, 2.4, 1.0], 3),
        ([3.0, 2.0, 2.5, 1.0], 5),
        ([4.0, 3.0, 3.0, 3.0, 2.0], 2),
    ],
    mistakes={
        "that is the epoch with which the training ends: keep the flow of the lowest loss before it": end_of_training,
        "you look at losses of epochs that the training never reaches": lambda losses, patience: min(
            range(len(losses)), key=losses.__getitem__
        ),
        "it ends as soon as the lowest loss is `patience` epochs old, and not one epoch later": keep_when(
            lambda losses, limit, best: best < limit
        ),
        "it ends one epoch too early: the lowest loss must be `patience` epochs old": keep_when(
            lambda losses, limit, best: best <= limit + 1
        ),
    },
)
"""`epoch_to_keep(losses, patience)`: the epoch of the lowest validation loss when the training has ended."""

heat = Exercise(
    heat_by(),
    cases=[([random(2, 3, 8, 8), random(2, 5, 4, 4)], 16)],
    mistakes={
        "interpolate wants a dimension of channels, which is to go again": lambda *case: heat_by()(*case)[:, None],
        "it is twice as large: take half the squares, and the mean of the layers": heat_by(factor=2),
        "it is four times as large: take half the squares, and the mean of the layers": heat_by(factor=4),
        "you add up the channels: take their mean": heat_by(lambda z: 0.5 * z.square().sum(1)),
        "you average before you square, and + and - cancel": heat_by(lambda z: 0.5 * z.mean(1).square()),
        "that is a root: the energy is half the mean square": heat_by(lambda z: z.square().mean(1).sqrt()),
        "you enlarge in steps: use mode='bilinear'": heat_by(mode="nearest"),
        "align_corners=True pulls the map outwards: leave it False": heat_by(align_corners=True),
    },
)
"""`heat(zs, side)`: maps (N, side, side): energies of every z (N, C, H, W), enlarged, mean of the layers."""
