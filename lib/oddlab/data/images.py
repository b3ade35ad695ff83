"""Samples as tensors, and the data module that hands them out in batches."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from oddlab.data.samples import Sample, split
from oddlab.seeding import seed_of


class ImageDataset(Dataset):
    """Samples as dictionaries: `image` (3, S, S) float32 in [0, 1], `label` 0 or 1, `mask` (S, S) uint8 of 0 and 1,
    `image_path`, and `defect`, the kind. `mask` is left out if an image with a defect in `samples` has none.

    An image that does not open, and a mask of another size than its image, raise `ValueError`.
    """

    def __init__(self, samples: Sequence[Sample], image_size: int) -> None:
        self.samples, self.image_size = list(samples), image_size
        self.has_masks = all(sample.mask for sample in self.samples if sample.label)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        sample = self.samples[index]
        side = (self.image_size, self.image_size)
        image = _open(sample.image, "RGB")
        pixels = np.asarray(image.resize(side, Image.Resampling.BILINEAR), dtype=np.float32) / 255
        item = {
            "image": torch.from_numpy(pixels).permute(2, 0, 1).contiguous(),
            "label": torch.tensor(sample.label),
            "image_path": str(sample.image),
            "defect": sample.defect,
        }
        if self.has_masks:
            mask = _open(sample.mask, "L") if sample.mask else Image.new("L", image.size)
            if mask.size != image.size:
                raise ValueError(
                    f"mask: expected {sample.mask} to be {image.size[0]} x {image.size[1]} pixels as its image "
                    f"{sample.image}, got {mask.size[0]} x {mask.size[1]}"
                )
            item["mask"] = torch.from_numpy(np.asarray(mask.resize(side, Image.Resampling.NEAREST)) > 127).to(torch.uint8)
        return item


def _open(path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"image: expected an image file at {path}, and it does not open: {error}") from error


class ImageData(pl.LightningDataModule):
    """Batches of good images to fit on, and of good ones and defects to validate and test on.

    Args:
        train, test: samples, as `read_folder` and `read_magnetic_tiles` return them.
        image_size: S, the side in pixels to which all are resized.
        batch_size: images in a batch.
        val_split: the share of the test images, of every kind, that is set apart to validate on: thresholds are chosen
            there and judged on the rest. None validates on all test images, which is right where only measures
            without a threshold are read (AUROC, AUPRO).
        random_state: decides that split and the order of training images, which is new in every epoch and the same for
            any number of processes; an int, a `torch.Generator` or None.
        num_workers: processes that load.

    Raises `ValueError` for a training image that is not good, for no images, and for sizes and shares out of range.

    Example:
        >>> from oddlab.data import read_folder, texture_folder
        >>> data = ImageData(*read_folder(texture_folder(), "gravel"), image_size=64, batch_size=8)
        >>> data.setup("fit")
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch["image"].shape, batch["label"].tolist()
        (torch.Size([8, 3, 64, 64]), [0, 0, 0, 0, 0, 0, 0, 0])
    """

    def __init__(
        self,
        train: Sequence[Sample],
        test: Sequence[Sample],
        *,
        image_size: int = 224,
        batch_size: int = 32,
        val_split: float | None = 0.5,
        random_state: int | torch.Generator | None = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not train or not test:
            raise ValueError(f"train, test: expected samples in both, got {len(train)} and {len(test)}")
        if bad := [sample for sample in train if sample.label]:
            raise ValueError(f"train: expected good images only, got {bad[0].image} ({bad[0].defect})")
        if image_size < 1 or batch_size < 1:
            raise ValueError(f"image_size, batch_size: expected at least 1, got {image_size} and {batch_size}")
        if val_split is not None and not 0 < val_split < 1:
            raise ValueError(f"val_split: expected None or a number between 0 and 1, got {val_split!r}")
        self.seed = seed_of(random_state)
        val, test = (test, test) if val_split is None else split(test, val_split, self.seed)
        if len({sample.label for sample in val}) < 2:
            warnings.warn(f"val_split: validation has no {'defects' if val else 'images'}, out of few test images", stacklevel=2)
        self.train_set, self.val_set, self.test_set = (ImageDataset(s, image_size) for s in (train, val, test))
        self.batch_size, self.num_workers = batch_size, num_workers

    def _loader(self, dataset: ImageDataset, **kwargs) -> DataLoader:
        return DataLoader(dataset, batch_size=self.batch_size, num_workers=self.num_workers, **kwargs)

    def train_dataloader(self) -> DataLoader:
        processes, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return self._loader(self.train_set, sampler=DistributedSampler(self.train_set, processes, rank, seed=self.seed))

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)

    def predict_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)
