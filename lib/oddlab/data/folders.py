"""Folders in the layout of MVTec AD, as people really have them."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter, defaultdict
from pathlib import Path

from oddlab.data.files import folders_in, images_in, is_image
from oddlab.data.samples import Sample

MASK_NAMES = ("{}_mask", "{}", "{}-mask", "{}.mask", "{}_gt", "{}_label", "{}_ground_truth", "mask_{}")
"""What the mask of an image may be called, by the image's name without its ending; the first that is there counts."""


def read_folder(root: str | Path, category: str | None = None) -> tuple[list[Sample], list[Sample]]:
    """Training and test images of a folder in the layout of MVTec AD.

    ```
    root/[category/]train/good/*.png
    root/[category/]test/good/*.png        test/<kind of defect>/*.png
    root/[category/]ground_truth/<kind of defect>/<stem>_mask.png     (may be missing, for some kinds or for all)
    ```

    Images may lie in folders below these, and have any ending in `IMAGE_ENDINGS`; so may masks, which may also be
    called as `MASK_NAMES` says. "Good" counts as "good". Hidden files and folders are no data.

    Raises `ValueError` for a folder that is not there, holds no images, or whose masks are missing for some images of
    a kind or cannot be told apart.

    >>> from oddlab.data import texture_folder
    >>> train, test = read_folder(texture_folder(), "gravel")
    >>> train[0].defect, train[0].label, sorted({sample.defect for sample in test})[:3]
    ('good', 0, ['cut_and_paste', 'good', 'hole'])
    """
    base = _base(Path(root).expanduser(), category or None)
    train = [Sample(image) for folder in _good_folders(base / "train") for image in images_in(folder)]
    kinds = folders_in(base / "test")
    if loose := [path.name for path in (base / "test").iterdir() if is_image(path.name)]:
        raise ValueError(
            f"root: expected the images of {base / 'test'} in folders named by their kind, got {sorted(loose)[0]}"
        )
    if not kinds:
        raise ValueError(f"root: expected folders of test images in {base / 'test'}, and there are none")
    masks = {_name(folder): folder for folder in folders_in(base / "ground_truth")}
    unused = [folder.name for name, folder in masks.items() if name not in {_name(kind) for kind in kinds}]
    loose = [path.name for path in (base / "ground_truth").glob("*") if is_image(path.name)]
    if unused or loose:
        warnings.warn(
            f"root: expected the masks in {base / 'ground_truth'} in folders called as the kinds of defect, "
            f"{[kind.name for kind in kinds if not _is_good(kind)]}; not used: {[*unused, *loose][:5]}",
            stacklevel=2,
        )
    test = []
    for kind in kinds:
        images = images_in(kind)
        if _is_good(kind):
            test += [Sample(image) for image in images]
        elif _name(kind) in masks:
            found = find_masks(images, kind, masks[_name(kind)])
            test += [Sample(image, kind.name, mask) for image, mask in zip(images, found)]
        else:
            test += [Sample(image, kind.name) for image in images]
    return train, test


def _base(root: Path, category: str | None) -> Path:
    """The folder that holds `train` and `test`."""
    if not root.is_dir():
        raise ValueError(f"root: expected a folder {root}, and there is none")
    base = root / category if category else root
    if (base / "train").is_dir() and (base / "test").is_dir():
        return base
    categories = [folder.name for folder in folders_in(root) if (folder / "train").is_dir()]
    if base.is_dir() and (category or not categories):
        for part in ("train", "test"):
            if not (base / part).is_dir():
                what = "folders of test images in" if part == "test" else "good images in a folder"
                raise ValueError(f"root: expected {what} {base / part}, and there is none")
    if categories:
        raise ValueError(f"category: expected one of {categories} in {root}, got {category!r}")
    raise ValueError(f"category: expected None, since {root} holds no folders of categories, got {category!r}")


def _name(folder: Path) -> str:
    """By which a kind finds its masks, whatever the case and however the system composes accents."""
    return unicodedata.normalize("NFC", folder.name).casefold()


def _is_good(folder: Path) -> bool:
    return folder.name.casefold() == "good"


def _good_folders(train: Path) -> list[Path]:
    found = [folder for folder in folders_in(train) if _is_good(folder)]
    if not found:
        names = [folder.name for folder in folders_in(train)]
        raise ValueError(f"root: expected a folder {train / 'good'}, and there is none among {names}")
    return found


def find_masks(images: list[Path], image_folder: Path, mask_folder: Path) -> list[Path]:
    """The mask of each of `images`, in `mask_folder` under the same sub-folder as in `image_folder`, or at its top.

    Raises `ValueError` for an image without a mask, with two, or with the same stem as another image.
    """
    by_place: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for mask in images_in(mask_folder):
        by_place[mask.parent.relative_to(mask_folder), mask.stem].append(mask)
    places = [(image.parent.relative_to(image_folder), image.stem) for image in images]
    times = Counter(places)
    found = []
    for image, (place, stem) in zip(images, places):
        if times[place, stem] > 1:
            raise ValueError(
                f"root: expected one image {image.with_suffix('')} that a mask can belong to, got several endings"
            )
        wanted = [(folder, name.format(stem)) for folder in dict.fromkeys([place, Path()]) for name in MASK_NAMES]
        of_image = next((by_place[key] for key in wanted if key in by_place), [])
        if len(of_image) != 1:
            got = f"{of_image[0].name} and {of_image[1].name}" if of_image else "none"
            expected = mask_folder / place / f"{stem}_mask.png"
            raise ValueError(f"root: expected the mask of {image} at {expected} (or another ending), got {got}")
        found += of_image
    return found
