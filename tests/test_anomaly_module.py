import math

import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAUROC

from oddlab import AnomalyModule
from oddlab.threshold import AdaptiveThreshold


class Brightness(AnomalyModule):
    """Calls bright images anomalous; `scale` puts its scores where a sigmoid makes them all one."""

    def __init__(self, scale=100.0, maps=True):
        super().__init__()
        self.scale, self.maps = scale, maps
        self.model = torch.nn.Identity()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return []

    def training_step(self, batch, batch_idx):
        pass

    def validation_step(self, batch, batch_idx):
        brightness = self.scale * self(batch["image"]).mean(dim=1)
        return (
            {**batch, "anomaly_maps": brightness}
            if self.maps
            else {**batch, "pred_scores": brightness.mean(dim=(1, 2))}
        )


class Written(AnomalyModule):
    """The same, as a detector is written here."""

    def forward(self, images):
        return {"anomaly_maps": 100 * images.mean(dim=1)}


def batches(n=40, masks=True, anomalies=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    items = []
    for i in range(n):
        image = torch.rand(3, 8, 8, generator=g)
        mask = torch.zeros(8, 8, dtype=torch.uint8)
        if anomalies and i % 2:
            mask[2:4, 3:6] = 1
            image += 0.5 * mask
        items.append({"image": image, "label": mask.max().long(), **({"mask": mask} if masks else {})})
    return DataLoader(items, batch_size=8)


def trainer(**kwargs):
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return pl.Trainer(accelerator="cpu", max_epochs=1, **{**dict.fromkeys(off, False), **kwargs})


def expected(loader, scale=100.0):
    items = list(loader.dataset)
    maps = torch.stack([scale * item["image"].mean(dim=0) for item in items])
    return maps, torch.stack([item["label"] for item in items]), torch.stack([item["mask"] for item in items])


def test_figures_of_merit_are_those_of_scikit_learn():
    module, val, test = Brightness(), batches(), batches(seed=1)
    trainer().validate(module, val, verbose=False)
    logged = trainer().test(module, test, verbose=False)[0]
    maps, labels, masks = expected(test)
    scores = maps.flatten(1).amax(1)
    assert set(logged) == {"image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score", "pixel_AUPRO"}
    assert logged["image_AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert logged["pixel_AUROC"] == pytest.approx(roc_auc_score(masks.flatten(), maps.flatten()), abs=1e-6)
    assert logged["image_F1Score"] == pytest.approx(f1_score(labels, scores >= module.image_threshold), abs=1e-6)
    assert logged["pixel_F1Score"] == pytest.approx(
        f1_score(masks.flatten(), maps.flatten() >= module.pixel_threshold), abs=1e-6
    )


def test_the_threshold_is_the_one_with_the_best_f1_and_comes_from_validation():
    module, val = Brightness(), batches()
    logged = trainer().validate(module, val, verbose=False)[0]
    maps, labels, _ = expected(val)
    scores = maps.flatten(1).amax(1)
    best = max(f1_score(labels, scores >= t) for t in scores)
    assert logged["image_F1Score"] == pytest.approx(best, abs=1e-6)
    before = module.image_threshold.clone()
    trainer().test(module, batches(seed=1), verbose=False)
    assert torch.equal(module.image_threshold, before)


def test_scores_outside_0_1_are_not_passed_through_a_sigmoid():
    # torchmetrics takes them for logits by default; at 25 in float32 all are 1 and AUROC is a half.
    scores, labels = torch.tensor([20.0, 21, 22, 23, 24, 25]), torch.tensor([0, 0, 1, 0, 1, 1])
    assert BinaryAUROC()(scores, labels) == 0.5
    logged = [trainer().validate(Brightness(scale), batches(), verbose=False)[0]["image_AUROC"] for scale in (1.0, 1e4)]
    assert logged[0] == logged[1] > 0.9


def test_predictions_hold_decisions_once_there_are_thresholds():
    module, data = Brightness(), batches()
    first = trainer().predict(module, data)[0]
    assert "pred_scores" in first and "pred_labels" not in first and "pred_masks" not in first
    trainer().validate(module, data, verbose=False)
    prediction = trainer().predict(module, data)[0]
    assert prediction["pred_labels"].dtype == torch.bool and prediction["pred_masks"].shape == (8, 8, 8)
    assert torch.equal(prediction["pred_labels"], prediction["pred_scores"] >= module.image_threshold)
    assert torch.equal(prediction["pred_masks"], prediction["anomaly_maps"] >= module.pixel_threshold)


def test_without_masks_there_are_image_figures_only():
    module, data = Brightness(maps=False), batches(masks=False)
    logged = trainer().validate(module, data, verbose=False)[0]
    assert set(logged) == {"image_AUROC", "image_F1Score"} and module.pixel_threshold.isnan()


def test_good_images_alone_log_nothing_and_set_a_threshold_at_the_false_alarm_rate():
    module, data = Brightness(), batches(anomalies=False)
    with pytest.warns(UserWarning, match="there are good images only, so AUROC and F1 are not defined"):
        assert trainer().validate(module, data, verbose=False) == [{}]
    peaks = expected(data)[0].flatten(1).amax(dim=1).sort().values
    # Of 40 images the 39th: ceil(41 * 0.95) = 39.
    assert module.image_threshold == torch.nextafter(peaks[38], torch.tensor(math.inf)) == module.pixel_threshold
    module.false_alarm_rate = 0.5
    trainer().validate(module, batches(), verbose=False)  # with a rate, defects do not choose
    good = [maps.max() for maps, label in zip(*expected(batches())[:2]) if not label]
    assert (torch.stack(good) >= module.image_threshold).float().mean() <= 0.5
    module.false_alarm_rate = 0.01
    with pytest.warns(UserWarning, match="20 good images cannot promise a false alarm rate of 0.01, which takes 99"):
        trainer().validate(module, batches(), verbose=False)
    assert module.image_threshold == math.inf


def test_anomalous_images_alone_choose_no_threshold():
    module = Brightness()
    items = [item for item in batches().dataset if item["label"]]
    with pytest.warns(UserWarning, match="no threshold is chosen, since no image is good"):
        assert trainer().validate(module, DataLoader(items, batch_size=8), verbose=False) == [{}]
    assert module.image_threshold.isnan()


def test_masks_that_mark_no_pixel_and_images_without_masks_are_said():
    items = [{**item, "mask": torch.zeros_like(item["mask"])} for item in batches().dataset]
    with pytest.warns(UserWarning, match="the masks of 20 of 20 anomalous images mark no pixel"):
        logged = trainer().validate(Brightness(), DataLoader(items, batch_size=8), verbose=False)[0]
    assert set(logged) == {"image_AUROC", "image_F1Score"}
    with pytest.warns(UserWarning, match="40 of 40 images have no mask, so there are no figures of pixels"):
        logged = trainer().validate(Brightness(), batches(masks=False), verbose=False)[0]
    assert set(logged) == {"image_AUROC", "image_F1Score"}


def test_a_batch_without_labels_is_refused_by_name():
    items = [{"image": item["image"]} for item in batches().dataset]
    with pytest.raises(ValueError, match="batch: expected 'label'"):
        trainer().validate(Brightness(), DataLoader(items, batch_size=8), verbose=False)


def test_several_loaders_predict_and_are_judged_together():
    module, first, second = Written(), batches(), batches(seed=1)
    predicted = trainer().predict(module, [first, second])
    assert [len(of_loader) for of_loader in predicted] == [5, 5]
    logged = trainer().validate(module, [first, second], verbose=False)
    maps, labels, _ = (torch.cat(pair) for pair in zip(expected(first), expected(second)))
    found = {name.split("/")[0]: value for part in logged for name, value in part.items()}
    assert found["image_AUROC"] == pytest.approx(roc_auc_score(labels, maps.flatten(1).amax(1)), abs=1e-6)
    assert torch.equal(module.predict_step(next(iter(first)), 0, 1)["pred_scores"], predicted[0][0]["pred_scores"])


def test_a_detector_that_writes_forward_alone_has_all_steps():
    outputs = Written().validation_step({"image": torch.ones(2, 3, 4, 4)}, 0)
    assert outputs["anomaly_maps"].shape == (2, 4, 4) and "image" in outputs
    assert Written().test_step({"image": torch.ones(2, 3, 4, 4)}, 0)["pred_scores"].tolist() == [100.0, 100.0]
    with pytest.raises(NotImplementedError, match=r"expected a method forward\(images\)"):
        AnomalyModule()(torch.ones(1, 3, 4, 4))


def test_a_test_without_validation_logs_what_needs_no_threshold():
    with pytest.warns(UserWarning, match="no validation has chosen thresholds, so there is no F1"):
        logged = trainer().test(Brightness(), batches(), verbose=False)[0]
    assert set(logged) == {"image_AUROC", "pixel_AUROC", "pixel_AUPRO"}


def test_nothing_is_validated_before_training():
    seen = []

    class Watched(Brightness):
        def validation_step(self, batch, batch_idx):
            seen.append(self.trainer.sanity_checking)
            return super().validation_step(batch, batch_idx)

    trainer(limit_val_batches=1, num_sanity_val_steps=1).fit(Watched(), batches(), batches())
    assert seen == [False]


def test_epochs_do_not_add_up():
    module, data = Brightness(), batches()
    first = trainer().validate(module, data, verbose=False)
    assert trainer().validate(module, data, verbose=False) == first and module._evaluation.scores == []


def test_lightning_refuses_the_old_epoch_hooks_and_ours_are_the_new_ones():
    class Old(Brightness):
        def validation_epoch_end(self, outputs):
            pass

    with pytest.raises(NotImplementedError, match="validation_epoch_end"):
        trainer().fit(Old(), batches(), batches())
    assert not hasattr(AnomalyModule, "validation_epoch_end") and not hasattr(AnomalyModule, "test_epoch_end")
    for name in ("validation_step_end", "test_step_end", "on_validation_epoch_end", "on_test_epoch_end"):
        assert callable(getattr(AnomalyModule, name))


def test_steps_take_and_return_what_the_seeds_document():
    module = Brightness()
    outputs = module.validation_step({"image": torch.ones(2, 3, 4, 4), "label": torch.tensor([0, 1])}, 0)
    ended = module.validation_step_end(outputs)
    assert ended["pred_scores"].tolist() == [100.0, 100.0] and "pred_scores" not in outputs
    with pytest.raises(ValueError, match="outputs: expected 'anomaly_maps' or 'pred_scores'"):
        module._post_process({"image": torch.ones(1)})


def test_the_adaptive_threshold_of_separable_scores_separates_them():
    metric = AdaptiveThreshold()
    metric.update(torch.tensor([1.0, 2.0, 30.0]), torch.tensor([0, 0, 1]))
    metric.update(torch.tensor([3.0, 40.0]), torch.tensor([0, 1]))
    assert metric.compute() == 30.0 and math.isfinite(metric.compute())
