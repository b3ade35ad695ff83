import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from scipy import ndimage

from oddlab import FastFlow, FeatureExtractor, normalization
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import trainer

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def brick():
    return ImageData(*read_folder(texture_folder(), "brick"), image_size=128, val_split=None)


@pytest.fixture(scope="module")
def few(brick):
    return ImageData(brick.train_set.samples[:24], brick.test_set.samples[:40], image_size=64, val_split=None)


def fit(data, epochs, **options):
    with torch.random.fork_rng():
        pl.seed_everything(0)
        model = FastFlow(**options)
        lightning = trainer(DEVICE, max_epochs=epochs, limit_val_batches=0)
        lightning.fit(model, data)
    return model, lightning


def test_it_finds_drawn_defects_after_a_few_epochs(brick):
    model, lightning = fit(brick, 6, image_size=128)
    figures = lightning.test(model, brick, verbose=False)[0]
    assert figures["image_AUROC"] > 0.95 and figures["pixel_AUROC"] > 0.93 and figures["pixel_AUPRO"] > 0.85


def test_noise_keeps_a_flow_from_learning_a_few_images_by_heart(few, brick):
    others = torch.stack([brick.train_set[i]["image"] for i in range(60, 76)])
    others = F.interpolate(others, size=64, mode="bilinear", antialias=True)

    def gap(noise):
        model, _ = fit(few, 20, image_size=64, flow_steps=4, noise=noise)
        model.model.noise = 0.0
        with torch.no_grad():
            seen = torch.stack([few.train_set[i]["image"] for i in range(24)])
            return (model.model.loss(others) - model.model.loss(seen)).item()

    assert gap(0.0) > 1.5 * gap(0.5)


def standardized_by_hand(train, test, layers):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    extractor = FeatureExtractor("efficientnet_lite0", layers).double()
    a, b = (extractor((x - mean) / std) for x in (train, test))
    centres = {layer: a[layer].mean(dim=(0, 2, 3), keepdim=True) for layer in layers}
    widths = {layer: a[layer].std(dim=(0, 2, 3), keepdim=True, correction=0) for layer in layers}
    return [(b[layer] - centres[layer]) / widths[layer] for layer in layers]


def test_loss_maps_and_scores_are_the_formulas_step_by_step():
    g = torch.Generator().manual_seed(0)
    train, test = torch.rand(6, 3, 64, 64, generator=g).double(), torch.rand(2, 3, 64, 64, generator=g).double()
    layers = ["blocks.2", "blocks.4"]
    model = FastFlow(layers=layers, image_size=64, flow_steps=2, noise=0.0, sigma=2.0).double().model
    model.standardize(train.split(4))
    features = standardized_by_hand(train, test, layers)
    losses, maps = [], []
    for flow, x in zip(model.flows, features):
        z, log_det = flow(x)
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(z[0]).sum()
        losses.append(-(normal + log_det[0]) / x[0].numel())
        energy = 0.5 * z.square().mean(dim=1, keepdim=True)
        maps.append(F.interpolate(energy, size=64, mode="bilinear", align_corners=False)[:, 0])
    torch.testing.assert_close(model.loss(test[:1]), torch.stack(losses).mean(), rtol=1e-9, atol=1e-9)
    sharp = torch.stack(maps).mean(dim=0).detach()
    found, scores = model(test)
    torch.testing.assert_close(scores, sharp.amax(dim=(1, 2)))
    blurred = torch.stack([torch.from_numpy(ndimage.gaussian_filter(m.numpy(), 2.0, mode="mirror", truncate=4)) for m in sharp])
    torch.testing.assert_close(found, blurred, rtol=1e-3, atol=1e-4)


def test_noise_is_drawn_anew_for_each_loss_and_never_for_scores():
    model = FastFlow(layers=["blocks.4"], image_size=32, flow_steps=1).model
    images = torch.rand(4, 3, 32, 32)
    model.standardize([images])
    assert model.loss(images) != model.loss(images)
    assert torch.equal(model.train()(images)[1], model.eval()(images)[1])


def test_only_the_flows_train_and_the_backbone_stays_as_it_was(few):
    model, _ = fit(few, 1, image_size=64, flow_steps=2)
    fresh = FastFlow(image_size=64, flow_steps=2)
    for name, value in fresh.model.features.state_dict().items():
        assert torch.equal(model.model.features.state_dict()[name], value), name
    assert all(p.grad is None for p in model.model.features.parameters())
    assert any(p.grad is not None for p in model.model.flows.parameters())


def test_scales_are_those_of_all_training_images_and_stay_in_a_second_fit(few):
    model, _ = fit(few, 1, image_size=64, flow_steps=1)
    images = torch.stack([few.train_set[i]["image"] for i in range(24)])
    maps = model.model.features.maps(images)
    torch.testing.assert_close(model.model.mean, torch.cat([m.mean(dim=(0, 2, 3)) for m in maps]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model.model.std, torch.cat([m.std(dim=(0, 2, 3), correction=0) for m in maps]), rtol=1e-4, atol=1e-5
    )
    kept = model.model.std.clone()
    other = ImageData(few.train_set.samples[:8], few.test_set.samples, image_size=64, val_split=None)
    trainer(DEVICE, limit_val_batches=0).fit(model, other)
    assert torch.equal(model.model.std, kept)


def test_a_checkpoint_scores_the_same_to_the_last_bit(few, tmp_path):
    model, lightning = fit(few, 1, image_size=64, flow_steps=2)
    lightning.save_checkpoint(tmp_path / "fastflow.ckpt")
    loaded = FastFlow.load_from_checkpoint(tmp_path / "fastflow.ckpt", weights_only=True)
    images = torch.rand(3, 3, 64, 64)
    for ours, theirs in zip(loaded.eval()(images), model.eval()(images)):
        assert torch.equal(ours, theirs)


def test_the_same_seed_gives_the_same_detector(few):
    (a, _), (b, _) = (fit(few, 2, image_size=64, flow_steps=2) for _ in range(2))
    images = torch.rand(3, 3, 64, 64)
    assert torch.equal(a(images)[1], b(images)[1])
