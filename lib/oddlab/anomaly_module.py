"""What every detector shares under Lightning: thresholds, decisions and figures of merit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAUROC

from oddlab.aupro import AUPRO
from oddlab.threshold import AdaptiveThreshold, F1AtThreshold

KEPT = ("label", "pred_scores", "mask", "anomaly_maps")
"""What an epoch keeps of each batch; images and paths are let go."""


def figures_of_merit(prefix: str, threshold: Tensor) -> MetricCollection:
    """AUROC and, if a threshold has been chosen, F1 at it."""
    # normalization=None: torchmetrics else takes scores outside [0, 1] for logits, and a sigmoid makes them equal.
    metrics = {"AUROC": BinaryAUROC(normalization=None, validate_args=False)}
    if not threshold.isnan():
        metrics["F1Score"] = F1AtThreshold(threshold.item())
    return MetricCollection(metrics, prefix=prefix, compute_groups=False)


class AnomalyModule(pl.LightningModule, ABC):
    r"""A detector that is fitted, validated, tested and asked by a `pytorch_lightning.Trainer`.

    A subclass sets `self.model` and writes `validation_step`, which returns the batch with `anomaly_maps` (N, H, W) or
    `pred_scores` (N,) added. Everything after that is here:

    .. math::
        s = \max_{uv} A_{uv}, \qquad \hat y = [s \ge t_\mathrm{image}], \qquad
        \hat M_{uv} = [A_{uv} \ge t_\mathrm{pixel}]

    with both thresholds chosen in validation as those of the best F1. `image_threshold` and `pixel_threshold` are
    buffers, NaN until a validation has run, so a checkpoint decides as the module did that was saved.

    A batch holds `image` (N, 3, H, W) and, to validate and test, `label` (N,) of 0 and 1 and, where there is one,
    `mask` (N, H, W). Predictions hold `pred_scores` (N,), `anomaly_maps`, and once there are thresholds `pred_labels`
    (N,) and `pred_masks` (N, H, W). Logged are image_AUROC, image_F1Score and, with masks, pixel_AUROC, pixel_F1Score
    and pixel_AUPRO; a test set of one class alone logs none of them.

    Lightning 2 refuses modules with `validation_epoch_end` and `test_epoch_end` and calls no `validation_step_end`:

    | until Lightning 1.9 | here |
    |---|---|
    | `validation_step_end(outputs)` | the same, called by `on_validation_batch_end` |
    | `validation_epoch_end(outputs)` | `on_validation_epoch_end()` |
    | `test_step_end(outputs)` | the same, called by `on_test_batch_end` |
    | `test_epoch_end(outputs)` | `on_test_epoch_end()` |

    Source: the interface is anomalib's `AnomalyModule`.

    Example:
        >>> class Brightness(AnomalyModule):
        ...     def validation_step(self, batch, batch_idx):
        ...         return {**batch, "anomaly_maps": batch["image"].mean(dim=1)}
        >>> Brightness().predict_step({"image": torch.ones(2, 3, 4, 4)}, 0)["pred_scores"]
        tensor([1., 1.])
    """

    model: torch.nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("image_threshold", torch.tensor(float("nan")))
        self.register_buffer("pixel_threshold", torch.tensor(float("nan")))
        self._outputs: list[dict[str, Any]] = []

    def forward(self, batch: Tensor) -> Any:
        """Pass images (N, 3, H, W) to `self.model`."""
        return self.model(batch)

    @abstractmethod
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """Return the batch with `anomaly_maps` or `pred_scores` added; written by each detector."""

    def predict_step(self, batch: Any, batch_idx: int, _dataloader_idx: int | None = None) -> dict[str, Any]:
        """Return the batch with maps, scores and, once thresholds are chosen, decisions."""
        outputs = self._post_process(self.validation_step(batch, batch_idx))
        if not self.image_threshold.isnan():
            outputs["pred_labels"] = outputs["pred_scores"] >= self.image_threshold
        if "anomaly_maps" in outputs and not self.pixel_threshold.isnan():
            outputs["pred_masks"] = outputs["anomaly_maps"] >= self.pixel_threshold
        return outputs

    def test_step(self, batch: dict[str, Any], _: int) -> dict[str, Any]:
        """The same as `predict_step`."""
        return self.predict_step(batch, _)

    def validation_step_end(self, val_step_outputs: dict[str, Any]) -> dict[str, Any]:
        """Return a step's outputs with scores, on the CPU."""
        return self._outputs_to_cpu(self._post_process(val_step_outputs))

    def test_step_end(self, test_step_outputs: dict[str, Any]) -> dict[str, Any]:
        """Return a step's outputs with scores, on the CPU."""
        return self._outputs_to_cpu(self._post_process(test_step_outputs))

    def setup(self, stage: str) -> None:
        """Ask for no sanity check: before the fit there is nothing to validate."""
        if stage == "fit":
            self.trainer.num_sanity_val_steps = 0

    def on_validation_epoch_start(self) -> None:
        self._outputs = []

    def on_test_epoch_start(self) -> None:
        self._outputs = []

    def on_validation_batch_end(self, outputs: dict[str, Any], *args: Any) -> None:
        self._keep(self.validation_step_end(outputs))

    def on_test_batch_end(self, outputs: dict[str, Any], *args: Any) -> None:
        self._keep(self.test_step_end(outputs))

    def on_validation_epoch_end(self) -> None:
        """Choose the thresholds from all batches and log what is reached with them."""
        self._compute_adaptive_threshold(self._outputs)
        self._log_metrics()
        self._outputs = []

    def on_test_epoch_end(self) -> None:
        """Log what is reached on the test set with the thresholds that validation chose."""
        self._log_metrics()
        self._outputs = []

    def _keep(self, outputs: dict[str, Any]) -> None:
        self._outputs.append({name: outputs[name] for name in KEPT if name in outputs})

    def _compute_adaptive_threshold(self, outputs: list[dict[str, Any]]) -> None:
        image, pixel = AdaptiveThreshold(), AdaptiveThreshold()
        self._collect_outputs(image, pixel, outputs)
        self.image_threshold.copy_(image.compute())
        if pixel.update_called:
            self.pixel_threshold.copy_(pixel.compute())

    @staticmethod
    def _collect_outputs(image_metric: Any, pixel_metric: Any, outputs: list[dict[str, Any]]) -> None:
        """Update `image_metric` by scores and labels, and `pixel_metric` by maps and masks where there are any."""
        for output in outputs:
            image_metric.update(output["pred_scores"], output["label"].int())
            if "mask" in output and "anomaly_maps" in output:
                pixel_metric.update(output["anomaly_maps"].flatten(), output["mask"].flatten().int())

    @staticmethod
    def _post_process(outputs: dict[str, Any]) -> dict[str, Any]:
        """Return `outputs` with `pred_scores`, which are the maxima of the maps unless they are there already."""
        if "pred_scores" in outputs:
            return dict(outputs)
        if "anomaly_maps" not in outputs:
            raise ValueError(f"outputs: expected 'anomaly_maps' or 'pred_scores' from validation_step, got {[*outputs]}")
        return {**outputs, "pred_scores": outputs["anomaly_maps"].flatten(1).amax(dim=1)}

    @staticmethod
    def _outputs_to_cpu(output: Any) -> Any:
        """Move every tensor in `output`, a tensor or a dictionary or list of them, to the CPU."""
        if isinstance(output, dict):
            return {name: AnomalyModule._outputs_to_cpu(value) for name, value in output.items()}
        if isinstance(output, (list, tuple)):
            return [AnomalyModule._outputs_to_cpu(value) for value in output]
        return output.cpu() if isinstance(output, Tensor) else output

    def _log_metrics(self) -> None:
        """Compute and log the figures of merit of the batches kept since the epoch began."""
        outputs = self._outputs
        labels = {int(label) for output in outputs for label in output["label"]}
        if labels != {0, 1}:
            return
        image = figures_of_merit("image_", self.image_threshold)
        pixel = figures_of_merit("pixel_", self.pixel_threshold)
        self._collect_outputs(image, pixel, outputs)
        logged = image.compute()
        if all("mask" in output and "anomaly_maps" in output for output in outputs):
            aupro = AUPRO()
            for output in outputs:
                aupro.update(output["anomaly_maps"], output["mask"])
            logged |= {**pixel.compute(), "pixel_AUPRO": aupro.compute()}
        self.log_dict(logged)
