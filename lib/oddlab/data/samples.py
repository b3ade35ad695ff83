"""Images with what is known of them, and how a set of them is split."""

from __future__ import annotations

import math
import random
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
    defects = taken = 0
    for kind in sorted({sample.defect for sample in samples}):
        of_kind = [sample for sample in samples if sample.defect == kind]
        if kind == "good":
            n_first = round(share * len(of_kind))
        else:
            defects += len(of_kind)
            n_first = math.floor(share * defects + 0.5) - taken
            taken += n_first
        drawn = set(random.Random(f"{seed} {kind}").sample(range(len(of_kind)), n_first))
        for i, sample in enumerate(of_kind):
            (first if i in drawn else second).append(sample)
    return first, second
