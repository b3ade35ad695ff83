import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA as ReferencePCA

from oddlab import DFKDE, FeatureExtractor, normalization
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import trainer

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def gravel():
    return ImageData(*read_folder(texture_folder(), "gravel"), image_size=128, val_split=None)


def auroc(model, data):
    trainer(DEVICE).fit(model, data)
    return trainer(DEVICE).test(model, data, verbose=False)[0]["image_AUROC"]


def test_it_finds_defects_and_more_of_them_with_the_small_components(gravel):
    assert auroc(DFKDE(image_size=128), gravel) > 0.88
    assert auroc(DFKDE(image_size=128, n_components=8), gravel) < 0.8


def test_scores_are_those_of_scikit_learns_components_and_scipys_density():
    g = torch.Generator().manual_seed(0)
    train, test = (torch.rand(n, 3, 64, 64, generator=g).double() for n in (20, 4))
    model = DFKDE(layers=["blocks.2"], image_size=64, n_components=3).double()
    for batch in train.split(8):
        model.fit_batch(batch)
    model.finish_fit()

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalization("efficientnet_lite0"))
    extractor = FeatureExtractor("efficientnet_lite0", ["blocks.2"]).double()
    a, b = (extractor((x - mean) / std)["blocks.2"].mean(dim=(2, 3)).numpy() for x in (train, test))
    reference = ReferencePCA(3, svd_solver="full").fit(a)
    expected = -gaussian_kde(reference.transform(a).T).logpdf(reference.transform(b).T)
    torch.testing.assert_close(model(test)["pred_scores"], torch.from_numpy(expected), rtol=1e-6, atol=0)


def test_a_checkpoint_scores_the_same_to_the_last_bit(gravel, tmp_path):
    small = ImageData(gravel.train_set.samples[:30], gravel.test_set.samples[:40], image_size=64)
    model, lightning = DFKDE(image_size=64), trainer(DEVICE)
    lightning.fit(model, small)
    lightning.save_checkpoint(tmp_path / "dfkde.ckpt")
    loaded = DFKDE.load_from_checkpoint(tmp_path / "dfkde.ckpt", weights_only=True)
    images = torch.rand(3, 3, 64, 64)
    assert torch.equal(loaded.eval()(images)["pred_scores"], model.eval()(images)["pred_scores"])


def test_an_image_has_a_score_and_no_map():
    model = DFKDE(layers=["blocks.2"], image_size=32, n_components=3)
    model.fit_batch(torch.rand(8, 3, 32, 32))
    model.finish_fit()
    predicted = model.predict_step({"image": torch.rand(2, 3, 32, 32)}, 0)
    assert predicted["pred_scores"].shape == (2,) and "anomaly_maps" not in predicted
