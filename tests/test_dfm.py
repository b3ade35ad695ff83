import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA as ReferencePCA

from oddlab import DFM, FeatureExtractor, normalization
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import trainer

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def gravel():
    return ImageData(*read_folder(texture_folder(), "gravel"), image_size=128, val_split=None)


def test_it_finds_drawn_defects(gravel):
    model = DFM(image_size=128)
    trainer(DEVICE).fit(model, gravel)
    figures = trainer(DEVICE).test(model, gravel, verbose=False)[0]
    assert figures["image_AUROC"] > 0.95 and figures["pixel_AUROC"] > 0.8


@pytest.fixture(scope="module")
def by_hand():
    g = torch.Generator().manual_seed(0)
    train, test = (torch.rand(n, 3, 64, 64, generator=g).double() for n in (20, 4))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    extractor = FeatureExtractor("efficientnet_lite0", ["blocks.6"]).double()
    a, b = (extractor((x - mean) / std)["blocks.6"].flatten(1).numpy() for x in (train, test))
    return train, test, ReferencePCA(5, svd_solver="full").fit(a), b


@pytest.mark.parametrize("score", ["fre", "nll"])
def test_scores_are_those_of_scikit_learns_components(by_hand, score):
    train, test, reference, b = by_hand
    model = DFM(layers=["blocks.6"], image_size=64, n_components=5, score=score).double()
    for batch in train.split(8):
        model.fit_batch(batch)
    model.finish_fit()
    found = model(test)
    maps, scores = found["anomaly_maps"], found["pred_scores"]
    z = reference.transform(b)
    left = (b - reference.inverse_transform(z)) ** 2
    likelihood = multivariate_normal(np.zeros(5), np.diag(reference.explained_variance_))
    expected = left.sum(axis=1) if score == "fre" else -likelihood.logpdf(z)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)
    # A map of 4 x 4 positions; the mean over the image is what enlarging and blurring keep, but for the border.
    by_position = left.reshape(4, -1, 4, 4).sum(axis=1)
    np.testing.assert_allclose(maps.mean(dim=(1, 2)).numpy(), by_position.mean(axis=(1, 2)), rtol=0.05)


def test_a_checkpoint_scores_the_same_to_the_last_bit(gravel, tmp_path):
    small = ImageData(gravel.train_set.samples[:30], gravel.test_set.samples[:40], image_size=64)
    model, lightning = DFM(image_size=64), trainer(DEVICE)
    lightning.fit(model, small)
    lightning.save_checkpoint(tmp_path / "dfm.ckpt")
    loaded = DFM.load_from_checkpoint(tmp_path / "dfm.ckpt", weights_only=True)
    images = torch.rand(3, 3, 64, 64)
    found, expected = loaded.eval()(images), model.eval()(images)
    for name in ("anomaly_maps", "pred_scores"):
        assert torch.equal(found[name], expected[name])
