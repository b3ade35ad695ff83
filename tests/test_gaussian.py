import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from oddlab import MultiVariateGaussian
from oddlab import gaussian as module


def embeddings(n=40, d=5, side=3, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=g, dtype=torch.float64)
    return (torch.randn(n, side, side, d, generator=g, dtype=torch.float64) @ mixing + 3).permute(0, 3, 1, 2).to(dtype)


@pytest.mark.parametrize("rowvar", [False, True])
@pytest.mark.parametrize(("bias", "ddof"), [(False, None), (True, None), (False, 0), (True, 1)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(7, 3), (7,)])
def test_cov_is_that_of_numpy(rowvar, bias, ddof, weighted, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    n = shape[-1] if rowvar or len(shape) == 1 else shape[0]
    weights = torch.linspace(0.5, 2, n, dtype=torch.float64) if weighted else None
    ours = MultiVariateGaussian._cov(x, rowvar=rowvar, bias=bias, ddof=ddof, aweights=weights)
    theirs = np.cov(
        x.numpy(), rowvar=rowvar, bias=bias, ddof=ddof, aweights=None if weights is None else weights.numpy()
    )
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)


def test_every_patch_has_the_mean_and_covariance_of_numpy_and_the_distance_of_scipy():
    x = embeddings()
    gaussian = MultiVariateGaussian(5, 9, ridge=0.1, relative=False)
    mean, inv_covariance = gaussian.fit(x)
    distances = gaussian.mahalanobis(x[:4])
    for p in range(9):
        patch = x.flatten(2)[:, :, p].numpy()
        covariance = np.cov(patch, rowvar=False) + 0.1 * np.eye(5)
        np.testing.assert_allclose(mean[:, p].numpy(), patch.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(gaussian.covariance[p].numpy(), covariance, rtol=1e-10)
        np.testing.assert_allclose(inv_covariance[p].numpy(), np.linalg.inv(covariance), rtol=1e-8)
        for n in range(4):
            expected = mahalanobis(patch[n], patch.mean(axis=0), np.linalg.inv(covariance))
            assert distances[n].flatten()[p].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", [[40], [1, 39], [1] * 40, [13, 13, 14]])
def test_batches_give_the_moments_of_one_fit(sizes):
    x = embeddings()
    whole, parts = MultiVariateGaussian(5, 9), MultiVariateGaussian(5, 9)
    whole.fit(x)
    for batch in x.split(sizes):
        parts.partial_fit(batch)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(parts.inv_covariance, whole.inv_covariance, rtol=1e-9, atol=1e-12)
    assert int(parts.n_samples) == 40


def test_merge_is_as_if_one_object_had_seen_all_and_leaves_the_other_alone():
    x = embeddings()
    a = MultiVariateGaussian(5, 9).partial_fit(x[:11])
    b = MultiVariateGaussian(5, 9).partial_fit(x[11:])
    kept = {name: value.clone() for name, value in b.state_dict().items()}
    whole = MultiVariateGaussian(5, 9)
    whole.fit(x)
    torch.testing.assert_close(a.merge(b).inv_covariance, whole.inv_covariance, rtol=1e-9, atol=1e-12)
    empty = MultiVariateGaussian(5, 9).merge(b)
    empty.partial_fit(x[:11])
    torch.testing.assert_close(empty.inv_covariance, whole.inv_covariance, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(kept[name], value) for name, value in b.state_dict().items())


def test_float32_moments_far_from_zero_stay_right():
    x = embeddings(200) + 1000
    gaussian, exact = MultiVariateGaussian(5, 9), MultiVariateGaussian(5, 9)
    exact.fit(x)
    for batch in x.float().split(16):
        gaussian.partial_fit(batch)
    torch.testing.assert_close(gaussian.covariance.double(), exact.covariance, rtol=2e-3, atol=2e-3)


def test_the_relative_ridge_keeps_distances_when_features_are_scaled_and_the_absolute_one_does_not():
    # A peer adds 0.01 whatever the scale: features times 0.01 then give an inverse diagonal of 99 and not 8,000.
    x = embeddings()
    scaled = {}
    for relative in (True, False):
        plain, small = (MultiVariateGaussian(5, 9, relative=relative) for _ in range(2))
        plain.fit(x)
        small.fit(x * 0.01)
        scaled[relative] = (small.mahalanobis(x * 0.01) / plain.mahalanobis(x)).mean().item()
    assert scaled[True] == pytest.approx(1, rel=1e-9)
    assert scaled[False] < 0.6


def test_the_inverse_keeps_float64():
    # A peer returns a float32 inverse.
    mean, inv_covariance = MultiVariateGaussian(5, 9).fit(embeddings())
    assert mean.dtype == inv_covariance.dtype == torch.float64


def test_fewer_samples_than_features_work_with_the_ridge():
    gaussian = MultiVariateGaussian(5, 9)
    gaussian.fit(embeddings(3))
    assert gaussian.mahalanobis(embeddings(3)).isfinite().all()


def test_a_fit_that_fails_leaves_the_last_one():
    gaussian = MultiVariateGaussian(5, 9, ridge=0.0)
    gaussian.fit(embeddings())
    before = gaussian.inv_covariance
    with pytest.raises(ValueError, match="singular"):
        gaussian.fit(embeddings(3))
    assert torch.equal(gaussian.inv_covariance, before)


def test_distances_do_not_depend_on_the_block_size(monkeypatch):
    gaussian = MultiVariateGaussian(5, 9)
    gaussian.fit(embeddings())
    whole = gaussian.mahalanobis(embeddings())
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    torch.testing.assert_close(gaussian.mahalanobis(embeddings()), whole, rtol=1e-12, atol=0)


def test_reset_forgets():
    gaussian = MultiVariateGaussian(5, 9).partial_fit(embeddings())
    gaussian.reset()
    with pytest.raises(ValueError, match="has seen 0 samples"):
        gaussian.mahalanobis(embeddings())
