"""From scores to decisions: the threshold with the best F1, and F1 at a threshold."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.classification import BinaryF1Score, BinaryPrecisionRecallCurve


class AdaptiveThreshold(BinaryPrecisionRecallCurve):
    r"""The score from which on images (or pixels) are best called anomalous.

    .. math:: t^* = \arg\max_t F_1(t), \qquad F_1 = \frac{2\,\mathrm{TP}}{2\,\mathrm{TP}+\mathrm{FP}+\mathrm{FN}}
              \text{ of } s \ge t

    `update(preds, target)` takes scores of any range and labels 0 and 1; `compute` is the threshold, a scalar. Without
    any anomaly it is the largest score seen.

    Source: anomalib, `AdaptiveThreshold`.

    >>> metric = AdaptiveThreshold()
    >>> metric.update(torch.tensor([20.0, 21.0, 23.0, 25.0]), torch.tensor([0, 0, 1, 1]))
    >>> metric.compute()
    tensor(23.)
    """

    def __init__(self) -> None:
        # torchmetrics would pass scores outside [0, 1] through a sigmoid, after which all large ones are equal.
        super().__init__(normalization=None, validate_args=False)

    def compute(self) -> Tensor:
        labels = torch.cat(self.target)
        if not labels.any():
            return torch.cat(self.preds).max()
        precision, recall, thresholds = super().compute()
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return thresholds[f1[: len(thresholds)].argmax()]


class F1AtThreshold(BinaryF1Score):
    """F1 of the decision `preds >= cut`, for scores of any range.

    >>> F1AtThreshold(22.0)(torch.tensor([20.0, 21.0, 23.0, 25.0]), torch.tensor([0, 0, 1, 1]))
    tensor(1.)
    """

    def __init__(self, cut: float) -> None:
        super().__init__(validate_args=False)
        self.cut = cut

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update((preds >= self.cut).int(), target)
