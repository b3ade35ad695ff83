"""From scores to decisions: the threshold with the best F1, and one that bounds the rate of false alarms."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from oddlab.checks import check_tensor
from oddlab.curves import ScoreCounts, best_f1, check_entries, gather_state


class AdaptiveThreshold(Metric):
    r"""The score from which on images (or pixels) are best called anomalous.

    .. math:: t^* = \arg\max_t F_1(t), \qquad F_1 = \frac{2\,\mathrm{TP}}{2\,\mathrm{TP}+\mathrm{FP}+\mathrm{FN}}
              \text{ of } s \ge t

    `update(preds, target)` takes scores of any range and labels 0 and 1; `compute` is the threshold, a scalar: a score
    that was seen, or beyond :data:`oddlab.curves.EXACT_ENTRIES` scores the lower edge of its bin. Without any anomaly
    it is the largest score seen.

    Source: anomalib, `AdaptiveThreshold`.

    >>> metric = AdaptiveThreshold()
    >>> metric.update(torch.tensor([20.0, 21.0, 23.0, 25.0]), torch.tensor([0, 0, 1, 1]))
    >>> metric.compute()
    tensor(23.)
    """

    is_differentiable, higher_is_better, full_state_update = False, None, False
    preds: list[Tensor]
    target: list[Tensor]

    def __init__(self) -> None:
        super().__init__(dist_sync_fn=gather_state)
        self.add_state("preds", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        check_entries("preds", preds, target)
        self.preds.append(preds.flatten())
        self.target.append(target.flatten())

    def compute(self) -> Tensor:
        scores, target = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        if not target.any():
            return scores.max()
        counts = ScoreCounts()
        counts.update(scores, target)
        return scores.new_tensor(best_f1(counts)[0])


def conformal_threshold(scores: Tensor, false_alarm_rate: float) -> Tensor:
    r"""The threshold from which on a good image is called anomalous with at most the given probability.

    .. math:: t = \text{the next number above } s_{(k)}, \qquad k = \lceil (n + 1) (1 - \alpha) \rceil, \qquad
              P(s_{n+1} \ge t) \le \alpha

    for any distribution of the scores, if the new image's score :math:`s_{n+1}` is exchangeable with those of the n
    good images that are given, as it is where all are drawn alike and none was used to fit. The probability is over the
    draw of all n + 1 images: the rate of false alarms at one such threshold varies around it from draw to draw. Without
    ties it is more than :math:`\alpha - 1 / (n + 1)`.

    To bound the rate takes :math:`n \ge 1 / \alpha - 1` images, 19 for 5 %. With fewer no finite threshold can, and the
    result is infinity.

    Args:
        scores: (n,), finite, of good images alone.
        false_alarm_rate: :math:`\alpha`, between 0 and 1, both excluded.

    Returns a scalar of the dtype and on the device of `scores`. Raises `TypeError` or `ValueError` for other input.

    Source: Vovk et al., Algorithmic Learning in a Random World (2005); Angelopoulos and Bates, A Gentle Introduction to
    Conformal Prediction (arXiv 2107.07511), section 1.

    >>> good = torch.arange(1.0, 20.0)
    >>> conformal_threshold(good, 0.1), conformal_threshold(good, 0.01)
    (tensor(18.0000), tensor(inf))
    """
    check_tensor("scores", scores, "n")
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate: expected a number between 0 and 1, got {false_alarm_rate!r}")
    n = len(scores)
    # The rate is meant as the decimal number it is written as: 0.29 of 100 are 29, in binary a little less.
    k = math.ceil((n + 1) * (1 - Fraction(str(float(false_alarm_rate)))))
    infinity = scores.new_tensor(math.inf)
    if k > n:
        return infinity
    return torch.nextafter(scores.detach().sort().values[k - 1], infinity)
