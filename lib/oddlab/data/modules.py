"""The data modules that hand images to a Trainer in batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from oddlab.checks import check_int
from oddlab.data.images import ImageDataset, ImageFolder, without_broken
from oddlab.data.samples import Sample, split
from oddlab.seeding import seed_of


class _Batches(pl.LightningDataModule):
    """What both data modules share: how their loaders are made."""

    def __init__(self, image_size: int, batch_size: int, num_workers: int, pin_memory: bool) -> None:
        super().__init__()
        self.image_size = check_int("image_size", image_size)
        self.batch_size = check_int("batch_size", batch_size)
        self.num_workers = check_int("num_workers", num_workers, least=0)
        self.pin_memory = pin_memory

    def _loader(self, dataset: Dataset, **kwargs) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            persistent_workers=self.num_workers > 0,
            **kwargs,
        )


class ImageData(_Batches):
    """Batches of good images to fit on, and of good ones and defects to validate and test on.

    Args:
        train, test: samples, as `read_folder` and `read_magnetic_tiles` return them.
        val: samples to validate on, as `read_solar` returns them; None takes them from the test images.
        image_size: S, the side in pixels to which all are resized.
        batch_size: images in a batch.
        val_split: without `val`, the share of the test images, of every kind, that is set apart to validate on:
            thresholds are chosen there and judged on the rest. None validates on all test images, which is right where
            only measures without a threshold are read (AUROC, AUPRO).
        keep_shape: pad images to the square with black instead of stretching them.
        skip_broken: leave out files that do not open, naming them in a warning, instead of raising an error when one
            is reached. All are read once for it.
        random_state: decides that split and the order of training images, which is new in every epoch and the same for
            any number of processes; an int, a `torch.Generator` or None.
        num_workers: processes that load.
        pin_memory: whether batches are put into memory from which a GPU copies faster.

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
        val: Sequence[Sample] | None = None,
        image_size: int = 224,
        batch_size: int = 32,
        val_split: float | None = 0.5,
        keep_shape: bool = False,
        skip_broken: bool = False,
        random_state: int | torch.Generator | None = 0,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(image_size, batch_size, num_workers, pin_memory)
        if val_split is not None and not 0 < val_split < 1:
            raise ValueError(f"val_split: expected None or a number between 0 and 1, got {val_split!r}")
        if skip_broken:
            train, test, val = (samples and _readable(samples) for samples in (train, test, val))
        if not train or not test:
            raise ValueError(f"train, test: expected samples in both, got {len(train)} and {len(test)}")
        if bad := [sample for sample in train if sample.label]:
            raise ValueError(f"train: expected good images only, got {bad[0].image} ({bad[0].defect})")
        if val is not None and not val:
            raise ValueError("val: expected at least one sample, or None to take them from the test images, got none")
        self.seed = seed_of(random_state)
        if val is None:
            val, test = (test, test) if val_split is None else split(test, val_split, self.seed)
            labels = {sample.label for sample in val}
            if len(labels) < 2:
                lacks = "images" if not labels else "defects" if labels == {0} else "good images"
                warnings.warn(f"val_split: validation has no {lacks}, out of few test images", stacklevel=2)
        self.train_set, self.val_set, self.test_set = (
            ImageDataset(samples, self.image_size, keep_shape=keep_shape) for samples in (train, val, test)
        )

        if self.val_set.has_masks != self.test_set.has_masks:  # a threshold of pixels needs both
            self.val_set.has_masks = self.test_set.has_masks = False

    def train_dataloader(self) -> DataLoader:
        processes, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return self._loader(self.train_set, sampler=DistributedSampler(self.train_set, processes, rank, seed=self.seed))

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)

    def predict_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)


def _readable(samples: Sequence[Sample]) -> list[Sample]:
    kept = without_broken([sample.image for sample in samples])
    return [samples[i] for i in kept]


class PredictData(_Batches):
    """Batches of images of which nothing is known, for `Trainer.predict`.

    Args:
        root: a folder, whose images in any depth are taken; or an image file; or several of them in a list.
        image_size, batch_size, keep_shape, skip_broken, num_workers, pin_memory: as for `ImageData`; `skipped` lists
            the files that were left out.

    Raises `ValueError` for a folder without images.

    Example:
        >>> from oddlab.data import texture_folder
        >>> data = PredictData(texture_folder() / "gravel" / "test", image_size=64)
        >>> next(iter(data.predict_dataloader()))["image"].shape
        torch.Size([32, 3, 64, 64])
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        *,
        image_size: int = 224,
        batch_size: int = 32,
        keep_shape: bool = False,
        skip_broken: bool = False,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(image_size, batch_size, num_workers, pin_memory)
        self.predict_set = ImageFolder(root, self.image_size, keep_shape=keep_shape)
        self.skipped: list[Path] = []
        if skip_broken:
            paths = self.predict_set.paths
            self.predict_set.paths = [paths[i] for i in without_broken(paths)]
            readable = set(self.predict_set.paths)
            self.skipped = [path for path in paths if path not in readable]
            if not readable:
                raise ValueError(f"root: expected an image that can be read, got none among {len(paths)} files")

    def predict_dataloader(self) -> DataLoader:
        return self._loader(self.predict_set)
