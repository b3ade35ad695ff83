"""The area under the per-region overlap curve: how well each defect is found, large or small."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from oddlab.checks import check_tensor
from oddlab.curves import ScoreCounts, check_entries, gather_state, pro_area

TOUCHING = np.zeros((3, 3, 3), dtype=bool)
TOUCHING[1] = True
"""Which pixels are of one region: all eight around, within one mask and not from one mask to the next."""


def region_weights(masks: Tensor) -> tuple[Tensor, int]:
    """Weights by which each defective region counts as one, whatever its size, and the number of regions.

    `masks` (H, W) or (N, H, W) of 0 and 1; a pixel of region r weighs 1 / |r|, a good one 0. Pixels that touch at a
    corner are of one region.

    >>> weights, n_regions = region_weights(torch.tensor([[1, 1, 0, 1]]))
    >>> weights.tolist(), n_regions
    ([[0.5, 0.5, 0.0, 1.0]], 2)
    """
    stacked = masks.cpu().numpy().reshape(-1, *masks.shape[-2:])
    with_defect = stacked.any(axis=(1, 2))
    regions, n_regions = ndimage.label(stacked[with_defect], structure=TOUCHING)
    weight = 1 / np.maximum(np.bincount(regions.ravel(), minlength=n_regions + 1), 1)
    weight[0] = 0
    weights = np.zeros(stacked.shape, dtype=np.float32)
    weights[with_defect] = weight[regions]
    return torch.from_numpy(weights).view(masks.shape).to(masks.device), n_regions


class AUPRO(Metric):
    r"""Area under the per-region overlap curve, up to a false positive rate, over that rate.

    .. math::
        \mathrm{PRO}(t) = \frac1K \sum_{k=1}^K \frac{|\{p \in R_k : s_p \ge t\}|}{|R_k|}, \qquad
        \mathrm{AUPRO} = \frac{1}{\phi} \int_0^{\phi} \mathrm{PRO} \; d\,\mathrm{FPR}

    with the regions R_k, the connected parts of the masks, and FPR the share of good pixels with a score of at least t.
    Pixel AUROC counts pixels, so one large defect outweighs many small ones; here each counts the same. Every score is
    a threshold; of more than :data:`oddlab.curves.EXACT_ENTRIES` pixels, every bin of `ScoreCounts`, which also does
    the same without keeping the scores, as this metric does.

    Args:
        fpr_limit: :math:`\phi`, in (0, 1].

    `update(preds, target)` takes maps (N, H, W) and masks (N, H, W) of 0 and 1. `compute` is a scalar in [0, 1]; it
    raises `ValueError` unless there are both good pixels and defects.

    Source: Bergmann et al., The MVTec Anomaly Detection Dataset (IJCV 2021), section 6.2.

    Example:
        >>> metric = AUPRO()
        >>> metric.update(torch.tensor([[[0.9, 0.1, 0.2]]]), torch.tensor([[[1, 0, 0]]]))
        >>> metric.compute()
        tensor(1.)
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    scores: list[Tensor]
    weights: list[Tensor]

    def __init__(self, fpr_limit: float = 0.3) -> None:
        super().__init__(dist_sync_fn=gather_state)
        if not 0 < fpr_limit <= 1:
            raise ValueError(f"fpr_limit: expected a number above 0 and up to 1, got {fpr_limit!r}")
        self.fpr_limit = fpr_limit
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("weights", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        check_tensor("preds", preds, "N H W")
        check_entries("preds", preds, target)
        self.scores.append(preds.flatten())
        self.weights.append(region_weights(target)[0].flatten())

    def compute(self) -> Tensor:
        scores, weights = dim_zero_cat(self.scores), dim_zero_cat(self.weights)
        counts = ScoreCounts()
        counts.update(scores, weights > 0, weights)
        area = pro_area(counts, fpr_limit=self.fpr_limit)
        if math.isnan(area):
            raise ValueError("target: expected both good pixels and defects in the masks")
        return scores.new_tensor(area)
