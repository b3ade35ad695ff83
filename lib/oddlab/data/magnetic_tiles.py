"""The magnetic tile set: real defects with masks, and the split by which papers compare."""

from __future__ import annotations

from pathlib import Path

import torch

from oddlab.data.files import folders_in, images_in
from oddlab.data.folders import read_folder
from oddlab.data.samples import Sample, split

TRAIN_NAMES = "train_names.txt"
"""The file of the published split's training images, beside the folders of images."""


def read_magnetic_tiles(
    root: str | Path,
    *,
    train_share: float = 0.8,
    random_state: int | torch.Generator | None = 0,
    published_split: bool = False,
) -> tuple[list[Sample], list[Sample]]:
    """Training and test images of the magnetic tile set (Huang et al. 2020).

    `root` is what `oddlab data get tiles` has written, or the set in its own layout: MT_Free, MT_Blowhole, MT_Break,
    MT_Crack, MT_Fray and MT_Uneven, each with the JPEG files in Imgs and the mask of each as a PNG of the same stem.
    `train_share` of the good ones, drawn by `random_state`, is to train; the rest and all defects are to test.

    With `published_split` the training images are the 761 on which DifferNet (Rudolph et al. 2021) and later papers
    have trained, whose names are in `train_names.txt` in `root`.

    Raises `ValueError` for another folder, a share out of range, and names of images that are not there.
    """
    root = Path(root).expanduser()
    if not 0 < train_share < 1:
        raise ValueError(f"train_share: expected a number between 0 and 1, got {train_share!r}")
    good, bad = _own_layout(root) if (root / "MT_Free").is_dir() else _written_layout(root)
    if not published_split:
        train, rest = split(good, train_share, random_state)
        return train, rest + bad
    names = _published_names(root / TRAIN_NAMES)
    train = [sample for sample in good if sample.image.name in names]
    if missing := names - {sample.image.name for sample in train}:
        raise ValueError(
            f"root: expected the {len(names)} images of {TRAIN_NAMES} in {root}, "
            f"{len(missing)} are not there: {min(missing)}"
        )
    return train, [sample for sample in good if sample.image.name not in names] + bad


def _own_layout(root: Path) -> tuple[list[Sample], list[Sample]]:
    good, bad = [], []
    for kind in folders_in(root):
        if not kind.name.startswith("MT_"):
            continue
        for image in images_in(kind / "Imgs"):
            if image.suffix == ".png":  # a mask
                continue
            if kind.name == "MT_Free":
                good.append(Sample(image))
            else:
                bad.append(Sample(image, kind.name.removeprefix("MT_").lower(), image.with_suffix(".png")))
    return good, bad


def _written_layout(root: Path) -> tuple[list[Sample], list[Sample]]:
    if not (root / "train").is_dir():
        found = [folder.name for folder in folders_in(root)]
        raise ValueError(f"root: expected the folders MT_Free, MT_Blowhole and so on in {root}, got {found}")
    train, test = read_folder(root)
    good = sorted(train + [sample for sample in test if not sample.label], key=lambda sample: sample.image.name)
    return good, [sample for sample in test if sample.label]


def _published_names(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except OSError as error:
        raise ValueError(
            f"published_split: expected the names of the training images in {path}, and there is no such file; "
            "`oddlab data get tiles` fetches it with the images"
        ) from error
