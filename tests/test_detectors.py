"""What holds for all detectors alike under a Trainer, and without one."""

import inspect
import warnings

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from oddlab import DFKDE, DFM, FastFlow, PaDiM, PatchCore, load_backbone
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.models.one_pass import OnePassDetector

SMALL = {"layers": ["blocks.1"], "image_size": 32}
DETECTORS = {
    "PaDiM": lambda **kwargs: PaDiM(**{**SMALL, "n_features": 8, **kwargs}),
    "PatchCore": lambda **kwargs: PatchCore(**{**SMALL, "sampling_ratio": 0.05, **kwargs}),
    "DFKDE": lambda **kwargs: DFKDE(**{**SMALL, "n_components": 2, **kwargs}),
    "DFM": lambda **kwargs: DFM(**{**SMALL, "n_components": 2, **kwargs}),
    "FastFlow": lambda **kwargs: FastFlow(**{**SMALL, "flow_steps": 2, **kwargs}),
}
EACH = pytest.mark.parametrize("name", DETECTORS)


def trainer(folder, **kwargs):
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    return pl.Trainer(**{"accelerator": "cpu", "max_epochs": 1, "default_root_dir": folder, **off, **kwargs})


@pytest.fixture(scope="module")
def data():
    train, test = read_folder(texture_folder(), "gravel")
    return ImageData(train[:12], test[::3], image_size=32, batch_size=4)


def images(n=3, seed=0):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@EACH
def test_the_trainers_default_checkpoint_holds_the_fitted_detector(name, data, tmp_path):
    model, lightning = DETECTORS[name](), trainer(tmp_path)
    lightning.fit(model, data)
    stored = lightning.checkpoint_callback.best_model_path
    loaded = type(model).load_from_checkpoint(stored, weights_only=True)
    assert lightning.global_step == 3 and loaded.is_fitted and not loaded.image_threshold.isnan()
    for key, value in model.predict_step({"image": images()}).items():
        assert torch.equal(loaded.predict_step({"image": images()})[key], value), key
    assert loaded.hparams == model.hparams and repr(loaded) == repr(model)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "FastFlow"])  # whose features are others now
def test_a_checkpoint_from_before_the_network_was_the_detector_itself_loads(name, data, tmp_path):
    model, lightning = DETECTORS[name](), trainer(tmp_path)
    lightning.fit(model, data)
    stored = torch.load(lightning.checkpoint_callback.best_model_path, weights_only=True)
    thresholds = ("image_threshold", "pixel_threshold")
    stored["state_dict"] = {
        key if key in thresholds else f"model.{key}": value
        for key, value in stored["state_dict"].items()
        if "pixel_mean" not in key and "pixel_std" not in key
    }
    torch.save(stored, tmp_path / "old.ckpt")
    loaded = type(model).load_from_checkpoint(tmp_path / "old.ckpt", weights_only=True)
    assert torch.equal(loaded(images())["pred_scores"], model.eval()(images())["pred_scores"])


@EACH
def test_validation_in_the_middle_of_a_fit_waits_until_there_is_something_to_validate(name, data, tmp_path):
    model, lightning = DETECTORS[name](), trainer(tmp_path, val_check_interval=1 / 3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lightning.fit(model, data)
    waits = any("is validated when its fit has ended" in str(warning.message) for warning in said)
    assert waits == (name in ("PatchCore", "DFKDE", "DFM"))  # the others have something after every batch
    assert not model.image_threshold.isnan() and "image_AUROC" in lightning.callback_metrics


@EACH
def test_half_precision_in_the_trainer_rounds_the_network_and_nothing_else(name, data, tmp_path):
    full, half = DETECTORS[name](), DETECTORS[name]()
    trainer(tmp_path).fit(full, data)
    trainer(tmp_path, precision="bf16-mixed").fit(half, data)
    for key, value in half.state_dict().items():
        assert not value.is_floating_point() or value.dtype == torch.float32, key
    found, expected = (trainer(tmp_path).predict(model, data)[0]["pred_scores"] for model in (half, full))
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    with torch.autocast("cpu", torch.bfloat16):
        rounded = full.eval()(images())
        features = full.features(images())
    assert rounded["pred_scores"].dtype == features.dtype == torch.float32
    if isinstance(full, OnePassDetector):  # the flow's own convolutions are rounded too
        full.features.forward = lambda given: features
        assert torch.equal(full(images())["pred_scores"], rounded["pred_scores"])


@EACH
def test_the_callers_backbone_is_left_alone_and_any_dtype_is_taken(name):
    backbone = load_backbone("efficientnet_lite0").double().train()
    model = DETECTORS[name](backbone=backbone)
    assert backbone.training and all(p.requires_grad for p in backbone.parameters())
    assert model.features.pixel_mean.dtype == torch.float64
    assert "backbone" not in model.hparams


@EACH
def test_a_detector_with_own_weights_is_loaded_without_their_file(name, data, tmp_path):
    file = tmp_path / "own.pt"
    own = load_backbone("efficientnet_lite0", pre_trained=False).state_dict()
    torch.save({"model": own, "normalization": ([0.25] * 3, [0.5] * 3)}, file)
    model, lightning = DETECTORS[name](weights=file), trainer(tmp_path)
    lightning.fit(model, data)
    file.unlink()
    loaded = type(model).load_from_checkpoint(lightning.checkpoint_callback.best_model_path, weights_only=True)
    assert torch.equal(loaded.features.extractor.backbone.stem[0].weight, own["stem.0.weight"])
    mean, std = loaded.features.pixel_mean, loaded.features.pixel_std
    assert mean.flatten().tolist() == [0.25] * 3 and std.flatten().tolist() == [0.5] * 3
    for key, value in model.predict_step({"image": images()}).items():
        assert torch.equal(loaded.predict_step({"image": images()})[key], value), key
    assert loaded.hparams["weights"] == str(file) and f"weights={str(file)!r}, " in repr(loaded)
    with pytest.raises(ValueError, match="weights: expected the path of a file, got .*own.pt', which is not there"):
        DETECTORS[name](weights=file)


@EACH
def test_numpy_numbers_and_generators_are_taken_and_stored_as_far_as_they_can_be(name, tmp_path):
    model = DETECTORS[name](image_size=np.int64(32), **({} if name == "DFKDE" else {"sigma": np.float64(2.0)}))
    assert type(model.hparams["image_size"]) is int
    if "random_state" in inspect.signature(type(model)).parameters:
        seeded = DETECTORS[name](random_state=torch.Generator().manual_seed(0))
        assert "random_state" not in seeded.hparams
    torch.save(dict(model.hparams), tmp_path / "arguments.pt")
    assert torch.load(tmp_path / "arguments.pt", weights_only=True)["image_size"] == 32


@pytest.mark.parametrize("name", ["PaDiM", "PatchCore", "DFM", "FastFlow"])
def test_sigma_0_leaves_maps_sharp(name, data, tmp_path):
    sharp, blurred = DETECTORS[name](sigma=0), DETECTORS[name]()
    for model in (sharp, blurred):
        trainer(tmp_path, limit_val_batches=0).fit(model, data)
    maps, expected = (model.eval()(images())["anomaly_maps"] for model in (sharp, blurred))
    torch.testing.assert_close(blurred.blur(maps[:, None])[:, 0], expected)
    assert maps.std() > 1.2 * expected.std()
    with pytest.raises(ValueError, match="sigma: expected a finite number of at least 0, got -1.0"):
        DETECTORS[name](sigma=-1.0)


@EACH
def test_it_is_fitted_and_asked_without_a_trainer_as_with_one(name, data, tmp_path):
    by_hand, by_trainer = DETECTORS[name](), DETECTORS[name]()
    trainer(tmp_path, limit_val_batches=0).fit(by_trainer, data)
    loader = data.train_dataloader()
    if name == "FastFlow":
        by_hand.standardize(batch["image"] for batch in loader)
        assert torch.equal(by_hand.whitenings[0].matrix, by_trainer.whitenings[0].matrix)
        return
    for batch in loader:
        assert by_hand.fit_batch(batch["image"]) is by_hand
    assert by_hand.finish_fit() is by_hand
    assert torch.equal(by_hand(images())["pred_scores"], by_trainer.eval()(images())["pred_scores"])


def test_two_kinds_of_loaders_predict():
    model = PaDiM(**SMALL).fit_batch(images(8)).finish_fit()
    loaders = [DataLoader([{"image": image} for image in images(4, seed)], batch_size=2) for seed in (1, 2)]
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    predicted = pl.Trainer(accelerator="cpu", **off).predict(model, loaders)
    assert [len(part) for part in predicted] == [2, 2]
