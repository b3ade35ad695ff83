"""What every detector shares under Lightning: steps, thresholds, decisions and figures of merit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from oddlab.backbones import weights_come_later
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.evaluation import Evaluation, Thresholds
from oddlab.processes import own_samples, process_count


class AnomalyModule(DynamicBufferModule, pl.LightningModule):
    r"""A detector that is fitted, validated, tested and asked by a `pytorch_lightning.Trainer`.

    A subclass writes `forward`, which takes images (N, 3, H, W) and returns a dictionary with `pred_scores` (N,) or
    `anomaly_maps` (N, H, W) or both. Everything after that is here:

    .. math::
        s = \max_{uv} A_{uv}, \qquad \hat y = [s \ge t_\mathrm{image}], \qquad
        \hat M_{uv} = [A_{uv} \ge t_\mathrm{pixel}]

    with the maximum where `forward` returns no scores. Both thresholds are chosen in validation: those of the best F1
    where validation images have defects; where they are all good, or where `false_alarm_rate` is set, conformal
    thresholds, which call at most that share of good images anomalous (by default 5 %). `image_threshold` and
    `pixel_threshold` are buffers, NaN until a validation has run, so a checkpoint decides as the module did that was
    saved.

    A batch holds `image` (N, 3, H, W) and, to validate and test, `label` (N,) of 0 and 1 and, where there is one,
    `mask` (N, H, W). Predictions hold `pred_scores` (N,), `anomaly_maps`, and once there are thresholds `pred_labels`
    (N,) and `pred_masks` (N, H, W). Logged are image_AUROC, image_F1Score and, with masks, pixel_AUROC, pixel_F1Score
    and pixel_AUPRO; what could not be measured is said in a warning. Under several processes thresholds and figures
    are those of all images, each counted once.

    Code written for anomalib's module, which sets `self.model` and writes `validation_step`, works too. Lightning 2
    refuses modules with `validation_epoch_end` and `test_epoch_end` and calls no `validation_step_end`:

    - `validation_step_end(outputs)` and `test_step_end(outputs)` stay as they are: `on_validation_batch_end` and
      `on_test_batch_end` call them;
    - `validation_epoch_end(outputs)` becomes `on_validation_epoch_end()`;
    - `test_epoch_end(outputs)` becomes `on_test_epoch_end()`.

    Source: the interface is anomalib's `AnomalyModule`.

    Example:
        >>> class Brightness(AnomalyModule):
        ...     def forward(self, images):
        ...         return {"anomaly_maps": images.mean(dim=1)}
        >>> Brightness().predict_step({"image": torch.ones(2, 3, 4, 4)}, 0)["pred_scores"]
        tensor([1., 1.])
    """

    image_threshold: Tensor
    pixel_threshold: Tensor
    false_alarm_rate: float | None = None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("image_threshold", torch.tensor(float("nan")))
        self.register_buffer("pixel_threshold", torch.tensor(float("nan")))
        self._evaluation = Evaluation()
        self._seen: dict[int, int] = {}

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> AnomalyModule:
        """As `pytorch_lightning.LightningModule` has it; the backbone's weights come from the checkpoint too."""
        with weights_come_later():
            return super().load_from_checkpoint(*args, **kwargs)

    def keep_arguments(self, arguments: dict[str, Any]) -> None:
        """Store `arguments`, the `locals()` of `__init__`, in checkpoints, for `load_from_checkpoint`.

        They are stored as numbers, names and lists. A network and a generator cannot be, and have to be given again.
        """
        left_out = (nn.Module, torch.Generator)
        plain = {name: value for name, value in arguments.items() if not isinstance(value, left_out)}
        plain.pop("__class__", None)
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in plain.items()}
        self.save_hyperparameters({**plain, "layers": list(plain["layers"])})

    def extra_repr(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.hparams.items()]
        return ", ".join([*shown, "fitted" if self.is_fitted else "not fitted"])

    @property
    def is_fitted(self) -> bool:
        """Whether `forward` can be called."""
        return True

    def forward(self, batch: Tensor) -> Any:
        """Scores and maps of images (N, 3, H, W); written by each detector, or by `self.model` if there is one."""
        if "model" not in self._modules:
            raise NotImplementedError(f"{type(self).__name__}: expected a method forward(images), which is not written")
        return self.model(batch)

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any] | None:
        """Return the batch with scores and maps added; None while a fit has nothing to validate yet."""
        return {**batch, **self(batch["image"])} if self.is_fitted or not self._is_fitting else None

    def predict_step(self, batch: Any, batch_idx: int = 0, dataloader_idx: int | None = None) -> dict[str, Any]:
        """Return the batch with maps, scores and, once thresholds are chosen, decisions."""
        outputs = self._post_process(self.validation_step(batch, batch_idx))
        if not self.image_threshold.isnan():
            outputs["pred_labels"] = outputs["pred_scores"] >= self.image_threshold
        if "anomaly_maps" in outputs and not self.pixel_threshold.isnan():
            outputs["pred_masks"] = outputs["anomaly_maps"] >= self.pixel_threshold
        return outputs

    def test_step(self, batch: dict[str, Any], batch_idx: int = 0, dataloader_idx: int = 0) -> dict[str, Any]:
        """The same as `predict_step`."""
        return self.predict_step(batch, batch_idx)

    def validation_step_end(self, val_step_outputs: dict[str, Any]) -> dict[str, Any]:
        """Return a step's outputs with scores."""
        return self._post_process(val_step_outputs)

    def test_step_end(self, test_step_outputs: dict[str, Any]) -> dict[str, Any]:
        """Return a step's outputs with scores."""
        return self._post_process(test_step_outputs)

    def setup(self, stage: str) -> None:
        """Ask for no sanity check, since before the fit there is nothing to validate; and make DDP take the module.

        DDP refuses a module without a parameter that trains. While such a module is fitted by several processes it has
        one that nothing uses; it is in no checkpoint.
        """
        if stage == "fit":
            self.trainer.num_sanity_val_steps = 0
            if self.trainer.world_size > 1 and not any(p.requires_grad for p in self.parameters()):
                self.register_parameter("placeholder", nn.Parameter(torch.zeros(1, device=self.device)))

    def teardown(self, stage: str) -> None:
        self._parameters.pop("placeholder", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take a checkpoint from before 0.2 too, when detectors kept their network in `self.model`."""
        state = checkpoint["state_dict"]
        if not any(name.startswith("model.") for name in self.state_dict()):
            checkpoint["state_dict"] = {name.removeprefix("model."): value for name, value in state.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"].pop("placeholder", None)

    def on_validation_epoch_start(self) -> None:
        self._evaluation, self._seen = Evaluation(), {}
        if self._is_fitting and not self.is_fitted:
            rank_zero_warn(f"{type(self).__name__} is validated when its fit has ended, not before")

    def on_test_epoch_start(self) -> None:
        self._evaluation, self._seen = Evaluation(), {}

    def on_validation_batch_end(
        self, outputs: dict[str, Any] | None, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if outputs is not None:
            own = self._without_repetitions(outputs, self.trainer.val_dataloaders, dataloader_idx)
            if own is not None:
                self._evaluation.update(self.validation_step_end(own))

    def on_test_batch_end(self, outputs: dict[str, Any], batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        own = self._without_repetitions(outputs, self.trainer.test_dataloaders, dataloader_idx)
        if own is not None:
            self._evaluation.update(self.test_step_end(own))

    def on_validation_epoch_end(self) -> None:
        """Choose the thresholds from all batches and log what is reached with them."""
        if self._is_fitting and not self.is_fitted:
            return
        self._evaluation.finish()
        chosen = self._evaluation.thresholds(self.false_alarm_rate)
        self.image_threshold.fill_(chosen.image)
        self.pixel_threshold.fill_(chosen.pixel)
        self._log_metrics()

    def on_test_epoch_end(self) -> None:
        """Log what is reached on the test set with the thresholds that validation chose."""
        self._evaluation.finish()
        if self.image_threshold.isnan():
            self._evaluation.remarks.append("no validation has chosen thresholds, so there is no F1")
        self._log_metrics()

    @property
    def _is_fitting(self) -> bool:
        return self._trainer is not None and self.trainer.state.fn == "fit"

    def _without_repetitions(self, outputs: dict[str, Any], loaders: Any, place: int) -> dict[str, Any] | None:
        """`outputs` of a batch without the samples that a sampler repeated; None if it holds nothing else."""
        n = len(outputs["image"])
        several = [*loaders.values()] if isinstance(loaders, dict) else loaders
        own = own_samples(several[place] if isinstance(several, (list, tuple)) else several)
        left = n if own is None else max(0, own - self._seen.get(place, 0))
        self._seen[place] = self._seen.get(place, 0) + n
        if left >= n:
            return outputs
        return {name: value[:left] for name, value in outputs.items()} if left else None

    @staticmethod
    def _post_process(outputs: dict[str, Any]) -> dict[str, Any]:
        """Return `outputs` with `pred_scores`, which are the maxima of the maps unless they are there already."""
        if "pred_scores" in outputs:
            return dict(outputs)
        if "anomaly_maps" not in outputs:
            raise ValueError(
                f"outputs: expected 'anomaly_maps' or 'pred_scores' from validation_step, got {[*outputs]}"
            )
        return {**outputs, "pred_scores": outputs["anomaly_maps"].flatten(1).amax(dim=1)}

    def _log_metrics(self) -> None:
        """Log the figures of merit of the epoch, and say what could not be measured."""
        thresholds = Thresholds(self.image_threshold.item(), self.pixel_threshold.item())
        figures = self._evaluation.figures(thresholds)
        for remark in self._evaluation.remarks:
            rank_zero_warn(f"{type(self).__name__}: {remark}")
        self.log_dict(figures, sync_dist=process_count() > 1)
        self._evaluation = Evaluation()
