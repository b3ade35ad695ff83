import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from scipy import ndimage

from oddlab import FastFlow, FeatureExtractor, normalization
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import trainer
from oddlab.models import feature_cache

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def brick():
    return ImageData(*read_folder(texture_folder(), "brick"), image_size=128, val_split=None)


@pytest.fixture(scope="module")
def few(brick):
    return ImageData(brick.train_set.samples[:24], brick.test_set.samples[:40], image_size=64, val_split=None)


def fit(data, epochs, **options):
    model = FastFlow(**options)
    lightning = trainer(DEVICE, max_epochs=epochs, limit_val_batches=0)
    lightning.fit(model, data)
    return model, lightning


def test_it_finds_drawn_defects_after_a_few_epochs(brick):
    model, lightning = fit(brick, 6, image_size=128)
    figures = lightning.test(model, brick, verbose=False)[0]
    assert figures["image_AUROC"] > 0.95 and figures["pixel_AUROC"] > 0.93 and figures["pixel_AUPRO"] > 0.85


def test_noise_keeps_a_flow_from_overfitting_a_few_images(few, brick):
    others = torch.stack([brick.train_set[i]["image"] for i in range(60, 76)])
    others = F.interpolate(others, size=64, mode="bilinear", antialias=True)

    def gap(noise):
        model, _ = fit(few, 20, image_size=64, flow_steps=4, noise=noise)
        model.noise = 0.0
        with torch.no_grad():
            seen = torch.stack([few.train_set[i]["image"] for i in range(24)])
            return (model.loss(others) - model.loss(seen)).item()

    assert gap(0.0) > 1.3 * gap(0.5)  # what whitening by the same few images adds, no noise takes away


def whitened_by_hand(train, test, layers):
    """Place by place, with numpy."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    extractor = FeatureExtractor("efficientnet_lite0", layers).double()
    a, b = ({layer: maps.numpy() for layer, maps in extractor((x - mean) / std).items()} for x in (train, test))
    whitened = []
    for layer in layers:
        n, channels, height, width = a[layer].shape
        places = [(u, v) for u in range(height) for v in range(width)]
        covariances = {place: np.cov(a[layer][:, :, place[0], place[1]], rowvar=False) for place in places}
        common = np.mean(list(covariances.values()), axis=0)
        deviation, alpha = np.sqrt(np.diagonal(common)), 0.3 * channels / (n + 0.3 * channels)
        regular = {
            place: ((1 - alpha) * covariance + alpha * common) / np.outer(deviation, deviation)
            for place, covariance in covariances.items()
        }
        ridge = 0.01 * np.mean([np.diagonal(correlation) for correlation in regular.values()])
        result = np.empty_like(b[layer])
        for u, v in places:
            root = np.linalg.inv(scipy.linalg.sqrtm(regular[u, v] + ridge * np.eye(channels)).real)
            centred = b[layer][:, :, u, v] - a[layer][:, :, u, v].mean(axis=0)
            result[:, :, u, v] = centred / deviation @ root
        whitened.append(torch.from_numpy(result))
    return whitened


def test_loss_maps_and_scores_are_the_formulas_step_by_step():
    g = torch.Generator().manual_seed(0)
    train, test = torch.rand(6, 3, 64, 64, generator=g).double(), torch.rand(2, 3, 64, 64, generator=g).double()
    layers = ["blocks.2", "blocks.4"]
    model = FastFlow(layers=layers, image_size=64, flow_steps=2, noise=0.0, sigma=2.0).double()
    model.standardize(train.split(4))
    features = whitened_by_hand(train, test, layers)
    losses, maps = [], []
    for flow, x in zip(model.flows, features):
        z, log_det = flow(x)
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(z[0]).sum()
        losses.append(-(normal + log_det[0]) / x[0].numel())
        energy = 0.5 * z.square().sum(dim=1, keepdim=True)
        maps.append(F.interpolate(energy, size=64, mode="bilinear", align_corners=False)[:, 0])
    torch.testing.assert_close(model.loss(test[:1]), torch.stack(losses).mean(), rtol=1e-6, atol=1e-6)
    sharp = torch.stack(maps).sum(dim=0).detach() / sum(x.shape[1] for x in features)
    result = model(test)
    found, scores = result["anomaly_maps"], result["pred_scores"]
    torch.testing.assert_close(scores, sharp.amax(dim=(1, 2)))
    blurred = torch.stack(
        [torch.from_numpy(ndimage.gaussian_filter(m.numpy(), 2.0, mode="mirror", truncate=4)) for m in sharp]
    )
    torch.testing.assert_close(found, blurred, rtol=1e-3, atol=1e-4)


def test_noise_is_drawn_anew_for_each_loss_and_never_for_scores():
    model = FastFlow(layers=["blocks.4"], image_size=32, flow_steps=1)
    images = torch.rand(4, 3, 32, 32)
    model.standardize([images])
    assert model.loss(images) != model.loss(images)
    assert torch.equal(model.train()(images)["pred_scores"], model.eval()(images)["pred_scores"])


def test_only_the_flows_train_and_the_backbone_stays_as_it_was(few):
    model, _ = fit(few, 1, image_size=64, flow_steps=2)
    fresh = FastFlow(image_size=64, flow_steps=2)
    for name, value in fresh.features.state_dict().items():
        assert torch.equal(model.features.state_dict()[name], value), name
    assert all(p.grad is None for p in model.features.parameters())
    assert any(p.grad is not None for p in model.flows.parameters())


def test_features_are_whitened_by_all_training_images_and_as_before_in_a_second_fit(few):
    model, _ = fit(few, 1, image_size=64, flow_steps=1)
    images = torch.stack([few.train_set[i]["image"] for i in range(24)])
    for maps in model.embed(images):
        assert maps.mean(dim=0).abs().max() < 1e-3
    kept = model.whitenings[0].matrix.clone()
    other = ImageData(few.train_set.samples[:8], few.test_set.samples, image_size=64, val_split=None)
    trainer(DEVICE, limit_val_batches=0).fit(model, other)
    assert torch.equal(model.whitenings[0].matrix, kept)


def test_features_of_a_training_image_are_computed_once_as_far_as_memory_goes(few, monkeypatch):
    def images_computed(epochs, budget):
        monkeypatch.setattr(feature_cache, "CACHE_BYTES", budget)
        model, counted = FastFlow(image_size=64, flow_steps=1), []
        plain = model.features.maps
        model.features.maps = lambda images: counted.append(len(images)) or plain(images)
        trainer(DEVICE, max_epochs=epochs, limit_val_batches=0).fit(model, few)
        assert model._cache is None
        return sum(counted), model

    once, model = images_computed(3, 2**30)
    size = sum(maps.numel() * maps.element_size() for maps in model.features.maps(torch.rand(1, 3, 64, 64)))
    always, same = images_computed(3, 0)
    half, _ = images_computed(3, 12 * size)
    assert (once, half, always) == (24, 12 + 4 * 12, 4 * 24)
    images = torch.rand(3, 3, 64, 64)
    assert torch.allclose(model(images)["pred_scores"], same(images)["pred_scores"], rtol=1e-4)


def test_a_checkpoint_scores_the_same_to_the_last_bit(few, tmp_path):
    model, lightning = fit(few, 1, image_size=64, flow_steps=2)
    lightning.save_checkpoint(tmp_path / "fastflow.ckpt")
    loaded = FastFlow.load_from_checkpoint(tmp_path / "fastflow.ckpt", weights_only=True)
    images = torch.rand(3, 3, 64, 64)
    found, expected = loaded.eval()(images), model.eval()(images)
    for name in ("anomaly_maps", "pred_scores"):
        assert torch.equal(found[name], expected[name])


def test_the_same_seed_gives_the_same_detector(few):
    (a, _), (b, _) = (fit(few, 2, image_size=64, flow_steps=2) for _ in range(2))
    images = torch.rand(3, 3, 64, 64)
    assert torch.equal(a(images)["pred_scores"], b(images)["pred_scores"])
