"""An image file as people see it: upright, in colours or greys between 0 and 1, in the size that is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes of more than 8 bits."""

ORIENTATION = 0x0112
"""The number by which EXIF says how the camera was held."""

SAMPLE_FORMAT, PHOTOMETRIC = 339, 262
"""The numbers by which a TIFF says whether its integers have a sign, and whether 0 is white."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_said: set[str] = set()


def say_once(what: str, message: str) -> None:
    """Warn with `message`, unless this process has warned of `what` already."""
    if what not in _said:
        _said.add(what)
        warnings.warn(message, stacklevel=2)


class Fit(NamedTuple):
    """Where an image of `width` x `height` pixels goes in a square of `side`: the box that it fills."""

    left: int
    top: int
    width: int
    height: int


def fit_into(size: tuple[int, int], side: int, keep_shape: bool) -> Fit:
    """The whole square, or with `keep_shape` the largest box of the shape of `size` (width, height), in the middle.

    >>> fit_into((300, 100), 60, keep_shape=True)
    Fit(left=0, top=20, width=60, height=20)
    """
    if not keep_shape:
        return Fit(0, 0, side, side)
    width, height = (max(1, round(side * length / max(size))) for length in size)
    return Fit((side - width) // 2, (side - height) // 2, width, height)


def open_upright(path: str | Path, name: str = "image") -> Image.Image:
    """The image in the file `path`, decoded, and turned as its EXIF orientation says.

    Of several pages it is the first, which is said once. Raises `ValueError` that begins with `name` and names the
    file if it is not there, is empty, broken or cut off, is no image, or is too large.
    """
    try:
        # From an open file: Pillow 13 leaves a TIFF lying that it maps into memory by its name.
        with open(path, "rb") as stream, Image.open(stream) as file:
            pages = getattr(file, "n_frames", 1)
            if pages > 1 and file.format != "MPO":  # a telephone's photograph with a second, smaller one in it
                say_once("pages", f"{name}: {path} has {pages} pages, of which the first is read; so of all such files")
            file.load()
            turn = TURNS.get(file.getexif().get(ORIENTATION))
            image = file.copy() if turn is None else file.transpose(turn)
            image.format = file.format
            if file.format == "TIFF":  # which Pillow forgets with the copy, and heeds for 8 bits alone
                image.info["unsigned"] = file.tag_v2.get(SAMPLE_FORMAT, (1,))[0] == 1
                image.info["white is 0"] = file.tag_v2.get(PHOTOMETRIC) == 0
            return image
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name}: expected at most {2 * Image.MAX_IMAGE_PIXELS:,} pixels, and {path} has more; if the file can be "
            f"trusted, set PIL.Image.MAX_IMAGE_PIXELS to half of its number of pixels ({error})"
        ) from error
    except FileNotFoundError as error:
        raise ValueError(f"{name}: expected an image file at {path}, and there is none") from error
    except UnidentifiedImageError as error:
        what = "is empty" if Path(path).stat().st_size == 0 else "is none that Pillow can read"
        raise ValueError(f"{name}: expected an image file at {path}, and it {what}") from error
    except Exception as error:  # whatever a decoder raises: OSError, SyntaxError, struct.error and others
        raise ValueError(f"{name}: expected an image file at {path}, and it does not open: {error}") from error


def is_transparent(image: Image.Image) -> bool:
    """Whether some pixels may be transparent."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def over(image: Image.Image, colour: str) -> Image.Image:
    """`image` in RGB, with `colour` behind where it is transparent."""
    if is_transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, colour), image)
    return image.convert("RGB")


def visible(image: Image.Image, path: str | Path) -> Image.Image:
    """`image` as RGB of 8 bits on white or, if it has more bits, as grey values of floating point in 0 .. 1.

    16 bits are divided by 65,535; floating point is taken as it is within 0 .. 1. Everything else (32-bit integers,
    other floating point) is scaled by the smallest and largest value of the file. Each is said once. Where a TIFF
    says that 0 is white, grey values are turned round.
    """
    if image.mode not in DEEP_MODES:
        return over(image, "white")
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "I" and image.info.get("unsigned"):
        values = values % 2**32
    if not np.isfinite(values).all():
        raise ValueError(f"image: expected finite values in {path}, got NaN or infinity")
    low, high = float(values.min()), float(values.max())
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format != "TIFF")
    if is_16_bit:
        say_once(
            "16 bits",
            f"image: {path} has 16 bits and is divided by 65,535 (its largest value is {high:,.0f}), as all such files",
        )
        low, high = 0.0, 65535.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    else:
        say_once(
            "own range",
            f"image: the values of {path}, {low:g} to {high:g}, are brought to 0 .. 1 by this range of its own, as "
            "those "
            "of all such files; one file's brightness cannot be compared with another's",
        )
    if image.info.get("white is 0"):
        values = low + high - values
    return Image.fromarray(((values - low) / ((high - low) or 1.0)).astype(np.float32))


def read_image(path: str | Path, side: int, keep_shape: bool = False) -> tuple[Tensor, tuple[int, int]]:
    """The image in the file `path` as (3, side, side) float32 in [0, 1], and its own (width, height) in pixels.

    It is stretched to the square or, with `keep_shape`, padded to it with black.
    """
    image = visible(open_upright(path), path)
    box = fit_into(image.size, side, keep_shape)
    small = image.resize((box.width, box.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float32)
    pixels = pixels / 255 if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    square = np.zeros((side, side, 3), dtype=np.float32)
    square[box.top : box.top + box.height, box.left : box.left + box.width] = pixels
    return torch.from_numpy(square).permute(2, 0, 1).contiguous(), image.size
