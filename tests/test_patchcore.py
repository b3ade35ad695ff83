import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from oddlab import FeatureExtractor, PatchCore, normalization
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import trainer
from oddlab.neighbors import nearest

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def brick():
    return ImageData(*read_folder(texture_folder(), "brick"), image_size=128, val_split=None)


@pytest.fixture(scope="module")
def fitted(brick):
    model = PatchCore(image_size=128, sampling_ratio=0.01)
    trainer(DEVICE).fit(model, brick)
    return model


def scores_of(model, data):
    return torch.cat([batch["pred_scores"] for batch in trainer(DEVICE).predict(model, data)])


def test_it_finds_drawn_defects_with_one_patch_in_a_hundred(fitted, brick):
    assert fitted.bank.shape == (409, 152)
    figures = trainer(DEVICE).test(fitted, brick, verbose=False)[0]
    assert 0.95 < figures["image_AUROC"] < 0.995
    assert figures["pixel_AUROC"] > 0.93 and figures["pixel_AUPRO"] > 0.85


def test_a_second_fit_starts_anew_and_gives_the_same_bank(fitted, brick):
    bank = fitted.bank
    trainer(DEVICE).fit(fitted, brick)
    assert torch.equal(fitted.bank, bank)


def test_a_checkpoint_of_the_trainer_predicts_the_same_to_the_last_bit(brick, tmp_path):
    small = ImageData(brick.train_set.samples[:12], brick.test_set.samples[:40], image_size=64)
    model, lightning = PatchCore(image_size=64), trainer(DEVICE)
    lightning.fit(model, small)
    lightning.save_checkpoint(tmp_path / "patchcore.ckpt")
    fresh = PatchCore(image_size=64)
    fresh.load_state_dict(torch.load(tmp_path / "patchcore.ckpt", weights_only=True)["state_dict"])
    loaded = PatchCore.load_from_checkpoint(tmp_path / "patchcore.ckpt", weights_only=True)
    expected = scores_of(model, small)
    assert torch.equal(scores_of(fresh, small), expected) and torch.equal(scores_of(loaded, small), expected)


def test_maps_and_scores_are_the_papers_formulas_step_by_step():
    g = torch.Generator().manual_seed(0)
    train, test = torch.rand(6, 3, 64, 64, generator=g), torch.rand(3, 3, 64, 64, generator=g)
    layers = ["blocks.2", "blocks.4"]
    model = PatchCore(layers=layers, image_size=64, sampling_ratio=0.05, n_neighbors=4, sigma=2.0, random_state=3)
    for batch in train.split(4):
        model.fit_batch(batch)
    model.finish_fit()

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    maps = FeatureExtractor("efficientnet_lite0", layers)((test - mean) / std)
    pooled = [F.avg_pool2d(m, 3, stride=1, padding=1) for m in maps.values()]
    grid = torch.cat([pooled[0], F.interpolate(pooled[1], scale_factor=2, mode="bilinear")], dim=1)
    patches = grid.permute(0, 2, 3, 1).flatten(1, 2).double().numpy()
    bank = model.bank.double().numpy()
    assert len(bank) == int(0.05 * 6 * 16 * 16)

    distances = np.linalg.norm(patches[:, :, None] - bank, axis=3)
    nearest = distances.min(axis=2).reshape(3, 16, 16)
    enlarged = F.interpolate(torch.from_numpy(nearest)[:, None], size=64, mode="bilinear").squeeze(1).numpy()
    found = model(test)
    got, scores = found["anomaly_maps"], found["pred_scores"]
    np.testing.assert_allclose(got.numpy(), ndimage.gaussian_filter(enlarged, (0, 2, 2), mode="mirror"), rtol=1e-4)
    for n in range(3):
        patch = distances[n].min(axis=1).argmax()
        closest = bank[distances[n, patch].argmin()]
        around = np.argsort(np.linalg.norm(bank - closest, axis=1))[:4]
        weight = 1 - np.exp(distances[n, patch].min()) / np.exp(distances[n, patch, around]).sum()
        assert scores[n].item() == pytest.approx(weight * distances[n, patch].min(), rel=1e-4)


def test_one_neighbour_leaves_the_largest_distance_as_the_score():
    g = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 64, 64, generator=g)
    model = PatchCore(layers=["blocks.2"], image_size=64, n_neighbors=1, sigma=0.1)
    model.fit_batch(images)
    model.finish_fit()
    test = torch.rand(2, 3, 64, 64, generator=g)
    patches = model.embed(test).flatten(0, 1)
    expected = torch.cdist(patches, model.bank).amin(dim=1).view(2, -1).amax(dim=1)
    torch.testing.assert_close(model(test)["pred_scores"], expected, rtol=1e-4, atol=0)


def test_far_away_patches_have_a_finite_score():
    model = PatchCore(layers=["blocks.2"], image_size=32)
    model.fit_batch(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    model.finish_fit()
    model.bank = model.bank * 1000
    found = model(torch.rand(1, 3, 32, 32))
    maps, scores = found["anomaly_maps"], found["pred_scores"]
    assert scores.isfinite().all() and scores > 100 and maps.isfinite().all()  # e to the 100 is beyond float32


def test_images_can_be_added_to_a_bank_that_is_there():
    g = torch.Generator().manual_seed(0)
    first, more = torch.rand(4, 3, 32, 32, generator=g), torch.rand(6, 3, 32, 32, generator=g) * 0.2
    model = PatchCore(layers=["blocks.2"], image_size=32, sampling_ratio=0.25)
    model.fit_batch(first)
    model.finish_fit()
    before, far = model.bank, model(more)["pred_scores"]
    model.fit_batch(more)
    model.finish_fit()
    assert torch.equal(model.bank[: len(before)], before) and len(model.bank) == len(before) + 6 * 64 // 4
    added = model.bank[len(before) :]
    assert (nearest(added, model.embed(more).flatten(0, 1), added[0])[0] == 0).all()
    assert (model(more)["pred_scores"] < far).all()
