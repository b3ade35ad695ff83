import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from torch.utils._python_dispatch import TorchDispatchMode

from oddlab import GaussianKDE
from oddlab import kde as module
from oddlab.checks import NotFittedError


def correlated(n, d, seed=0, shift=0.0, dtype=torch.float64):
    """Points (n, d) of mean `shift`, with columns that depend on each other and have variances of several sizes."""
    g = torch.Generator().manual_seed(seed)
    mixing = torch.eye(d, dtype=torch.float64) + torch.randn(d, d, generator=g, dtype=torch.float64) / (2 * d**0.5)
    scale = torch.logspace(-2, 2, d, dtype=torch.float64)
    return (torch.randn(n, d, generator=g, dtype=torch.float64) @ mixing * scale + shift).to(dtype)


def scipy_log_prob(dataset, features, bandwidth="scott", weights=None):
    weights = None if weights is None else weights.numpy()
    return gaussian_kde(dataset.numpy().T, bw_method=bandwidth, weights=weights).logpdf(features.numpy().T)


@pytest.mark.parametrize("shift", [0, 5, -3000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.3, 2])
@pytest.mark.parametrize(("n", "d"), [(40, 1), (300, 2), (500, 16)])
def test_density_and_log_density_are_those_of_scipy(n, d, bandwidth, weighted, shift):
    # A peer stores centred points and does not centre the queries: data of mean 5 gets 4e-13 instead of 0.041.
    dataset = correlated(n, d, shift=shift)
    features = torch.cat([dataset[:30], correlated(30, d, seed=1, shift=shift), dataset[:5] + 7 * dataset.std(dim=0)])
    weights = torch.linspace(0.1, 3, n, dtype=torch.float64) if weighted else None
    kde = GaussianKDE(bandwidth=bandwidth)
    kde.fit(dataset, weights=weights)
    expected = scipy_log_prob(dataset, features, bandwidth, weights)
    np.testing.assert_allclose(kde.log_prob(features).numpy(), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(kde(features).numpy(), np.exp(expected), rtol=1e-8, atol=1e-300)
    if shift == 0:
        density = gaussian_kde(dataset.numpy().T, bandwidth, None if weights is None else weights.numpy())
        np.testing.assert_allclose(kde(features).numpy(), density.pdf(features.numpy().T), rtol=1e-8, atol=1e-300)


def test_the_density_integrates_to_one():
    kde = GaussianKDE(correlated(20, 1, shift=2))
    x = torch.linspace(1.5, 2.5, 20001, dtype=torch.float64)
    assert torch.trapezoid(kde(x[:, None]), x).item() == pytest.approx(1, abs=1e-9)


def test_cov_is_that_of_numpy_with_variables_in_rows():
    for rows in (correlated(30, 4).T, correlated(30, 1).T):
        ours = GaussianKDE.cov(rows)
        assert ours.shape == (len(rows), len(rows))
        np.testing.assert_allclose(ours.numpy(), np.atleast_2d(np.cov(rows.numpy())), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [64, 128, 512])
def test_the_log_density_stays_finite_where_the_density_is_0(d, dtype):
    # A peer has no log density: in 64 dimensions 70 of 100 points have density 0, from 128 on all.
    dataset, features = correlated(1500, d, shift=5, dtype=dtype), correlated(100, d, seed=1, shift=5, dtype=dtype)
    kde = GaussianKDE(dataset)
    ours = kde.log_prob(features)
    assert ours.isfinite().all()
    np.testing.assert_allclose(ours.numpy(), scipy_log_prob(dataset.double(), features.double()), rtol=1e-4, atol=0.05)
    assert kde(10 * features).eq(0).all() and kde.log_prob(10 * features).isfinite().all()


@pytest.mark.parametrize(("n", "d", "bandwidth"), [(5000, 16, "scott"), (2000, 1, 0.01), (400, 1, 0.001)])
def test_float32_keeps_its_digits_also_with_a_small_bandwidth(n, d, bandwidth):
    # By one product alone the last two are off by 0.003 and 0.3.
    dataset = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    features = torch.cat([dataset[:300], dataset[:300] + (0.1 if bandwidth == "scott" else bandwidth)])
    ours = GaussianKDE(dataset, bandwidth=bandwidth).log_prob(features)
    expected = scipy_log_prob(dataset.double(), features.double(), bandwidth)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=5e-4, atol=2e-4)


def test_points_far_out_are_as_right_as_those_near_the_mean():
    dataset = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0))
    dataset[::1000] += torch.tensor([[500.0, 500.0], [-500.0, 500.0], [0.0, -700.0]])
    features = torch.cat([dataset[::500], dataset[::500] + 0.3, torch.tensor([[3e3, 3e3]])])
    kde = GaussianKDE(dataset, bandwidth=0.05)
    far = kde.points.square().sum(dim=1) > 1020
    assert 0 < far.sum() < len(far)  # else one of the two ways is not taken
    expected = scipy_log_prob(dataset.double(), features.double(), 0.05)
    np.testing.assert_allclose(kde.log_prob(features).numpy(), expected, rtol=1e-5, atol=1e-3)


def test_a_query_too_far_for_the_dtype_has_log_density_minus_infinity():
    kde = GaussianKDE(correlated(30, 2, dtype=torch.float32))
    features = torch.tensor([[1e25, -1e25], [3e38, 3e38], [0.0, 0.0]])
    assert kde.log_prob(features).tolist()[:2] == [-math.inf, -math.inf]
    assert kde(features).tolist()[:2] == [0, 0] and kde(features)[2] > 0


def singular(kind):
    x = correlated(20, 3)
    return {
        "duplicated column": torch.cat([x, x[:, :1]], dim=1),
        "sum of columns": torch.cat([x, x.sum(dim=1, keepdim=True)], dim=1),
        "constant column": torch.cat([x, torch.full((20, 1), 0.1, dtype=x.dtype)], dim=1),
        "N <= D": x[:3],
    }[kind]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["duplicated column", "sum of columns", "constant column", "N <= D"])
def test_singular_data_gets_one_clear_error_or_a_ridge(kind, dtype):
    # A peer returns garbage for the first two and a bare linear-algebra error for the others.
    dataset = singular(kind).to(dtype)
    kde = GaussianKDE()
    with pytest.raises(ValueError, match=r"^dataset: expected columns that vary .* or a ridge above 0: got a singular"):
        kde.fit(dataset)
    with pytest.raises(NotFittedError):
        kde.log_prob(dataset)
    log_prob = GaussianKDE(dataset, ridge=0.01).log_prob(dataset)
    assert log_prob.isfinite().all()
    # The ridge is relative: other units shift the log density by a constant.
    scaled = GaussianKDE(100 * dataset, ridge=0.01).log_prob(100 * dataset)
    shift = torch.full_like(scaled, dataset.shape[1] * math.log(100))
    torch.testing.assert_close(log_prob - scaled, shift, rtol=1e-4, atol=0)


def test_the_ridge_is_that_share_of_the_mean_variance():
    dataset, features = correlated(50, 3), correlated(9, 3, seed=1)
    covariance = np.cov(dataset.numpy().T)
    regular = (covariance + 0.2 * covariance.trace() / 3 * np.eye(3)) * 50 ** (-2 / 7)
    difference = features.numpy()[:, None] - dataset.numpy()
    exponents = -np.einsum("ijd,de,ije->ij", difference, np.linalg.inv(regular), difference) / 2
    expected = np.log(np.exp(exponents).mean(axis=1)) - np.linalg.slogdet(2 * np.pi * regular)[1] / 2
    np.testing.assert_allclose(GaussianKDE(dataset, ridge=0.2).log_prob(features).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_columns_in_very_different_units_are_not_singular(dtype):
    dataset = torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    units = torch.tensor([1e-6, 1e6], dtype=torch.float64)
    plain, scaled = GaussianKDE(dataset), GaussianKDE((dataset * units).to(dtype))
    ours = scaled.log_prob((dataset * units).to(dtype)).double()
    torch.testing.assert_close(ours, plain.log_prob(dataset), rtol=0, atol=1e-4)


def test_a_fit_that_fails_leaves_the_last_one():
    kde = GaussianKDE(correlated(20, 3))
    before = kde.log_prob(correlated(5, 3))
    with pytest.raises(ValueError, match="singular"):
        kde.fit(singular("duplicated column"))
    assert torch.equal(kde.log_prob(correlated(5, 3)), before)


@pytest.mark.parametrize("bandwidth", ["scott", 0.01])
@pytest.mark.parametrize("block_bytes", [1, 1000, 10**4])
def test_densities_do_not_depend_on_the_block_size(monkeypatch, block_bytes, bandwidth):
    kde, features = GaussianKDE(correlated(60, 2), bandwidth=bandwidth), correlated(25, 2, seed=1)
    whole = kde.log_prob(features)
    monkeypatch.setattr(module, "CPU_BLOCK_BYTES", block_bytes)
    torch.testing.assert_close(kde.log_prob(features), whole, rtol=1e-12, atol=1e-12)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize(("n_points", "n_queries"), [(50_000, 300), (300, 50_000), (50_000, 1)])
@pytest.mark.parametrize("bandwidth", ["scott", 0.001])
def test_no_tensor_is_larger_than_one_block(n_points, n_queries, bandwidth):
    kde = GaussianKDE(torch.randn(n_points, 2, generator=torch.Generator().manual_seed(0)), bandwidth=bandwidth)
    features = torch.randn(n_queries, 2, generator=torch.Generator().manual_seed(1))
    with LargestTensor() as largest:
        kde.log_prob(features)
    assert largest.bytes <= module.CPU_BLOCK_BYTES


@pytest.mark.parametrize("bandwidth", ["scott", 0.01])  # the product, and the differences
def test_the_log_density_has_the_gradient_of_finite_differences(bandwidth):
    kde = GaussianKDE(correlated(30, 3), bandwidth=bandwidth)
    features = (correlated(4, 3) + 0.01 * kde.kernel_factor.diagonal()).requires_grad_()
    assert torch.autograd.gradcheck(kde.log_prob, (features,), eps=1e-7, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(kde.log_prob(features).detach(), kde.log_prob(features.detach()), rtol=1e-12, atol=1e-12)


def test_a_fit_keeps_no_graph():
    kde = GaussianKDE(correlated(20, 2).requires_grad_())
    assert not any(buffer.requires_grad for buffer in kde.buffers())


def test_equal_weights_are_no_weights_and_a_point_of_weight_0_is_no_point():
    dataset, features = correlated(30, 2), correlated(9, 2, seed=1)
    plain, equal, masked = GaussianKDE(dataset[:20]), GaussianKDE(), GaussianKDE()
    equal.fit(dataset[:20], weights=torch.full((20,), 7.0))
    masked.fit(dataset, weights=(torch.arange(30) < 20).double())
    torch.testing.assert_close(equal.log_prob(features), plain.log_prob(features))
    torch.testing.assert_close(masked.log_prob(features), plain.log_prob(features))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0, 1.0, -1.0], "none below 0 .*, got 1 below and 2 above"),
        ([0.0, 0.0, 1.0], "none below 0 and two or more above 0, got 0 below and 1 above"),
        ([1.0, 1.0], r"shape \(N\) with N = 3, got \(2,\)"),
        ([1.0, 1.0, float("nan")], "finite values, got 1 NaN"),
    ],
)
def test_bad_weights_are_refused(weights, says):
    with pytest.raises(ValueError, match=f"^weights: expected {says}"):
        GaussianKDE().fit(correlated(3, 1), weights=torch.tensor(weights))


def test_samples_come_from_the_estimated_density():
    dataset = torch.cat([correlated(40, 2), correlated(40, 2) + 30])
    kde = GaussianKDE()
    kde.fit(dataset, weights=torch.linspace(0, 1, 80, dtype=torch.float64))
    weights = np.linspace(0, 1, 80) / 40
    sample = kde.sample(200_000, random_state=0)
    assert sample.shape == (200_000, 2) and sample.dtype == torch.float64
    # Moments of the mixture: the kernel's covariance, and that of the weighted points.
    kernel = (kde.kernel_factor @ kde.kernel_factor.T).numpy()
    np.testing.assert_allclose(kernel, gaussian_kde(dataset.numpy().T, weights=weights).covariance, rtol=1e-9)
    np.testing.assert_allclose(sample.mean(dim=0), np.average(dataset, axis=0, weights=weights), rtol=0.02)
    expected = kernel + np.cov(dataset.numpy().T, aweights=weights, ddof=0)
    np.testing.assert_allclose(np.cov(sample.numpy().T), expected, rtol=0.02)


def test_samples_are_seeded():
    kde = GaussianKDE(correlated(20, 2))
    assert torch.equal(kde.sample(5, random_state=3), kde.sample(5, random_state=torch.Generator().manual_seed(3)))
    assert not torch.equal(kde.sample(5, random_state=3), kde.sample(5, random_state=4))
    assert len(kde.sample(5)) == 5


def test_each_method_names_its_own_argument():
    kde, nan = GaussianKDE(correlated(20, 2)), torch.full((4, 2), float("nan"))
    for call, name in ((kde.fit, "dataset"), (kde, "features"), (kde.log_prob, "features"), (kde.cov, "tensor")):
        with pytest.raises(ValueError, match=f"^{name}: expected finite values, got 8 NaN"):
            call(nan)


def test_a_density_beyond_the_dtype_is_infinite_and_its_log_is_not():
    kde = GaussianKDE(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 1e-6)
    assert kde(torch.zeros(1, 8)).isinf() and 88 < kde.log_prob(torch.zeros(1, 8)) < 120
