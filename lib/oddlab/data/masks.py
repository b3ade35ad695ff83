"""Files that mark the defective pixels of an image, whatever colours they mark them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oddlab.data.reading import DEEP_MODES, fit_into, open_upright, over, say_once

LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF")
"""Formats that do not keep every value as it was painted."""

COLOURS = 16
"""A mask has few colours: its commonest ones fill more than half of it, which a photograph's do not."""


def read_mask(path: str | Path) -> np.ndarray:
    """The defective pixels (H, W) bool that the file `path` marks: all that are not black or transparent.

    So it may hold 0 and 1, 0 and 255, colours, or the numbers of kinds. In a JPEG, whose values are not exact, they
    are those above half of the largest. Raises `ValueError` for a file that is no mask: a photograph, one without
    black, or a JPEG in which only dark values differ.
    """
    image = open_upright(path, "mask")
    if image.mode in DEEP_MODES:
        return np.asarray(image) != 0
    pixels = np.asarray(over(image, "black"))
    level = pixels.max(axis=2)
    if image.format in LOSSY:
        marked = _marked_in_lossy(level, path)
    else:
        marked = level > 0
        if marked.all() and (pixels != pixels[0, 0]).any():
            raise ValueError(f"mask: expected black where nothing is wrong, and no pixel of {path} is black")
        if _is_photograph(pixels):
            raise ValueError(f"mask: expected a few colours on black, and {path} is a photograph or a drawing on one")
    corners = marked[[0, 0, -1, -1], [0, -1, 0, -1]]
    if corners.all() and not marked.all() and marked.mean() > 0.5:
        say_once(
            "inverted", f"mask: {path} marks all but the middle of the image; black has to be where nothing is wrong"
        )
    return marked


def _marked_in_lossy(level: np.ndarray, path: str | Path) -> np.ndarray:
    peak = int(level.max())
    if peak == 0:
        return np.zeros(level.shape, dtype=bool)
    between = ((level > peak / 4) & (level < 3 * peak / 4)).mean()
    if peak < 64 or between > 0.1 or level.min() > peak / 4:
        raise ValueError(
            f"mask: expected black and bright pixels in {path}, which is stored with loss, got values up to {peak} "
            f"with "
            f"{between:.0%} of the pixels in between; store masks as PNG"
        )
    return level > peak / 2


def _is_photograph(pixels: np.ndarray) -> bool:
    if (pixels == pixels[..., :1]).all():
        counts = np.bincount(pixels[..., 0].ravel())
    else:
        packed = pixels.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)
        counts = np.unique(packed, return_counts=True)[1]
    return np.sort(counts)[-COLOURS:].sum() < 0.5 * counts.sum()


def resize_mask(mask: np.ndarray, side: int, keep_shape: bool = False) -> Tensor:
    """`mask` (H, W) bool as (side, side) uint8 of 0 and 1, placed as `read_image` places the image.

    A pixel is 1 if any of the pixels that it stands for is, so that no defect is lost or broken, however thin.

    >>> resize_mask(np.eye(6, dtype=bool), 3).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    height, width = mask.shape
    box = fit_into((width, height), side, keep_shape)
    rows = np.arange(box.height) * height // box.height
    columns = np.arange(box.width) * width // box.width
    small = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)
    square = np.zeros((side, side), dtype=np.uint8)
    square[box.top : box.top + box.height, box.left : box.left + box.width] = small
    return torch.from_numpy(square)
