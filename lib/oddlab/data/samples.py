"""Images with what is known of them, and how a set of them is split."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from oddlab.seeding import seed_of


@dataclass(frozen=True)
class Sample:
    """One image: `defect` is "good" or the kind of defect, `mask` the file of its pixel mask if there is one."""

    image: Path
    defect: str = "good"
    mask: Path | None = None

    @property
    def label(self) -> int:
        """0 for a good image, 1 for one with a defect."""
        return int(self.defect != "good")


def split(
    samples: Sequence[Sample], share: float, random_state: int | torch.Generator | None
) -> tuple[list[Sample], list[Sample]]:
    """Two disjoint parts of `samples`, the first with `share` of the good ones and of every kind of defect.

    What rounding takes from one kind of defect it gives to the next, so that both parts get defects, however few images
    a kind has. `random_state` decides which images they are: an int, a `torch.Generator` or None.

    >>> a, b = split([Sample(Path(f"{i}.png")) for i in range(10)], share=0.8, random_state=0)
    >>> len(a), len(b)
    (8, 2)
    """
    seed = seed_of(random_state)
    first, second = [], []
    for kind, n_first in _shares(samples, share).items():
        of_kind = [sample for sample in samples if sample.defect == kind]
        drawn = set(random.Random(f"{seed} {kind}").sample(range(len(of_kind)), n_first))
        for i, sample in enumerate(of_kind):
            (first if i in drawn else second).append(sample)
    return first, second


def split_groups(
    groups: Sequence[Sequence[Sample]], share: float, random_state: int | torch.Generator | None
) -> tuple[list[Sequence[Sample]], list[Sequence[Sample]]]:
    """Two disjoint parts of `groups`, of which each group is in one: the first with `share` of all samples, as `split`.

    `random_state` decides the order in which groups are taken for the first part. A group is passed over if the part
    would get more than its share of the good samples or of a kind of defect; so it gets fewer only where no group is
    small enough to fill it.

    >>> groups = [[Sample(Path(f"{i}.png"))] * size for i, size in enumerate([3, 1, 1, 1])]
    >>> a, b = split_groups(groups, share=0.5, random_state=0)
    >>> sum(len(group) for group in a), sum(len(group) for group in b)
    (3, 3)
    """
    room = Counter(_shares([sample for group in groups for sample in group], share))
    first, second = [], []
    for group in random.Random(f"{seed_of(random_state)} groups").sample(list(groups), len(groups)):
        needed = Counter(sample.defect for sample in group)
        if needed <= room:
            room -= needed
            first.append(group)
        else:
            second.append(group)
    return first, second


def _shares(samples: Sequence[Sample], share: float) -> dict[str, int]:
    """How many of each kind the first part gets, by the name of the kind, in order."""
    shares = {}
    defects = taken = 0
    for kind, n in sorted(Counter(sample.defect for sample in samples).items()):
        if kind == "good":
            shares[kind] = round(share * n)
        else:
            defects += n
            shares[kind] = math.floor(share * defects + 0.5) - taken
            taken += shares[kind]
    return shares
