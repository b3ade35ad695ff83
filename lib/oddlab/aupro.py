"""The area under the per-region overlap curve: how well each defect is found, large or small."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from oddlab.checks import check_tensor


def region_weights(mask: Tensor) -> tuple[Tensor, int]:
    """Weights by which each defective region counts as one, whatever its size, and the number of regions.

    `mask` (H, W) of 0 and 1; a pixel of region r weighs 1 / |r|, a good one 0. Pixels that touch at a corner are of one
    region.

    >>> weights, n_regions = region_weights(torch.tensor([[1, 1, 0, 1]]))
    >>> weights.tolist(), n_regions
    ([[0.5, 0.5, 0.0, 1.0]], 2)
    """
    regions, n_regions = ndimage.label(mask.cpu().numpy(), structure=np.ones((3, 3)))
    weights = 1 / np.maximum(np.bincount(regions.ravel(), minlength=n_regions + 1), 1)
    weights[0] = 0
    return torch.from_numpy(weights[regions].astype(np.float32)).to(mask.device), n_regions


def pro_curve(scores: Tensor, weights: Tensor, n_regions: int) -> tuple[Tensor, Tensor]:
    """False positive rate and mean overlap with the regions at every threshold, both rising from 0 to 1, in float64."""
    order = scores.argsort(descending=True)
    scores, weights = scores[order], weights[order]
    good = weights == 0
    fpr = good.cumsum(0, dtype=torch.float64) / good.sum()
    pro = weights.cumsum(0, dtype=torch.float64) / n_regions
    # Equal scores are passed by one threshold, so only the last of them is a point of the curve.
    last = torch.cat([scores[1:] != scores[:-1], scores.new_ones(1, dtype=torch.bool)])
    zero = fpr.new_zeros(1)
    return torch.cat([zero, fpr[last]]), torch.cat([zero, pro[last]])


class AUPRO(Metric):
    r"""Area under the per-region overlap curve, up to a false positive rate, over that rate.

    .. math::
        \mathrm{PRO}(t) = \frac1K \sum_{k=1}^K \frac{|\{p \in R_k : s_p \ge t\}|}{|R_k|}, \qquad
        \mathrm{AUPRO} = \frac{1}{\phi} \int_0^{\phi} \mathrm{PRO} \; d\,\mathrm{FPR}

    with the regions R_k, the connected parts of the masks, and FPR the share of good pixels with a score of at least t.
    Pixel AUROC counts pixels, so one large defect outweighs many small ones; here each counts the same. The curve is
    exact: every score is a threshold.

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

    def __init__(self, fpr_limit: float = 0.3) -> None:
        super().__init__()
        if not 0 < fpr_limit <= 1:
            raise ValueError(f"fpr_limit: expected a number above 0 and up to 1, got {fpr_limit!r}")
        self.fpr_limit = fpr_limit
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("weights", default=[], dist_reduce_fx="cat")
        self.add_state("n_regions", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        check_tensor("preds", preds, "N H W")
        if target.shape != preds.shape:
            raise ValueError(f"target: expected the shape of preds, {tuple(preds.shape)}, got {tuple(target.shape)}")
        for scores, mask in zip(preds, target):
            weights, n_regions = region_weights(mask)
            self.scores.append(scores.flatten())
            self.weights.append(weights.flatten())
            self.n_regions = self.n_regions + n_regions

    def compute(self) -> Tensor:
        scores, weights = dim_zero_cat(self.scores), dim_zero_cat(self.weights)
        if not self.n_regions or not (weights == 0).any():
            raise ValueError("target: expected both good pixels and defects in the masks")
        fpr, pro = pro_curve(scores, weights, int(self.n_regions))
        inside = fpr <= self.fpr_limit
        end = int(inside.sum())
        if end < len(fpr):  # the curve goes straight on from its last point inside to its first outside
            step = (self.fpr_limit - fpr[end - 1]) / (fpr[end] - fpr[end - 1])
            pro[end] = pro[end - 1] + step * (pro[end] - pro[end - 1])
            fpr[end] = self.fpr_limit
        return (torch.trapezoid(pro[: end + 1], fpr[: end + 1]) / self.fpr_limit).to(scores.dtype)
