import copy

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from oddlab import AUPRO
from oddlab.aupro import region_weights


def maps_and_masks(n=3, side=24, seed=0, levels=None):
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), dtype=np.uint8)
    masks[0, 2:5, 2:5] = masks[0, 10:20, 12:22] = masks[1, 0, :] = masks[1, 8, 8] = 1
    maps = rng.random((n, side, side)) + 0.8 * masks
    if levels:
        maps = np.round(maps * levels) / levels
    return torch.from_numpy(maps), torch.from_numpy(masks)


def by_thresholds(maps, masks, limit):
    """The definition, threshold by threshold."""
    maps, masks = maps.numpy(), masks.numpy()
    regions = []
    for scores, mask in zip(maps, masks):
        labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [scores[labelled == k] for k in range(1, n + 1)]
    good = maps[masks == 0]
    points = [(0.0, 0.0)]
    for t in np.unique(maps)[::-1]:
        points.append(((good >= t).mean(), np.mean([(region >= t).mean() for region in regions])))
    fpr, pro = np.array(points).T
    inside = fpr < limit
    x = np.append(fpr[inside], limit)
    y = np.append(pro[inside], np.interp(limit, fpr, pro))
    return float(torch.trapezoid(torch.from_numpy(y), torch.from_numpy(x))) / limit


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("levels", [None, 10])
def test_it_is_the_definition_also_with_ties(limit, levels):
    maps, masks = maps_and_masks(levels=levels)
    metric = AUPRO(limit)
    metric.update(maps, masks)
    assert metric.compute().item() == pytest.approx(by_thresholds(maps, masks, limit), abs=1e-6)


def test_batches_add_up():
    maps, masks = maps_and_masks()
    whole, parts = AUPRO(), AUPRO()
    whole.update(maps, masks)
    for i in range(3):
        parts.update(maps[i : i + 1], masks[i : i + 1])
    assert torch.equal(whole.compute(), parts.compute())


def test_with_one_region_and_no_limit_it_is_pixel_auroc():
    maps, masks = (t[:1] for t in maps_and_masks())
    masks = torch.zeros_like(masks)
    masks[0, 3:9, 3:9] = 1
    metric = AUPRO(1.0)
    metric.update(maps, masks)
    assert metric.compute().item() == pytest.approx(roc_auc_score(masks.flatten(), maps.flatten()), abs=1e-6)


def test_a_small_region_counts_as_much_as_a_large_one():
    mask = torch.zeros(1, 20, 20, dtype=torch.uint8)
    mask[0, :10, :10], mask[0, 15, 15] = 1, 1
    scores = torch.linspace(0, 0.5, 400, dtype=torch.float64).view(1, 20, 20)
    scores[0, :10, :10] = 1  # the large one is found, the small one is not
    metric = AUPRO(0.1)
    metric.update(scores, mask)
    assert metric.compute().item() < 0.6
    assert roc_auc_score(mask.flatten(), scores.flatten()) > 0.98


def test_pixels_that_touch_at_a_corner_are_one_region():
    weights, n = region_weights(torch.eye(3, dtype=torch.uint8))
    assert n == 1 and torch.allclose(weights.diagonal(), torch.tensor(1 / 3))


def test_regions_do_not_reach_from_one_mask_to_the_next_and_good_masks_have_none():
    _, masks = maps_and_masks()
    masks[1, 2:5, 2:5] = 1  # where the first mask has a region too
    weights, n = region_weights(masks)
    alone = [region_weights(mask) for mask in masks]
    assert n == sum(regions for _, regions in alone) == 5
    assert torch.equal(weights, torch.stack([weights for weights, _ in alone])) and not weights[2].any()
    assert weights.sum(dim=(1, 2)).tolist() == pytest.approx([2, 3, 0])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_of_every_dtype_and_a_call_for_one_batch(dtype):
    maps, masks = maps_and_masks()
    metric = AUPRO()
    whole = metric(maps, masks.to(dtype))
    assert torch.equal(whole, metric.compute()) and torch.equal(whole, copy.deepcopy(metric).compute())
    assert whole.item() == pytest.approx(by_thresholds(maps, masks, 0.3), abs=1e-6)


def test_masks_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match="target: expected 0 and 1, got 255"):
        AUPRO().update(torch.rand(1, 4, 4), torch.full((1, 4, 4), 255))
