"""Lists of images with their labels and masks, read from folders; the folders are not changed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from oddlab.seeding import seed_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


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


def images_in(folder: Path) -> list[Path]:
    """The image files of `folder`, by name. Raises `ValueError` if there is no such folder or no image in it."""
    if not folder.is_dir():
        raise ValueError(f"root: expected a folder {folder}, and there is none")
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not images:
        raise ValueError(f"root: expected images ({', '.join(SUFFIXES)}) in {folder}, and there are none")
    return images


def read_folder(root: str | Path, category: str | None = None) -> tuple[list[Sample], list[Sample]]:
    """Training and test images of a folder in the layout of MVTec AD.

    ```
    root/[category/]train/good/*.png
    root/[category/]test/good/*.png        test/<kind of defect>/*.png
    root/[category/]ground_truth/<kind of defect>/<stem>_mask.png     (or <stem>.png; may be missing altogether)
    ```

    Raises `ValueError` for a folder that is not there, holds no images, or lacks the mask of one image whose kind of
    defect has a folder of masks.

    >>> from oddlab.data import texture_folder
    >>> train, test = read_folder(texture_folder(), "gravel")
    >>> train[0].defect, train[0].label, sorted({sample.defect for sample in test})[:3]
    ('good', 0, ['cut_and_paste', 'good', 'hole'])
    """
    root = Path(root).expanduser()
    if category and not (root / category).is_dir():
        found = sorted(p.name for p in root.iterdir() if (p / "train").is_dir()) if root.is_dir() else []
        raise ValueError(f"category: expected one of {found} in {root}, got {category!r}")
    base = root / category if category else root
    train = [Sample(image) for image in images_in(base / "train" / "good")]
    test = [
        Sample(image, kind.name, _mask_of(image, base / "ground_truth" / kind.name))
        for kind in sorted((base / "test").glob("*/"))
        if kind.is_dir()
        for image in images_in(kind)
    ]
    if not test:
        raise ValueError(f"root: expected folders of test images in {base / 'test'}, and there are none")
    return train, test


def _mask_of(image: Path, folder: Path) -> Path | None:
    if image.parent.name == "good" or not folder.is_dir():
        return None
    masks = [folder / f"{image.stem}{end}.png" for end in ("_mask", "")]
    for mask in masks:
        if mask.is_file():
            return mask
    raise ValueError(f"root: expected the mask of {image} at {masks[0]}, and there is none")


def read_magnetic_tiles(
    root: str | Path, *, train_share: float = 0.8, random_state: int | torch.Generator | None = 0
) -> tuple[list[Sample], list[Sample]]:
    """Training and test images of the magnetic tile set (Huang et al. 2020) in its own layout.

    `root` holds MT_Free, MT_Blowhole, MT_Break, MT_Crack, MT_Fray and MT_Uneven, each with Imgs/*.jpg and the mask of
    each image as a png of the same stem. `train_share` of MT_Free, drawn by `random_state`, is to train; the rest and all
    defects are to test.
    """
    root = Path(root).expanduser()
    kinds = sorted(p for p in root.glob("MT_*") if p.is_dir())
    if not any(kind.name == "MT_Free" for kind in kinds):
        raise ValueError(f"root: expected the folders MT_Free, MT_Blowhole and so on in {root}, got {[k.name for k in kinds]}")
    if not 0 < train_share < 1:
        raise ValueError(f"train_share: expected a number between 0 and 1, got {train_share!r}")
    good, bad = [], []
    for kind in kinds:
        for image in images_in(kind / "Imgs"):
            if image.suffix == ".png":  # a mask
                continue
            if kind.name == "MT_Free":
                good.append(Sample(image))
            else:
                bad.append(Sample(image, kind.name.removeprefix("MT_").lower(), image.with_suffix(".png")))
    train, rest = split(good, train_share, random_state)
    return train, rest + bad


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
