import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ScikitPCA
from torch.utils._python_dispatch import TorchDispatchMode

from oddlab import PCA
from oddlab import pca as module
from oddlab.data import read_digits

TALL, WIDE, SQUARE = (300, 12), (25, 60), (40, 40)
SHAPES = pytest.mark.parametrize("shape", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])


def samples(shape=TALL, seed=0, dtype=torch.float64, offset=3.0, smallest=0.03):
    """Samples whose standard deviations along rotated axes fall from 1 to `smallest`."""
    g = torch.Generator().manual_seed(seed)
    n, d = shape
    axes = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64)).Q
    stds = torch.logspace(0, np.log10(smallest), d, dtype=torch.float64)
    return ((torch.randn(n, d, generator=g, dtype=torch.float64) * stds) @ axes + offset).to(dtype)


def digits():
    images, labels = read_digits()
    return images.flatten(1).double(), labels


def assert_same(a, b, tolerance=1e-9):
    for name in ("mean", "components", "singular_values", "explained_variance", "explained_variance_ratio"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance, msg=name)


@SHAPES
@pytest.mark.parametrize("n_components", [1, 3, 0.3, 0.95, 0.999, "all"])
def test_everything_is_that_of_scikit_learn_signs_included(shape, n_components):
    # Of N centred samples in more dimensions the last direction has no variance and is anybody's choice.
    full = min(shape[0] - 1, shape[1])
    k = full if n_components == "all" else n_components
    x, other = samples(shape), samples(shape, seed=0)[:7] * 2 + 1
    ours, theirs = PCA(k), ScikitPCA(k, svd_solver="full")
    coordinates, expected = ours.fit_transform(x), theirs.fit_transform(x.numpy())
    assert ours.components.shape == theirs.components_.shape
    for mine, his in [
        (ours.mean, theirs.mean_),
        (ours.components, theirs.components_),
        (ours.singular_values, theirs.singular_values_),
        (ours.explained_variance, theirs.explained_variance_),
        (ours.explained_variance_ratio, theirs.explained_variance_ratio_),
        (coordinates, expected),
        (ours(other), theirs.transform(other.numpy())),
        (ours.inverse_transform(coordinates[:5]), theirs.inverse_transform(expected[:5])),
    ]:
        np.testing.assert_allclose(mine.numpy(), his, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_components", [2, 20, 0.5, 0.95])
def test_digits_have_the_components_of_scikit_learn(n_components):
    x, _ = digits()  # three of its pixels are always 0
    ours, theirs = PCA(n_components).fit(x), ScikitPCA(n_components).fit(x.numpy())
    np.testing.assert_allclose(ours.components.numpy(), theirs.components_, atol=1e-6)
    np.testing.assert_allclose(ours.explained_variance_ratio.numpy(), theirs.explained_variance_ratio_, atol=1e-9)


@SHAPES
def test_a_share_is_exceeded_by_as_few_components_as_it_takes(shape):
    # A peer keeps one too few, and none if the first alone suffices.
    ratio = PCA(min(shape)).fit(samples(shape)).explained_variance_ratio.cumsum(0)
    for share in (0.01, 0.5, 0.9, 0.99):
        k = len(PCA(share).fit(samples(shape)).components)
        assert ratio[k - 1] > share and (k == 1 or ratio[k - 2] <= share)
    assert PCA(share).fit_transform(samples(shape)).shape == (shape[0], k)


def test_one_is_a_count():
    # A peer reads it as the share of all.
    assert PCA(1).fit_transform(samples()).shape == (300, 1)


@SHAPES
def test_all_components_are_orthonormal_and_give_the_samples_back(shape):
    # A peer forgets to add the mean.
    pca, x = PCA(min(shape)), samples(shape)
    torch.testing.assert_close(pca.inverse_transform(pca.fit_transform(x)), x)
    gram = pca.components @ pca.components.mT
    torch.testing.assert_close(gram, torch.eye(min(shape), dtype=gram.dtype), rtol=0, atol=1e-12)
    # A direction without variance has none, not the root of a rounding error.
    assert shape[0] > shape[1] or pca.singular_values[-1] == 0


def test_samples_of_low_rank_have_that_many_variances():
    x = samples((50, 3)) @ torch.randn(3, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for n in (10, 50):
        pca = PCA(9).fit(x[:n])
        assert (pca.explained_variance[:3] > 0.001).all() and (pca.explained_variance[3:] == 0).all()
        gram = pca.components @ pca.components.mT
        torch.testing.assert_close(gram, torch.eye(9, dtype=gram.dtype), rtol=0, atol=1e-12)


def test_the_samples_stay_as_they_are_and_two_transforms_agree():
    # A peer centres them in place, so that the second transform differs, there by 5.1.
    x = samples()
    kept, pca = x.clone(), PCA(3)
    pca.fit_transform(x)
    first = pca.transform(x)
    assert torch.equal(x, kept) and torch.equal(pca.transform(x), first)


@SHAPES
@pytest.mark.parametrize("batch", [1, 7, 20, 1000])
@pytest.mark.parametrize("n_components", [4, 0.9])
def test_batches_give_the_components_of_one_fit(shape, batch, n_components):
    x = samples(shape)
    parts = PCA(n_components)
    for rows in x.split(batch):
        parts.partial_fit(rows)
    assert int(parts.n_samples) == len(x)
    assert_same(parts, PCA(n_components).fit(x))


@SHAPES
@pytest.mark.parametrize("cut", [1, 10, 20])
def test_merge_is_as_if_one_had_seen_all_and_leaves_the_other_alone(shape, cut):
    x = samples(shape)
    a, b = PCA(4).partial_fit(x[:cut]), PCA(2).fit(x[cut:])
    kept = {name: value.clone() for name, value in b.state_dict().items()}
    assert_same(a.merge(b), PCA(4).fit(x))
    assert_same(PCA(4).merge(b).partial_fit(x[:cut]), PCA(4).fit(x))
    assert all(torch.equal(kept[name], value) for name, value in b.state_dict().items())


@SHAPES
def test_a_loaded_state_goes_on_where_the_saved_one_was(shape):
    # A peer loses the singular values.
    x, loaded = samples(shape), PCA(2)
    saved = PCA(4).fit(x[:15])
    assert {"mean", "spread", "n_samples", "_components", "_explained_variance"} == set(saved.state_dict())
    loaded.load_state_dict(saved.state_dict())
    assert_same(loaded, saved, tolerance=0)
    assert len(loaded.partial_fit(x[15:]).components) == 2
    assert_same(loaded, PCA(2).fit(x))


def test_a_second_fit_forgets_the_first_and_one_that_fails_does_not():
    pca = PCA(3).fit(samples())
    for bad in (torch.ones(5, 12), samples((2, 12)), samples() * float("nan")):
        with pytest.raises(ValueError, match="^dataset: expected"):
            pca.fit(bad)
        assert_same(pca, PCA(3).fit(samples()), tolerance=0)
    assert_same(pca.fit(samples(WIDE)), PCA(3).fit(samples(WIDE)), tolerance=0)


@SHAPES
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_finds_directions_of_a_hundredth_of_the_largest_deviation_wherever_the_mean_is(shape, offset):
    x = samples((shape[0] * 10, shape[1] * 10), offset=offset, smallest=0.01)
    exact, ours = PCA(min(x.shape) - 1).fit(x), PCA(min(x.shape) - 1).fit(x.float())
    assert ours.components.dtype == torch.float32
    found = exact.explained_variance > 1e-4 * exact.explained_variance[0]
    assert found.sum() > 200 or shape == TALL
    for k in (5, int(found.sum())):
        variance = exact.explained_variance[:k]
        torch.testing.assert_close(ours.explained_variance[:k].double(), variance, rtol=1e-3, atol=0)
        right, found_too = exact.components[:k], ours.components[:k].double()
        apart = right - right @ found_too.mT @ found_too
        assert apart.norm(dim=1).max() < 0.02


def test_float32_far_from_zero_is_right_where_scikit_learn_is_not():
    # Its default subtracts two large numbers there: the first direction is that of rounding errors.
    x = samples((3000, 200), offset=100.0, smallest=1e-3)
    exact = PCA(1).fit(x).components[0]
    ours = PCA(1).fit(x.float()).components[0].double()
    theirs = torch.from_numpy(ScikitPCA(1, svd_solver="covariance_eigh").fit(x.float().numpy()).components_[0]).double()
    assert ours @ exact > 1 - 1e-6
    assert (theirs @ exact).abs() < 0.99


def test_coordinates_far_from_zero_keep_their_digits():
    x = samples(offset=1000.0)
    pca = PCA(3).fit(x)
    torch.testing.assert_close(pca.transform(x.float()).double(), pca.transform(x), rtol=0, atol=3e-4)


def test_nothing_depends_on_the_block_size(monkeypatch):
    x = samples((100, 12))
    whole = PCA(3).fit(x)
    coordinates = whole.transform(x)
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    assert_same(PCA(3).fit(x), whole)
    torch.testing.assert_close(whole.transform(x), coordinates, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "limit"), [((6000, 20), 20 * 20 * 8), ((20, 6000), 20 * 6000 * 8)])
def test_no_tensor_is_larger_than_a_block_or_the_state(monkeypatch, shape, limit):
    # A peer builds an N x N matrix.
    class Largest(TorchDispatchMode):
        bytes = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.data_ptr() != x.data_ptr():
                self.bytes = max(self.bytes, result.untyped_storage().nbytes())
            return result

    monkeypatch.setattr(module, "BLOCK_BYTES", limit)
    x = samples(shape)
    with Largest() as largest:
        PCA(5).fit(x)
    assert 0 < largest.bytes <= 1.1 * limit


def test_gradients_flow_to_the_features_and_not_into_the_fit():
    x = samples().requires_grad_()
    pca = PCA(2)
    with torch.inference_mode():
        pca.partial_fit(samples())
        pca.transform(samples())
    pca.inverse_transform(pca.transform(x)).sum().backward()
    assert x.grad.isfinite().all()
    assert not PCA(2).fit(x).components.requires_grad


def test_a_numpy_share_is_a_share():
    assert len(PCA(np.float64(0.5)).fit(samples()).components) == len(PCA(0.5).fit(samples()).components)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spectrum", ["falling", "slowly falling", "equal", "low rank"])
def test_few_of_a_large_matrix_are_those_of_the_full_decomposition(spectrum, dtype):
    m, k = 600, 12
    i = torch.arange(1, m + 1)
    spectra = {"falling": 1 / i, "slowly falling": i**-0.25, "equal": torch.ones(m), "low rank": (i <= 5).float()}
    values = spectra[spectrum]
    q = torch.linalg.qr(torch.randn(m, m, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    matrix = ((q * values.double()) @ q.T).to(dtype)
    found, vectors = module.largest_eigenpairs(matrix, k)
    expected = torch.linalg.eigvalsh(matrix.double()).flip(0)[:k]
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert torch.allclose(vectors.T @ vectors, torch.eye(k, dtype=torch.float64), rtol=0, atol=1e-12)
    wrong = 2e-8 if dtype == torch.float32 else 2e-12
    assert torch.allclose(matrix.double() @ vectors, vectors * found, rtol=0, atol=wrong)


FALLING = 500 / torch.arange(1.0, 501)


def test_few_of_a_large_matrix_take_no_full_decomposition(monkeypatch):
    monkeypatch.setattr(module.scipy.linalg, "eigh", None)
    values, vectors = module.largest_eigenpairs(FALLING.diag(), 5)
    assert torch.allclose(values, FALLING[:5].double(), rtol=1e-12)
    assert torch.allclose(vectors.abs(), torch.eye(500, 5).double(), atol=1e-7)


def test_one_that_was_missed_is_found_all_the_same(monkeypatch):
    values, vectors = module.block_lanczos(FALLING.diag().double(), 6, tolerance=1e-12)
    monkeypatch.setattr(module, "block_lanczos", lambda matrix, k, tolerance: (values[1:], vectors[:, 1:]))
    assert torch.allclose(module.largest_eigenpairs(FALLING.diag(), 5)[0], FALLING[:5].double(), rtol=1e-12)


def test_where_it_takes_long_the_full_decomposition_is_taken(monkeypatch):
    monkeypatch.setattr(module, "RESTARTS", 0)
    assert module.block_lanczos(FALLING.diag().double(), 2, tolerance=1e-12) is None
    assert torch.allclose(module.largest_eigenpairs(FALLING.diag(), 2)[0], FALLING[:2].double(), rtol=1e-12)
