"""Detectors that are fitted in one pass over the good images, without gradients."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from oddlab.anomaly_module import AnomalyModule
from oddlab.checks import NotFittedError
from oddlab.dynamic_buffer import DynamicBufferModule


class OnePassModule(AnomalyModule):
    """An `AnomalyModule` whose `model` is fitted by `reset()`, `fit_batch(images)` for each batch, and `finish_fit()`.

    Nothing is trained, one epoch ends the fit whatever the trainer says, and a second fit starts anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> list:
        return []

    def on_train_epoch_start(self) -> None:
        self.model.reset()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.model.fit_batch(batch["image"])

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Any], batch_idx: int) -> None:
        if self.trainer.is_last_batch:  # not at the end of the epoch: its validation comes before that
            self.model.finish_fit()

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = True


class CollectingModel(DynamicBufferModule):
    """A model that needs the features of all good images at once: it keeps them until `finish_fit`."""

    def __init__(self) -> None:
        super().__init__()
        self._collected: list[Tensor] = []

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Rows of features of images (N, 3, S, S)."""

    @abstractmethod
    def fit(self, features: Tensor) -> None:
        """Fit to the rows that `embed` returned for all batches."""

    def reset(self) -> None:
        """Forget all images."""
        self._collected = []

    def fit_batch(self, images: Tensor) -> None:
        """Collect the features of good images (N, 3, S, S), for `finish_fit`."""
        self._collected.append(self.embed(images))

    def finish_fit(self) -> None:
        """Fit to what has been collected."""
        if not self._collected:
            raise NotFittedError(f"{type(self).__name__} has collected no images: call fit_batch first")
        self.fit(torch.cat(self._collected))
        self._collected = []
