"""Detectors that are fitted in one pass over the good images, without gradients."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from oddlab.anomaly_module import AnomalyModule
from oddlab.checks import NotFittedError
from oddlab.modes import fitting
from oddlab.processes import gather_rows, own_samples


class OnePassDetector(AnomalyModule):
    """A detector that is fitted by `fit_batch(images)` for each batch of good images, and `finish_fit()`.

    With a Trainer nothing is trained by gradients, one epoch ends the fit whatever the trainer says, and a second fit
    starts anew. Without one, `fit_batch` and `finish_fit` are called by hand. Several processes each pass over their
    share of the images, and `finish_fit` joins what they have seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    @abstractmethod
    def reset(self) -> None:
        """Forget all images."""

    @abstractmethod
    def fit_batch(self, images: Tensor) -> OnePassDetector:
        """Add good images (N, 3, S, S); return the detector."""

    @abstractmethod
    def finish_fit(self) -> OnePassDetector:
        """Fit to all images that were added; return the detector."""

    def configure_optimizers(self) -> list:
        return []

    def on_train_epoch_start(self) -> None:
        self.reset()
        self._left = own_samples(self.trainer.train_dataloader)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        images = batch["image"][: self._left]  # what a sampler repeated comes after this process's own share
        if self._left is not None:
            self._left -= len(images)
        if len(images):
            self.fit_batch(images)
        # Counted as a step, since the Trainer writes no checkpoint of a fit without any.
        steps = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        steps.increment_ready()
        steps.increment_completed()

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Any], batch_idx: int) -> None:
        if self.trainer.is_last_batch:  # not at the end of the epoch: its validation comes before that
            self.finish_fit()

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = True


class CollectingDetector(OnePassDetector):
    """A detector that needs the features of all good images at once: it keeps them until `finish_fit`."""

    def __init__(self) -> None:
        super().__init__()
        self._collected: list[Tensor] = []

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Features (N, ...) of images (N, 3, S, S)."""

    @abstractmethod
    def fit_features(self, features: Tensor) -> None:
        """Fit to what `embed` returned for all images, (N, ...)."""

    def reset(self) -> None:
        """Forget all images."""
        self._collected = []

    @fitting
    def fit_batch(self, images: Tensor) -> CollectingDetector:
        """Collect the features of good images (N, 3, S, S), for `finish_fit`; return the detector."""
        self._collected.append(self.embed(images))
        return self

    @fitting
    def finish_fit(self) -> CollectingDetector:
        """Fit to what all processes have collected; return the detector."""
        own = torch.cat(self._collected) if self._collected else torch.zeros(0, device=self.device)
        features = gather_rows(own)
        if not len(features):
            raise NotFittedError(f"{type(self).__name__} has collected no images: call fit_batch first")
        self._collected = []
        self.fit_features(features)
        return self
