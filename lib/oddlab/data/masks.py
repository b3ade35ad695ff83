"""Files that mark the defective pixels of an image, whatever colours they mark them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from oddlab.data.reading import DEEP_MODES, fit_into, is_transparent, open_upright, over

LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF")
"""Formats that do not keep every value as it was painted."""

COLOURS = 16
"""A mask has few colours: its commonest ones fill more than half of it, which a photograph's do not."""


def read_mask(path: str | Path) -> np.ndarray:
    """The defective pixels (H, W) bool that the file `path` marks: those that differ from a black or transparent rest.

    A mask of few values (0 and 1, 0 and 255, colours, numbers of kinds) marks all that is not black. One of many, whose
    edges are soft or that was stored with loss, marks what is above half of its largest value. Raises `ValueError` for
    a file that is no mask: a photograph, one without black, one that marks all but the middle and so is inverted, or a
    JPEG in which only dark values differ.
    """
    image = open_upright(path, "mask")
    pixels = _values(image, path)
    level = pixels.max(axis=2)
    peak = float(level.max())
    if peak == 0:
        return np.zeros(level.shape, dtype=bool)
    lossy = image.format in LOSSY
    if not lossy and (level > 0).all() and (pixels != pixels[0, 0]).any():
        raise ValueError(f"mask: expected black where nothing is wrong, and no pixel of {path} is black")
    if not lossy and _is_photograph(pixels):
        raise ValueError(f"mask: expected a few colours on black, and {path} is a photograph or a drawing on one")
    soft = len(np.unique(level)) > COLOURS
    if lossy:
        _check_lossy(level, peak, path)
    marked = level > peak / 2 if lossy or soft else level > 0
    corners = marked[[0, 0, -1, -1], [0, -1, 0, -1]]
    if corners.all() and not marked.all() and marked.mean() > 0.5:
        raise ValueError(
            f"mask: expected black where nothing is wrong, and {path} marks all but the middle of the image: invert it"
        )
    return marked


def _values(image: Image.Image, path: str | Path) -> np.ndarray:
    """The mask's values (H, W, channels), 0 where it is black or transparent."""
    if image.mode in DEEP_MODES:
        values = np.asarray(image, dtype=np.float64)[..., None]
        if not np.isfinite(values).all() or values.min() < 0:
            raise ValueError(
                f"mask: expected finite values of at least 0 in {path}, got {values.min():g} to {values.max():g}"
            )
        return values
    pixels = np.asarray(over(image, "black"))
    if not pixels.any() and is_transparent(image):  # painted in black on nothing
        return np.asarray(image.convert("RGBA"))[..., 3:]
    return pixels


def _check_lossy(level: np.ndarray, peak: float, path: str | Path) -> None:
    bright = level > peak / 4
    between = (bright & (level < 3 * peak / 4)).sum() / bright.sum()
    if peak < 64 or between > 0.4 or bright.all():
        raise ValueError(
            f"mask: expected black and one bright value in {path}, which is stored with loss, got values up to "
            f"{peak:g} with {between:.0%} of what is marked in between; store masks as PNG"
        )


def _is_photograph(pixels: np.ndarray) -> bool:
    if (pixels == pixels[..., :1]).all():
        counts = np.unique(pixels[..., 0], return_counts=True)[1]
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
