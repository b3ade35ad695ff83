import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from oddlab import AUPRO, curves
from oddlab.aupro import region_weights
from oddlab.curves import ScoreCounts, auroc, best_f1, f1_at, lower_edges, pro_area
from oddlab.threshold import AdaptiveThreshold

SCORES = {
    "maps' range": lambda rng, n: rng.uniform(5, 60, n),
    "energies": lambda rng, n: rng.lognormal(0, 1, n),
    "log densities": lambda rng, n: -rng.gamma(3, 400, n),
    "both signs": lambda rng, n: rng.normal(0, 2, n),
    "half of them 0": lambda rng, n: rng.uniform(0, 3, n) * rng.integers(0, 2, n),
    "few values": lambda rng, n: rng.integers(0, 6, n) / 3,
    "heavy tails": lambda rng, n: rng.standard_cauchy(n) * 1e6,
}


def sample(name, n=4000, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    scores = SCORES[name](rng, n)
    target = rng.random(n) < 0.1
    scores[target] += 0.7 * np.abs(scores).std()
    return torch.from_numpy(scores.astype(dtype)), torch.from_numpy(target)


def counted(scores, target, weights=None, batches=1):
    counts = ScoreCounts()
    for rows in torch.arange(len(scores)).chunk(batches):
        counts.update(scores[rows], target[rows], None if weights is None else weights[rows])
    return counts


def all_f1(scores, target):
    precision, recall, thresholds = precision_recall_curve(target, scores)
    return dict(zip(thresholds.tolist(), 2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def smooth_maps(n=12, side=64, seed=0):
    """Maps as detectors make them, masks with round defects, and region weights."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(n, side, side)), (0, 4, 4))
    masks = np.zeros((n, side, side), dtype=np.uint8)
    rows, columns = np.mgrid[:side, :side]
    for mask in masks[::3]:
        for _ in range(rng.integers(1, 4)):
            (y, x), radius = rng.integers(0, side, 2), rng.integers(2, 9)
            mask |= (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    maps = 20 + 4 * noise / noise.std() + 6 * ndimage.gaussian_filter(masks.astype(float), (0, 2, 2))
    masks = torch.from_numpy(masks)
    return torch.from_numpy(maps.astype(np.float32)), masks, region_weights(masks)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("limit", [2**24, 1000, 0], ids=["exact", "in bins", "in bins at once"])
@pytest.mark.parametrize("name", SCORES)
def test_figures_are_those_of_scikit_learn(name, limit, dtype, monkeypatch):
    monkeypatch.setattr(curves, "EXACT_ENTRIES", limit)
    scores, target = sample(name, dtype=dtype)
    counts = counted(scores, target, batches=7)
    close = 1e-12 if limit == 2**24 else 1e-4
    assert counts.binned == (limit < 2**24)
    assert auroc(counts) == pytest.approx(roc_auc_score(target, scores), abs=close)
    threshold, reached = best_f1(counts)
    expected = all_f1(scores, target)
    assert reached == pytest.approx(max(expected.values()), abs=close)
    # The threshold decides exactly as it was counted, in bins too.
    assert reached == pytest.approx(f1_score(target, scores >= threshold), abs=1e-12)
    assert f1_at(counts, threshold) == reached
    if limit == 2**24:
        assert threshold == max(expected, key=expected.get)
    one_entry = 1e-12 if limit == 2**24 else 2e-3  # of few, all that are in the threshold's bin weigh more
    for t in (*scores[:20].tolist(), -math.inf, math.inf, 0.1):
        assert f1_at(counts, t) == pytest.approx(f1_score(target, scores >= t), abs=one_entry)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_figures_of_maps_in_bins_are_the_exact_ones(limit, monkeypatch):
    maps, masks, weights = smooth_maps()
    exact = counted(maps, masks, weights)
    monkeypatch.setattr(curves, "EXACT_ENTRIES", 10_000)
    in_bins = counted(maps, masks, weights, batches=4)
    assert in_bins.binned and not exact.binned
    assert pro_area(in_bins, fpr_limit=limit) == pytest.approx(pro_area(exact, fpr_limit=limit), abs=1e-4)
    assert auroc(in_bins) == pytest.approx(auroc(exact), abs=1e-5)
    assert best_f1(in_bins)[1] == pytest.approx(best_f1(exact)[1], abs=1e-4)
    t = best_f1(exact)[0]
    assert f1_at(in_bins, t) == pytest.approx(f1_at(exact, t), abs=1e-4)


few_levels = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30)


@given(few_levels, st.integers(1, 4), st.booleans())
def test_ties_and_batches(entries, batches, in_bins):
    scores = torch.tensor([score / 3 for score, _ in entries])
    target = torch.tensor([anomalous for _, anomalous in entries])
    counts = counted(scores, target, batches=batches)
    counts.binned = in_bins  # seven levels that are far apart: the same in bins
    if target.any():
        f1 = all_f1(scores, target)
        threshold, reached = best_f1(counts)
        assert reached == pytest.approx(max(f1.values()))
        assert threshold == pytest.approx(min(t for t in f1 if f1[t] > reached - 1e-9), rel=2**-16)
        assert f1_at(counts, threshold) == reached
    if target.any() and not target.all():
        assert auroc(counts) == pytest.approx(roc_auc_score(target, scores))


@given(few_levels, few_levels)
def test_merged_counts_are_those_of_all_entries(first, second):
    parts = [tuple(torch.tensor(values) for values in zip(*part)) for part in (first, second)]
    parts = [(scores.float(), target) for scores, target in parts]
    together = counted(*(torch.cat(both) for both in zip(*parts)))
    one, other = (counted(*part) for part in parts)
    auroc(other)  # counted before it is merged
    merged = one.merge(other)
    assert merged is one and merged.entries == together.entries
    for figure in (auroc, lambda c: best_f1(c)[0], lambda c: best_f1(c)[1]):
        assert figure(merged) == pytest.approx(figure(together), nan_ok=True)
    assert other.entries == len(second)


@pytest.mark.parametrize(("limit", "binned"), [(8000, False), (7999, True), (3000, True)])
def test_merged_counts_are_exact_up_to_the_limit(limit, binned, monkeypatch):
    monkeypatch.setattr(curves, "EXACT_ENTRIES", limit)
    parts = [sample("both signs", seed=seed) for seed in (0, 1)]
    merged = counted(*parts[0]).merge(counted(*parts[1], batches=5))
    assert merged.binned == binned
    scores, target = (torch.cat(both) for both in zip(*parts))
    assert auroc(merged) == pytest.approx(roc_auc_score(target, scores), abs=1e-5 if binned else 1e-12)
    threshold, reached = best_f1(merged)
    assert reached == pytest.approx(f1_score(target, scores >= threshold), abs=1e-12)


floats = st.floats(width=32, allow_nan=False)


@given(floats, floats)
def test_edges_of_bins(a, b):
    edges = lower_edges(np.float32([a, b]))
    assert (edges <= [a, b]).all() and np.array_equal(lower_edges(edges), edges)
    assert (a <= b) == (edges[0] <= edges[1]) or edges[0] == edges[1]
    wide = lower_edges(np.array([a, b], dtype=np.float64))
    for value, edge, wide_edge in zip((a, b), edges, wide):
        if abs(value) >= np.finfo(np.float32).tiny and abs(edge) <= np.finfo(np.float32).max:
            assert edge == wide_edge and value - edge <= 2**-16 * abs(value) and (value >= edge)


def test_only_what_is_not_counted_yet_is_kept(monkeypatch):
    monkeypatch.setattr(curves, "EXACT_ENTRIES", 5000)
    counts = ScoreCounts()
    for seed in range(40):
        scores, target = sample("maps' range", 1000, seed)
        counts.update(scores, target, target.float())
        held = sum(len(part[0]) for tally in (counts.good, counts.anomalous) for part in tally.parts)
        assert held - len(counts.good.scores) - len(counts.anomalous.scores) <= 5000
    assert counts.entries == 40_000 and counts.good.sums.sum() + counts.anomalous.sums.sum() <= 40_000
    counts.count()
    assert counts.good.sums.sum() + counts.anomalous.sums.sum() == 40_000


def test_one_class_alone():
    scores = torch.tensor([1.0, 2.0, 3.0])
    empty, good = ScoreCounts(), counted(scores, torch.zeros(3))
    anomalous = counted(scores, torch.ones(3), torch.ones(3))
    for counts in (empty, good, anomalous):
        assert math.isnan(auroc(counts)) and math.isnan(pro_area(counts))
    for counts in (empty, good):
        assert all(math.isnan(value) for value in (*best_f1(counts), f1_at(counts, 2.0)))
    assert best_f1(anomalous) == (1.0, 1.0) and f1_at(anomalous, 2.0) == pytest.approx(0.8)


def test_equal_scores_and_infinite_ones():
    equal = counted(torch.full((5,), 7.0), torch.tensor([0, 1, 0, 1, 0]))
    assert auroc(equal) == 0.5 and best_f1(equal) == (7.0, pytest.approx(4 / 7))
    infinite = counted(torch.tensor([-math.inf, 0.0, math.inf]), torch.tensor([0, 0, 1]))
    assert auroc(infinite) == 1 and best_f1(infinite) == (math.inf, 1.0)
    infinite.binned = True
    assert auroc(infinite) == 1 and best_f1(infinite) == (math.inf, 1.0)


@pytest.mark.parametrize("target", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_and_shapes(dtype, target):
    scores, labels = sample("energies", 600, dtype=np.float64)
    scores = scores.to(dtype).view(2, 3, 100)
    before = scores.clone()
    counts = counted(scores, labels.view(2, 3, 100).to(target), batches=2)
    counts.update(scores[:0], labels.view(2, 3, 100)[:0])
    assert auroc(counts) == pytest.approx(roc_auc_score(labels, scores.double().flatten()), abs=1e-12)
    threshold, reached = best_f1(counts)
    assert reached == pytest.approx(f1_score(labels, scores.flatten() >= threshold), abs=1e-12)
    assert torch.equal(scores, before)


def test_what_is_changed_after_an_update_does_not_count():
    scores, target = torch.tensor([1.0, 2.0]), torch.tensor([0, 1])
    counts = counted(scores, target)
    scores.fill_(0)
    target.fill_(0)
    assert auroc(counts) == 1


REFUSED = {
    "NaN": (lambda c: c.update(torch.tensor([1, math.nan]), torch.zeros(2)), "scores: expected numbers, got 1 NaN"),
    "whole numbers": (lambda c: c.update(torch.arange(2), torch.zeros(2)), "scores: expected a floating-.* int64"),
    "no tensor": (lambda c: c.update([1.0], torch.zeros(1)), "scores: expected a floating-point tensor, got list"),
    "a mask of 255": (lambda c: c.update(torch.ones(1), torch.tensor([255])), "target: expected 0 and 1, got 255"),
    "shape": (lambda c: c.update(torch.ones(2), torch.ones(3)), r"target: .* of scores, \(2,\), got \(3,\)"),
    "weights": (lambda c: c.update(torch.ones(2), torch.ones(2), torch.ones(1)), r"weights: .* \(2,\), got \(1,\)"),
    "threshold": (lambda c: f1_at(c, math.nan), "threshold: expected a number, got nan"),
    "limit": (lambda c: pro_area(c, fpr_limit=0.0), "fpr_limit: expected .* got 0.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(case):
    call, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call(ScoreCounts())


SMALL_LIMIT = 3000
ENTRIES = {  # on each process
    "exact": (1000, 1700),
    "none on the first": (0, 1700),
    "none on the second": (1000, 0),
    "too many together": (2000, 2500),
    "bins on the second": (1000, 5000),
    "none at all": (0, 0),
}


def part(case, rank):
    maps, masks, weights = smooth_maps(20, 16, seed=rank)
    n = ENTRIES[case][rank]
    return tuple(values.flatten()[:n] for values in (maps, masks, weights))


def figures(counts):
    return [auroc(counts), *best_f1(counts), f1_at(counts, 22.0), pro_area(counts)]


def on_process(rank, folder):
    """What one of two processes does in the test below, which runs this file as a script."""
    curves.EXACT_ENTRIES = SMALL_LIMIT
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for case in ENTRIES:
        own = counted(*part(case, rank)) if ENTRIES[case][rank] else ScoreCounts()
        binned = own.binned
        together = own.gather()
        assert own.binned == binned and own.entries == ENTRIES[case][rank]
        found[case] = (figures(together), together.entries, together.binned)
    for dtype in (torch.float32, torch.float64):
        threshold, aupro = AdaptiveThreshold(), AUPRO()
        if rank == 1:
            maps, masks, _ = smooth_maps(4, 16)
            threshold.update(maps.to(dtype), masks.long())
            aupro.update(maps.to(dtype), masks.long())
        found[str(dtype)] = threshold.compute().item(), aupro.compute().item()
    torch.save(found, f"{folder}/{rank}.pt")


def test_two_processes_know_the_figures_of_all_entries(tmp_path, monkeypatch):
    commands = [[sys.executable, __file__, str(rank), str(tmp_path)] for rank in (0, 1)]
    started = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    monkeypatch.setattr(curves, "EXACT_ENTRIES", SMALL_LIMIT)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for case, entries in ENTRIES.items():
        expected = counted(*(torch.cat(both) for both in zip(part(case, 0), part(case, 1))))
        assert first[case][1:] == (sum(entries), sum(entries) > SMALL_LIMIT)
        assert first[case][0] == pytest.approx(figures(expected), abs=1e-9, nan_ok=True)
        assert str(first[case]) == str(second[case])
    maps, masks, _ = smooth_maps(4, 16)
    for metric, place in ((AdaptiveThreshold(), 0), (AUPRO(), 1)):
        metric.update(maps, masks)
        for of in (first, second):
            for dtype in ("torch.float32", "torch.float64"):
                assert of[dtype][place] == pytest.approx(metric.compute().item(), abs=1e-6)


def test_without_other_processes_gathered_counts_are_the_same_object():
    counts = counted(*sample("energies", 10))
    assert counts.gather() is counts


if __name__ == "__main__":
    on_process(int(sys.argv[1]), Path(sys.argv[2]))
