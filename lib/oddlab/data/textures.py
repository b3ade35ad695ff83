"""The default images: windows of real photographs of textures, and defects drawn on some of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from oddlab.data.defects import DEFECTS, Grey, draw_defect
from oddlab.data.home import find_data

TEXTURES = ("brick", "grass", "gravel")
"""Photographs of 512 x 512 grey pixels that come with scikit-image (public domain, from CC0 Textures)."""

SIDE = 128
TRAIN, TEST_GOOD, TEST_PER_DEFECT = 160, 40, 12
TRAIN_COLUMNS = 304
"""Training windows lie left of this column and test windows right of it: no pixel is in both."""


def texture_folder() -> Path:
    """The folder of the default images, in the layout of MVTec AD; written the first time it is asked for.

    `brick/`, `grass/` and `gravel/` each hold 160 good images to train on, and to test 40 good ones and 12 of each of
    five defects, with masks: scratch, hole, stain, cut_and_paste and missing. All are 128 x 128 windows, and always
    the same ones.

    >>> sorted(p.name for p in texture_folder().iterdir())
    ['brick', 'grass', 'gravel']
    """
    folder = find_data("textures")
    if not folder.is_dir():
        # Written under another name and renamed whole: a run that is interrupted, or a second one, sees all or nothing.
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".textures-"))
        except OSError as error:
            raise ValueError(
                f"ODDLAB_DATA: expected a folder that can be written, got {folder.parent} ({error})"
            ) from error
        try:
            for i, name in enumerate(TEXTURES):
                _write(name, made / name, np.random.default_rng(i))
            made.chmod(0o755)
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # else a second run was quicker
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def _write(name: str, folder: Path, rng: np.random.Generator) -> None:
    import skimage.data  # of `oddlab[lab]`, and wanted only where they are not there yet

    photograph = getattr(skimage.data, name)()
    left, right = photograph[:, :TRAIN_COLUMNS], photograph[:, TRAIN_COLUMNS:]

    def save(pixels: Grey, *parts: str) -> None:
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for i in range(TRAIN):
        save(_window(left, rng), "train", "good", f"{i:03d}.png")
    for i in range(TEST_GOOD):
        save(_window(right, rng), "test", "good", f"{i:03d}.png")
    for defect in DEFECTS:
        for i in range(TEST_PER_DEFECT):
            damaged, mask = draw_defect(defect, _window(right, rng), rng)
            save(damaged, "test", defect, f"{i:03d}.png")
            save(mask.astype(np.uint8) * 255, "ground_truth", defect, f"{i:03d}_mask.png")


def _window(photograph: Grey, rng: np.random.Generator) -> Grey:
    top, left = (int(rng.integers(0, size - SIDE + 1)) for size in photograph.shape)
    return photograph[top : top + SIDE, left : left + SIDE].copy()
