"""The photographs that a lesson looks at: a person's own, else solar cells, else textures."""

from __future__ import annotations

from pathlib import Path

import torch

from oddlab.data.folders import read_folder
from oddlab.data.samples import Sample, split
from oddlab.data.solar import KINDS, PACKAGE, has_solar, read_solar
from oddlab.data.textures import TEXTURES, texture_folder


def photographs(
    root: str | Path = "", category: str = "", *, random_state: int | torch.Generator | None = 0
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Training, validation and test images: three disjoint sets, drawn by `random_state`.

    Args:
        root: a folder in the layout of MVTec AD, whose test images are halved between validation and test; if empty,
            the images are solar cells, or textures where the package `elpv-dataset` is not installed, which is said.
        category: the folder in `root`; without `root` "mono" (the default) or "poly" for solar cells, or "brick",
            "grass" or "gravel" for textures.

    Raises `ValueError` for a folder or category that is not there.

    >>> train, val, test = photographs(category="gravel")
    >>> len(train), len(val), len(test)
    (160, 50, 50)
    """
    if not root and category not in TEXTURES:
        if category not in ("", *KINDS):
            raise ValueError(f"category: expected one of {', '.join((*KINDS, *TEXTURES))}, got {category!r}")
        if has_solar():
            return read_solar(category or "mono", random_state=random_state)
        print(f"{PACKAGE}, the photographs of solar cells, is not installed: windows of a photograph of bricks instead")
        category = "brick"
    train, test = read_folder(root or texture_folder(), category or None)
    return (train, *split(test, 0.5, random_state))
