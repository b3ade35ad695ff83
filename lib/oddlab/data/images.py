"""Samples and folders as tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from oddlab.data.files import images_in
from oddlab.data.masks import read_mask, resize_mask
from oddlab.data.reading import fit_into, open_upright, read_image, visible
from oddlab.data.samples import Sample


class ImageDataset(Dataset):
    """Samples as dictionaries: `image` (3, S, S) float32 in [0, 1], `label` 0 or 1, `mask` (S, S) uint8 of 0 and 1,
    `image_path`, and `defect`, the kind. `mask` is left out if an image with a defect in `samples` has none.

    S is `image_size`. Images are stretched to the square or, with `keep_shape`, padded to it with black; a pixel of a
    mask is 1 if it stands for any defective one. Files are read as `read_image` and `read_mask` say, each when its
    item is asked for. One that does not open, and a mask of another size than its image, raise `ValueError`.
    """

    def __init__(self, samples: Sequence[Sample], image_size: int, *, keep_shape: bool = False) -> None:
        self.samples, self.image_size, self.keep_shape = list(samples), image_size, keep_shape
        without = sorted({sample.defect for sample in self.samples if sample.label and not sample.mask})
        self.has_masks = not without
        if without and any(sample.mask for sample in self.samples):
            warnings.warn(f"samples: no masks are used, since there are none of {', '.join(without)}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        sample = self.samples[index]
        image, size = read_image(sample.image, self.image_size, self.keep_shape)
        item = {
            "image": image,
            "label": torch.tensor(sample.label),
            "image_path": str(sample.image),
            "defect": sample.defect,
        }
        if self.has_masks:
            item["mask"] = self._mask(sample, size)
        return item

    def _mask(self, sample: Sample, size: tuple[int, int]) -> torch.Tensor:
        if sample.mask is None:
            return torch.zeros(self.image_size, self.image_size, dtype=torch.uint8)
        mask = read_mask(sample.mask)
        if mask.shape != size[::-1]:
            raise ValueError(
                f"mask: expected {sample.mask} to be {size[0]} x {size[1]} pixels as its image "
                f"{sample.image}, got {mask.shape[1]} x {mask.shape[0]}"
            )
        return resize_mask(mask, self.image_size, self.keep_shape)


class ImageFolder(Dataset):
    """Images of which nothing is known, as dictionaries: `image` (3, S, S) float32 in [0, 1], `image_path`, `size`
    (height, width) of the file, and `box` (top, left, height, width), where in the square the image is.

    Args:
        root: a folder, whose images in any depth are taken; or an image file; or several of them in a list.
        image_size, keep_shape: as for `ImageDataset`.

    Files are listed at once and read when their item is asked for. Raises `ValueError` for a folder without images.
    """

    def __init__(self, root: str | Path | Iterable[str | Path], image_size: int, *, keep_shape: bool = False) -> None:
        if isinstance(root, (str, Path)):
            root = Path(root).expanduser().absolute()
            self.paths = [root] if root.is_file() else images_in(root)
        else:
            self.paths = [Path(path).expanduser() for path in root]
            if not self.paths:
                raise ValueError("root: expected at least one image file, got an empty list")
        self.image_size, self.keep_shape = image_size, keep_shape

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        image, size = read_image(self.paths[index], self.image_size, self.keep_shape)
        box = fit_into(size, self.image_size, self.keep_shape)
        return {
            "image": image,
            "image_path": str(self.paths[index]),
            "size": torch.tensor(size[::-1]),
            "box": torch.tensor([box.top, box.left, box.height, box.width]),
        }


def without_broken(paths: Sequence[Path], name: str = "images") -> list[int]:
    """Which of the files `paths` can be read, by their index; the others are named in a warning.

    Every file is read for it, so it takes as long as a pass over them.
    """
    readable, broken = [], []
    for i, path in enumerate(paths):
        try:
            visible(open_upright(path), path)
            readable.append(i)
        except ValueError as error:
            broken.append(str(error))
    if broken:
        warnings.warn(f"{name}: {len(broken)} of {len(paths)} files are left out:\n" + "\n".join(broken), stacklevel=2)
    return readable
