"""Exercises of the lesson about FastFlow."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from oddlab.lab.exercises.exercise import Exercise

_generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


def loss_with(half: float = 0.5, constant: float = 0.5 * math.log(2 * math.pi), sign: float = -1) -> Callable:
    """An answer to `loss` with other factors of its terms; `sign` is that of log_det."""
    return lambda z, log_det: half * z.square().mean() + constant + sign * log_det.mean() / z[0].numel()


def heat_by(energy: Callable = lambda z: 0.5 * z.square().mean(1), factor: float = 1, **how: bool | str) -> Callable:
    """An answer to `heat` with another energy, or enlarged in another way."""
    how = {"mode": "bilinear", **how}

    def heat(zs: list[Tensor], side: int) -> Tensor:
        maps = [F.interpolate(energy(z)[:, None], size=side, **how)[:, 0] for z in zs]
        return factor * torch.stack(maps).mean(dim=0)

    return heat


loss = Exercise(
    loss_with(),
    cases=[(random(5, 3, 4, 2), torch.tensor([8.5, 9.5, 6.5, 8.0, 9.0]))],
    mistakes={
        "log_det is missing: a flow that shrinks everything to 0 would have the least loss": loss_with(sign=0),
        "the sign of log_det is wrong: what stretches makes the likelihood larger": loss_with(sign=1),
        "that is the log-likelihood, which is to be large: put a minus before it": lambda *case: -loss_with()(*case),
        "the constant of the normal density, 0.5 log 2 pi for each dimension, is missing": loss_with(constant=0),
        "the half before the squares is missing": loss_with(half=1),
        "log_det is of all C H W dimensions: divide it by their number too": loss_with(sign=-24),
        "that is of a whole map: divide it by the C H W dimensions": lambda *case: 24 * loss_with()(*case),
        "that is of all maps: take the mean, over maps and dimensions": lambda *case: 5 * 24 * loss_with()(*case),
        "that is in bits: take the natural logarithm": lambda *case: loss_with()(*case) / math.log(2),
    },
)
"""`loss(z, log_det)`: minus the mean log-likelihood per dimension, for z (N, C, H, W) and log_det (N,)."""

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
