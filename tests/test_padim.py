import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from scipy import ndimage

from oddlab import FeatureExtractor, PaDiM, normalization
from oddlab.data import ImageData, read_folder, texture_folder


def trainer(**kwargs):
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return pl.Trainer(accelerator="cpu", **{**dict.fromkeys(off, False), **kwargs})


@pytest.fixture(scope="module")
def gravel():
    return ImageData(*read_folder(texture_folder(), "gravel"), image_size=128)


@pytest.fixture(scope="module")
def fitted(gravel):
    model = PaDiM(image_size=128)
    lightning = trainer()  # no max_epochs: the model itself ends after one
    lightning.fit(model, gravel)
    assert lightning.current_epoch == 1
    return model


def scores_of(model, data):
    return torch.cat([batch["pred_scores"] for batch in trainer().predict(model, data)])


def test_it_finds_defects_on_photographs_but_not_all_of_them(fitted, gravel):
    figures = trainer().test(fitted, gravel, verbose=False)[0]
    assert 0.95 <= figures["image_AUROC"] <= 0.995
    assert figures["pixel_AUROC"] > 0.95 and figures["pixel_AUPRO"] > 0.85 and figures["image_F1Score"] > 0.85


def test_random_weights_find_less(gravel):
    torch.manual_seed(0)
    model = PaDiM(image_size=128, pre_trained=False)
    trainer().fit(model, gravel)
    assert trainer().test(model, gravel, verbose=False)[0]["image_AUROC"] < 0.9


def test_a_checkpoint_of_the_trainer_predicts_the_same_to_the_last_bit(gravel, tmp_path):
    model, lightning = PaDiM(image_size=128), trainer(max_epochs=1)
    lightning.fit(model, gravel)
    lightning.save_checkpoint(tmp_path / "padim.ckpt")
    expected = trainer().predict(model, gravel)
    fresh = PaDiM(image_size=128)
    stored = torch.load(tmp_path / "padim.ckpt", weights_only=True)
    fresh.load_state_dict(stored["state_dict"])
    loaded = PaDiM.load_from_checkpoint(tmp_path / "padim.ckpt", weights_only=True)
    for other in (fresh, loaded):
        for ours, theirs in zip(trainer().predict(other, gravel), expected, strict=True):
            for name in ("anomaly_maps", "pred_scores", "pred_labels", "pred_masks"):
                assert torch.equal(ours[name], theirs[name]), name


def test_maps_are_the_papers_formula_step_by_step():
    g = torch.Generator().manual_seed(0)
    train, test = torch.rand(12, 3, 64, 64, generator=g), torch.rand(2, 3, 64, 64, generator=g)
    layers = ["blocks.2", "blocks.4"]
    model = PaDiM(layers=layers, image_size=64, n_features=10, ridge=0.1, random_state=3)
    for batch in train.split(5):
        model.fit_batch(batch)

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    extractor = FeatureExtractor("efficientnet_lite0", layers)
    index = torch.randperm(64, generator=torch.Generator().manual_seed(3))[:10].sort().values

    def embed(x):
        maps = extractor((x - mean) / std)
        joined = torch.cat([maps["blocks.2"], F.interpolate(maps["blocks.4"], scale_factor=2)], dim=1)[:, index]
        return joined.double().numpy()

    a, b = embed(train), embed(test)
    ridge = 0.1 * a.var(axis=0, ddof=1).mean()
    distances = np.empty((2, 16, 16))
    for u in range(16):
        for v in range(16):
            inverse = np.linalg.inv(np.cov(a[:, :, u, v], rowvar=False) + ridge * np.eye(10))
            delta = b[:, :, u, v] - a[:, :, u, v].mean(axis=0)
            distances[:, u, v] = np.sqrt(np.einsum("nd,de,ne->n", delta, inverse, delta))
    enlarged = F.interpolate(torch.from_numpy(distances)[:, None], size=64, mode="bilinear").squeeze(1).numpy()
    expected = ndimage.gaussian_filter(enlarged, (0, 4, 4), mode="mirror")
    np.testing.assert_allclose(model(test)["anomaly_maps"].numpy(), expected, rtol=2e-3)


def test_a_second_fit_starts_anew(fitted, gravel):
    before = scores_of(fitted, gravel)
    trainer(max_epochs=3).fit(fitted, gravel)
    assert torch.equal(scores_of(fitted, gravel), before)
    assert int(fitted.gaussian.n_samples) == 160


def test_a_module_serves_as_backbone_and_its_checkpoint_loads_beside_it(gravel, tmp_path):
    from oddlab import load_backbone

    model, lightning = (
        PaDiM(load_backbone("efficientnet_lite0"), ["blocks.4"], image_size=128),
        trainer(limit_train_batches=2),
    )
    lightning.fit(model, gravel)
    lightning.save_checkpoint(tmp_path / "own.ckpt")
    loaded = PaDiM.load_from_checkpoint(
        tmp_path / "own.ckpt", weights_only=True, backbone=load_backbone("efficientnet_lite0")
    )
    images = torch.rand(1, 3, 128, 128)
    assert torch.equal(loaded.eval()(images)["pred_scores"], model.eval()(images)["pred_scores"])
