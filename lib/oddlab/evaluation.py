"""How good a detector is on a set of images, which thresholds decide: batch by batch, on any number of processes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from oddlab.aupro import region_weights
from oddlab.curves import ScoreCounts, auroc, best_f1, f1_at, pro_area
from oddlab.processes import gather, gather_rows
from oddlab.threshold import conformal_threshold

DEFAULT_FALSE_ALARM_RATE = 0.05
"""Of the thresholds that are chosen where no validation image has a defect."""


class Thresholds(NamedTuple):
    """From which score on an image, and from which value on a pixel, is called anomalous; NaN where none is chosen."""

    image: float
    pixel: float


class Evaluation:
    r"""Scores, labels, maps and masks of one pass over a validation or test set.

    `update` takes batches, of which it keeps the scores, and of the maps only counts in bounded memory
    (`ScoreCounts`). `finish` joins what all processes have seen; after it `thresholds` and `figures` can be asked for,
    and `remarks` holds in words what could not be measured, and why.

    >>> evaluation = Evaluation()
    >>> evaluation.update({"pred_scores": torch.tensor([1.0, 2.0, 3.0]), "label": torch.tensor([0, 0, 1])})
    >>> evaluation.finish().figures(Thresholds(2.5, math.nan))
    {'image_AUROC': 1.0, 'image_F1Score': 1.0}
    """

    def __init__(self) -> None:
        self.scores: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.peaks: list[Tensor] = []
        self.pixels = ScoreCounts()
        self.with_mask = self.marked = self.lost_masks = 0
        self.remarks: list[str] = []

    def update(self, outputs: dict[str, Any]) -> None:
        """Add a batch: `label` (N,), `pred_scores` (N,) and, where there are, `anomaly_maps` and `mask` (N, H, W)."""
        if "label" not in outputs:
            raise ValueError(f"batch: expected 'label' (N,) of 0 and 1, to judge the scores by, got {[*outputs]}")
        scores, labels = outputs["pred_scores"].detach().cpu(), outputs["label"].detach().cpu().bool()
        self.scores.append(scores)
        self.labels.append(labels)
        if "anomaly_maps" not in outputs:
            return
        maps = outputs["anomaly_maps"].detach()
        self.peaks.append(maps.flatten(1).amax(dim=1).cpu())
        if "mask" not in outputs:
            return
        masks = outputs["mask"].detach().to(maps.device) > 0
        self.with_mask += len(masks)
        marked = masks.flatten(1).any(dim=1).cpu()
        self.marked += int(marked.sum())
        self.lost_masks += int((labels & ~marked).sum())
        self.pixels.update(maps, masks, region_weights(masks)[0])

    def finish(self) -> Evaluation:
        """Join the batches of all processes, which must all call it."""
        empty = torch.zeros(0)
        self.all_scores = gather_rows(torch.cat(self.scores).float() if self.scores else empty)
        self.all_labels = gather_rows(torch.cat(self.labels) if self.labels else empty.bool())
        self.all_peaks = gather_rows(torch.cat(self.peaks).float() if self.peaks else empty)
        self.all_pixels = self.pixels.gather()
        own = torch.tensor([self.with_mask, self.marked, self.lost_masks])
        with_mask, marked, lost = torch.stack(gather(own)).sum(dim=0).tolist()
        n, anomalous = len(self.all_labels), int(self.all_labels.sum())
        self.both_classes = 0 < anomalous < n
        self.has_pixels = n > 0 and with_mask == n and marked > 0
        if not self.both_classes:
            only = "no images" if not n else "anomalous images only" if anomalous else "good images only"
            self.remarks.append(f"there are {only}, so AUROC and F1 are not defined")
        if lost:
            self.remarks.append(f"the masks of {lost} of {anomalous} anomalous images mark no pixel")
        if len(self.all_peaks) and with_mask < n:
            self.remarks.append(f"{n - with_mask} of {n} images have no mask, so there are no figures of pixels")
        return self

    def thresholds(self, false_alarm_rate: float | None) -> Thresholds:
        """Those of the best F1 if there are defects and no rate is given, else the conformal ones at the rate.

        The pixel threshold at a rate is such that this share of good images has any pixel marked.
        """
        if not len(self.all_labels):
            return Thresholds(math.nan, math.nan)
        if false_alarm_rate is None and self.both_classes:
            image = best_f1(counts_of(self.all_scores, self.all_labels))[0]
            return Thresholds(image, best_f1(self.all_pixels)[0] if self.has_pixels else math.nan)
        rate = DEFAULT_FALSE_ALARM_RATE if false_alarm_rate is None else false_alarm_rate
        good = ~self.all_labels
        if not good.any():
            self.remarks.append("no threshold is chosen, since no image is good")
            return Thresholds(math.nan, math.nan)
        image = float(conformal_threshold(self.all_scores[good], rate))
        if math.isinf(image):
            self.remarks.append(
                f"{int(good.sum())} good images cannot promise a false alarm rate of {rate:g}, which takes "
                f"{math.ceil(1 / rate) - 1}: nothing will be called anomalous"
            )
        has_maps = len(self.all_peaks) == len(good)
        return Thresholds(image, float(conformal_threshold(self.all_peaks[good], rate)) if has_maps else math.nan)

    def figures(self, thresholds: Thresholds) -> dict[str, float]:
        """AUROC, F1 at the thresholds that there are and, with masks, AUPRO, by the names by which they are logged."""
        if not self.both_classes:
            return {}
        figures = figures_of("image", counts_of(self.all_scores, self.all_labels), thresholds.image)
        if self.has_pixels:
            figures |= figures_of("pixel", self.all_pixels, thresholds.pixel)
            figures["pixel_AUPRO"] = pro_area(self.all_pixels)
        return figures


def counts_of(scores: Tensor, labels: Tensor) -> ScoreCounts:
    """The counts of one set of scores."""
    counts = ScoreCounts()
    counts.update(scores, labels)
    return counts


def figures_of(prefix: str, counts: ScoreCounts, threshold: float) -> dict[str, float]:
    """AUROC and, if there is a threshold, F1 at it."""
    figures = {f"{prefix}_AUROC": auroc(counts)}
    if not math.isnan(threshold):
        figures[f"{prefix}_F1Score"] = f1_at(counts, threshold)
    return figures
