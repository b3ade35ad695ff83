"""AUROC, F1 and AUPRO of any number of images or pixels, from how often each score occurs."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from oddlab.processes import gather, process_count

EXACT_ENTRIES = 2**24
"""Up to this many entries (256 maps of 256 x 256 pixels) every distinct score is counted, beyond it bins of scores."""
BIN_BITS = 16
"""Bits of the mantissa that a bin's lower edge keeps: a bin is at most 2**-16 (1.5e-5) of its scores wide."""


class ScoreCounts:
    r"""How many good and how many anomalous entries have each score: all that AUROC, F1 and AUPRO depend on.

    An entry is an image or a pixel. `update` takes them batch by batch and keeps no maps. Up to
    :data:`EXACT_ENTRIES` entries each distinct score is counted, so every figure is exact. Beyond that, each score
    counts as the lower edge of its bin,

    .. math:: e(s) = \max\{e \le s : e \text{ has 16 bits of mantissa}\}, \qquad |s - e(s)| \le 2^{-16} |s|

    so that :math:`s \ge e(s)` for exactly the scores of that bin and those above: a threshold that is an edge decides
    as it was counted. Bins do not depend on the data, so counts of several processes add up.

    Counts lie in the memory of the CPU, in less than 1 GB for float32 scores and 1.5 GB for float64: of at most
    `EXACT_ENTRIES` entries (or one larger batch) that are not counted yet, and 12 to 36 bytes for each bin that occurs,
    of which there are 65,536 between a power of two and the next. Only scores of all magnitudes that float32 has would
    take more, 2.6 GB.

    `update(scores, target, weights=None)` takes floating-point scores of any shape, of which only NaN is refused, and
    a target of that shape of 0 (good) and 1 (anomalous). `weights`, of that shape, are those of `region_weights`, which
    only `pro_area` needs; they count for anomalous entries only. Other input raises `TypeError` or `ValueError`.

    Example:
        >>> counts = ScoreCounts()
        >>> counts.update(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 1]))
        >>> counts.update(torch.tensor([4.0, 2.5]), torch.tensor([0, 1]))
        >>> auroc(counts), best_f1(counts)
        (0.666..., (2.5, 0.8))
    """

    def __init__(self) -> None:
        self.good, self.anomalous, self.regions = Tally(), Tally(), Tally()
        self.entries = self.uncounted = 0
        self.binned = False

    def update(self, scores: Tensor, target: Tensor, weights: Tensor | None = None) -> None:
        """Add entries."""
        check_entries("scores", scores, target)
        if weights is not None:
            check_shape("weights", weights, "scores", scores)
        scores = scores.detach().flatten()
        values = (scores.float() if scores.element_size() < 4 else scores).cpu().numpy()
        anomalous = target.detach().flatten().bool().cpu().numpy()
        self.good.add(values[~anomalous])
        self.anomalous.add(values[anomalous])
        if weights is not None:
            self.regions.add(values[anomalous], weights.detach().flatten().cpu().numpy()[anomalous].astype(np.float64))
        self._has_grown(values.size)

    def merge(self, other: ScoreCounts) -> ScoreCounts:
        """Add the entries of `other` and return self: exact if both are and there are few enough together."""
        for tally, added in zip(self._tallies(), other._tallies()):
            tally.parts += added.parts
        self.binned = self.binned or other.binned
        self._has_grown(other.entries)
        return self

    def gather(self) -> ScoreCounts:
        """The counts of all processes together, on each of them; self if `torch.distributed` is not initialised.

        All processes must call it, also those without any entry.
        """
        if process_count() == 1:
            return self
        entries, binned = sum(gather(torch.tensor([self.entries, int(self.binned)]))).tolist()
        own, together = ScoreCounts().merge(self), ScoreCounts()
        own.binned = binned > 0 or entries > EXACT_ENTRIES  # before they are sent: bins are few
        own.count()
        for tally, sent in zip(together._tallies(), own._tallies()):
            scores, sums = (gather(torch.from_numpy(values)) for values in (sent.scores, sent.sums))
            tally.parts = [(of.numpy(), sum_of.numpy()) for of, sum_of in zip(scores, sums) if len(of)]
        together.binned = own.binned
        together._has_grown(entries)
        together.count()
        return together

    def count(self) -> None:
        """Count the entries that came since the last time."""
        for tally in self._tallies():
            tally.count(self.binned)
        self.uncounted = 0

    def _tallies(self) -> tuple[Tally, Tally, Tally]:
        return self.good, self.anomalous, self.regions

    def _has_grown(self, entries: int) -> None:
        self.entries += entries
        self.uncounted += entries
        self.binned = self.binned or self.entries > EXACT_ENTRIES
        if self.uncounted > EXACT_ENTRIES:
            self.count()


class Tally:
    """For each distinct score the sum of what its entries count, which are 1 each or weights.

    `parts` are the scores and counts added so far, None for a count of 1 each; `count` makes one part of them, with
    distinct and rising scores.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray | None]] = []

    @property
    def scores(self) -> np.ndarray:
        return self.parts[0][0] if self.parts else np.zeros(0, np.float32)

    @property
    def sums(self) -> np.ndarray:
        return self.parts[0][1] if self.parts else np.zeros(0, np.int64)

    def add(self, scores: np.ndarray, weights: np.ndarray | None = None) -> None:
        if len(scores):
            self.parts.append((scores, weights))

    def count(self, binned: bool) -> None:
        rounded = lower_edges if binned else np.asarray
        ones = [scores for scores, sums in self.parts if sums is None]
        parts = [(rounded(scores), sums) for scores, sums in self.parts if sums is not None]
        if ones:
            parts.append(distinct(rounded(np.concatenate(ones))))
        self.parts = [distinct(*map(np.concatenate, zip(*parts)))] if parts else []

    def at_least(self, thresholds: np.ndarray, side: str = "left") -> np.ndarray:
        """Sum over the entries with a score of at least each threshold; with `side="right"`, above it."""
        from_each_up = np.append(np.cumsum(self.sums[::-1])[::-1], 0)
        return from_each_up[np.searchsorted(self.scores, thresholds, side)]


def check_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise `ValueError` unless the shapes are the same."""
    if tensor.shape != other.shape:
        expected = f"the shape of {other_name}, {tuple(other.shape)}"
        raise ValueError(f"{name}: expected {expected}, got {tuple(tensor.shape)}")


def check_entries(name: str, scores: Tensor, target: Tensor) -> None:
    """Raise `TypeError` or `ValueError` unless `scores` are floating-point without NaN and `target` 0 or 1 for each."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        got = str(scores.dtype).removeprefix("torch.") if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"{name}: expected a floating-point tensor, got {got}")
    check_shape("target", target, name, scores)
    if scores.numel() and scores.max().isnan():
        raise ValueError(f"{name}: expected numbers, got {int(scores.isnan().sum())} NaN of {scores.numel()}")
    if target.dtype != torch.bool and not ((target == 0) | (target == 1)).all():
        raise ValueError(f"target: expected 0 and 1, got {target[(target != 0) & (target != 1)][0].item():g}")


def lower_edges(scores: np.ndarray) -> np.ndarray:
    """Lower edge of each score's bin: the largest number of :data:`BIN_BITS` bits of mantissa that is not above it.

    >>> lower_edges(np.float32([0.0, 1.5, 1.50001, -1.50001])).tolist()
    [0.0, 1.5, 1.5, -1.5000152587890625]
    """
    rest = (1 << (np.finfo(scores.dtype).nmant - BIN_BITS)) - 1
    bits = scores.view(f"i{scores.itemsize}").copy()
    bits[bits < 0] += rest  # of a negative number the magnitude is rounded up
    bits &= ~rest
    return bits.view(scores.dtype)


def distinct(scores: np.ndarray, sums: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct scores, rising, and for each the sum of its `sums`, or how often it occurs.

    >>> [values.tolist() for values in distinct(np.array([2.0, 1.0, 2.0]))]
    [[1.0, 2.0], [1, 2]]
    """
    if sums is None:
        scores = np.sort(scores)
    elif (scores[1:] > scores[:-1]).all():
        return scores, sums
    else:
        order = np.argsort(scores)
        scores, sums = scores[order], sums[order]
    first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    return scores[first], np.diff(first, append=len(scores)) if sums is None else np.add.reduceat(sums, first)


def auroc(counts: ScoreCounts) -> float:
    r"""Area under the receiver operating characteristic: how often an anomalous entry scores above a good one.

    .. math:: P(s_\mathrm{anomalous} > s_\mathrm{good}) + \tfrac12 P(s_\mathrm{anomalous} = s_\mathrm{good})

    NaN unless there are both good and anomalous entries.
    """
    counts.count()
    return area(counts.good, counts.anomalous, 1.0)


def pro_area(counts: ScoreCounts, *, fpr_limit: float = 0.3) -> float:
    """Area under the per-region overlap curve up to a false positive rate, over that rate: see :class:`oddlab.AUPRO`.

    NaN unless there are both good entries and entries with region weights.
    """
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit: expected a number above 0 and up to 1, got {fpr_limit!r}")
    counts.count()
    return area(counts.good, counts.regions, fpr_limit)


def best_f1(counts: ScoreCounts) -> tuple[float, float]:
    r"""The threshold with the best F1 of the decision :math:`s \ge t`, the lowest of several, and that F1.

    Beyond :data:`EXACT_ENTRIES` entries it is the lower edge of a bin. Both are NaN without anomalous entries.
    """
    counts.count()
    # The best threshold is an anomalous score: up to the next of them, a higher threshold only spares good entries.
    thresholds = counts.anomalous.scores
    if not len(thresholds):
        return math.nan, math.nan
    reached = f1_scores(counts, thresholds)
    best = reached.argmax()
    return float(thresholds[best]), float(reached[best])


def f1_at(counts: ScoreCounts, threshold: float) -> float:
    r"""F1 of the decision :math:`s \ge t`; NaN without anomalous entries. A threshold of NaN raises `ValueError`.

    Beyond :data:`EXACT_ENTRIES` entries all scores in the bin of the threshold count as at least it.
    """
    if math.isnan(threshold):
        raise ValueError("threshold: expected a number, got nan")
    counts.count()
    thresholds = np.array([threshold], dtype=np.float64)
    return float(f1_scores(counts, lower_edges(thresholds) if counts.binned else thresholds)[0])


def f1_scores(counts: ScoreCounts, thresholds: np.ndarray) -> np.ndarray:
    r"""F1 of the decision :math:`s \ge t` at each threshold.

    .. math:: F_1 = \frac{2\,\mathrm{TP}}{2\,\mathrm{TP}+\mathrm{FP}+\mathrm{FN}}
    """
    found = counts.anomalous.at_least(thresholds)
    anomalous = counts.anomalous.sums.sum()
    if not anomalous:
        return np.full(len(thresholds), math.nan)
    return 2 * found / (found + counts.good.at_least(thresholds) + anomalous)


def area(good: Tally, found: Tally, limit: float) -> float:
    """Area under the share of `found` over that of `good`, up to a share of `limit`, divided by it."""
    if not len(good.scores) or not len(found.scores):
        return math.nan
    # Between two scores of `found` the curve is level: its corners are just above each of these scores and at it.
    falling = found.scores[::-1]
    x, y = (
        np.stack([tally.at_least(falling, "right"), tally.at_least(falling)], axis=1).ravel() / tally.sums.sum()
        for tally in (good, found)
    )
    x, y = np.concatenate([[0], x, [1]]), np.concatenate([[0], y, [1]])
    end = np.searchsorted(x, limit, side="right")
    x, y = np.append(x[:end], limit), np.append(y[:end], np.interp(limit, x, y))
    return float(np.diff(x) @ (y[1:] + y[:-1]) / 2 / limit)


def gather_state(state: Tensor, group: object = None) -> list[Tensor]:
    """How torchmetrics is told to gather a metric's state: its own way fails where a process has none of it."""
    return gather(state)
