import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2
from sklearn import random_projection as sklearn

from oddlab import SparseRandomProjection, johnson_lindenstrauss_min_dim
from oddlab import random_projection as module
from oddlab.checks import NotFittedError


def points(n=100, d=400, seed=0, dtype=torch.float32):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def matrix(projection, n_features):
    return projection._sparse_random_matrix(n_features).to_dense()


def share_outside(x, y, eps):
    ratio = torch.pdist(y.double()).square() / torch.pdist(x.double()).square()
    return ((ratio - 1).abs() > eps).double().mean().item()


def test_the_bound_is_that_of_scikit_learn_for_every_n_and_eps():
    n_samples = np.unique(np.concatenate([np.arange(1, 300), np.geomspace(300, 1e12, 200).astype(np.int64)]))
    eps = np.concatenate([[1e-4, 0.001, 0.01], np.arange(1, 40) / 40, [0.99, 0.9999]])
    for e in eps:
        theirs = sklearn.johnson_lindenstrauss_min_dim(n_samples, eps=e)
        ours = [johnson_lindenstrauss_min_dim(int(n), eps=float(e)) for n in n_samples]
        assert ours == theirs.tolist()
    assert type(ours[0]) is int
    assert SparseRandomProjection().johnson_lindenstrauss_min_dim(1000) == johnson_lindenstrauss_min_dim(1000, 0.1)


def test_entries_have_the_three_values_of_li_hastie_church_with_their_chances():
    k, d = 600, 900  # s = 30: 20 standard deviations of the share of each value are 4 % of it
    r = matrix(SparseRandomProjection(random_state=0, n_components=k), d)
    height = math.sqrt(math.sqrt(d) / k)
    assert torch.equal(r.unique(), torch.tensor([-height, 0, height]))
    for sign in (-1, 1):
        count = int((r == sign * height).sum())
        assert 1e-4 < binom.cdf(count, k * d, 1 / (2 * math.sqrt(d))) < 1 - 1e-4


@pytest.mark.parametrize("d", [1, 2, 3, 10, 50])
def test_every_entry_is_there_with_the_same_chance_and_independent_of_its_neighbours(d):
    k, p = 20_000, 1 / math.sqrt(d)
    offsets, columns, signs = module.draw_signs(k, d, torch.Generator().manual_seed(1))
    present = module.dense_matrix(offsets, columns, signs, d) != 0
    assert int(offsets[-1]) == len(columns) == len(signs) == int(present.sum())
    deviation = math.sqrt(p * (1 - p) / k)
    assert (present.double().mean(dim=0) - p).abs().max() <= 5 * deviation  # every column
    flat = present.flatten()
    both = (flat[1:] & flat[:-1]).double().mean().item()  # from one row to the next as well
    assert abs(both - p**2) <= 5 * math.sqrt(p**2 * (1 - p**2) / k)
    counts = present.sum(dim=1).bincount(minlength=d + 1).double() / k
    expected = torch.from_numpy(binom.pmf(np.arange(d + 1), d, p))
    assert (counts - expected).abs().max() <= 5 * 0.5 / math.sqrt(k)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 333])
@pytest.mark.parametrize("block_bytes", [1, 2**14, 2**24])
def test_transform_is_the_product_with_the_matrix(n, dtype, block_bytes, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    x = points(n, 70, dtype=dtype)
    projection = SparseRandomProjection(random_state=0, n_components=33).fit(x)
    expected = x.double() @ matrix(projection, 70).double().T
    y = projection.transform(x)
    # Sums of some 8 numbers of size 1, times 0.5: the last digit of the dtype is seen in each.
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=20 * torch.finfo(dtype).eps + 1e-6)
    assert y.is_contiguous() and y.dtype == dtype


def test_the_way_of_accelerators_gives_the_same():
    x = points(40, 70, dtype=torch.float64)
    drawn = module.draw_signs(33, 70, torch.Generator().manual_seed(0))
    offsets, columns, values = drawn[0], drawn[1], drawn[2].double()
    dense = module.dense_matrix(offsets, columns, values, 70)
    torch.testing.assert_close(x @ dense.T, module.gather_product(x, offsets, columns, values))


def test_points_that_are_not_contiguous_and_matrices_without_entries_are_projected_too():
    x = points(70, 50).T
    projection = SparseRandomProjection(random_state=0, n_components=20)
    torch.testing.assert_close(projection.fit_transform(x), x.contiguous() @ matrix(projection, 70).T)
    empty = torch.empty(0, dtype=torch.int32)
    nothing = module.gather_product(points(3, 4), torch.zeros(3, dtype=torch.int32), empty, torch.empty(0))
    assert torch.equal(nothing, torch.zeros(3, 2))


def test_gradients_pass_through():
    x = points(19, 12, dtype=torch.float64).requires_grad_()
    projection = SparseRandomProjection(random_state=0, n_components=5).fit(x.detach())
    assert torch.autograd.gradcheck(projection.transform, x)


@pytest.mark.parametrize(("n", "d", "eps"), [(100, 1000, 0.5), (300, 2000, 0.3), (1000, 1500, 0.9)])
def test_with_the_bound_as_many_pairs_are_kept_as_it_promises(n, d, eps):
    # For Gaussian entries the proof leaves each pair outside with a chance of at most 2 / n^2.
    x = points(n, d)
    projection = SparseRandomProjection(eps, random_state=0)
    y = projection.fit_transform(x)
    assert y.shape == (n, johnson_lindenstrauss_min_dim(n, eps))
    assert share_outside(x, y, eps) <= 2 / n**2


def test_with_fewer_components_the_share_outside_is_that_of_a_chi_squared():
    k, eps = 50, 0.3
    x = points(400, 2000)
    y = SparseRandomProjection(random_state=0, n_components=k).fit_transform(x)
    expected = chi2.cdf(k * (1 - eps), k) + chi2.sf(k * (1 + eps), k)  # 0.13
    assert share_outside(x, y, eps) == pytest.approx(expected, rel=0.15)


def test_squared_distances_are_right_on_average():
    x = points(2, 100)
    squared = [
        torch.pdist(SparseRandomProjection(random_state=seed, n_components=10).fit_transform(x)).square().item()
        for seed in range(2000)
    ]
    # Each has a relative deviation of about sqrt(2 / 10), their mean one of 1 %.
    assert np.mean(squared) == pytest.approx(torch.pdist(x).square().item(), rel=0.04)


def test_one_seed_gives_rows_of_independent_supports_and_is_reproducible():
    # A peer takes the same seed for every row: 221 rows have 22 supports among 30 of 400 columns, a tenth of the pairs
    # is outside, and the signs come from the global random state.
    x = points(100, 400)
    eps = 0.5
    projection = SparseRandomProjection(eps, random_state=0)
    y = projection.fit_transform(x)
    present = matrix(projection, 400)[: y.shape[1]] != 0
    assert len(present) == 221
    assert len({tuple(row.nonzero().flatten().tolist()) for row in present}) == 221
    assert present.any(dim=0).all()
    assert share_outside(x, y, eps) == 0
    # Two rows have 400 / 20^2 = 1 column in common on average.
    common = present.double() @ present.double().T
    assert common[~torch.eye(221, dtype=torch.bool)].mean().item() == pytest.approx(1, rel=0.1)
    torch.manual_seed(5)
    assert torch.equal(SparseRandomProjection(eps, random_state=0).fit_transform(x), y)


def test_random_state_is_a_seed_a_generator_that_goes_on_or_none():
    x = points(50, 400)
    seeded, other = (SparseRandomProjection(0.9, seed).fit_transform(x) for seed in (0, 1))
    generator = torch.Generator().manual_seed(0)
    projection = SparseRandomProjection(0.9, generator)
    assert torch.equal(projection.fit_transform(x), seeded)
    assert not torch.equal(projection.fit_transform(x), seeded)
    assert not torch.equal(other, seeded)
    torch.manual_seed(0)
    first = SparseRandomProjection(0.9).fit_transform(x)
    assert not torch.equal(SparseRandomProjection(0.9).fit_transform(x), first)
    torch.manual_seed(0)
    assert torch.equal(SparseRandomProjection(0.9).fit_transform(x), first)


def test_a_fit_in_half_precision_and_a_later_transform_in_another_dtype_use_the_same_matrix():
    x = points(50, 400)
    projection = SparseRandomProjection(0.9, 0).fit(x.half()).half()
    assert torch.equal(projection.transform(x), SparseRandomProjection(0.9, 0).fit_transform(x))


def test_a_bound_larger_than_the_features_says_what_was_asked_and_what_helps():
    with pytest.raises(ValueError) as caught:
        SparseRandomProjection(0.1).fit(points(100, 400))
    assert str(caught.value) == (
        "eps: expected one that asks for at most D = 400 components, got 0.1, which asks for 3947 for N = 100 points: "
        "set n_components or take a larger eps"
    )
    with pytest.raises(ValueError, match="asks for 113 for N = 100 points: set n_components$"):
        SparseRandomProjection(0.9).fit(points(100, 100))  # 110 is the least that any eps asks for
    with pytest.raises(ValueError, match="^n_components: expected at most D = 5, .* got 6"):
        SparseRandomProjection(n_components=6).fit(points(9, 5))


def test_a_single_point_has_no_bound_and_needs_n_components():
    with pytest.raises(ValueError, match=r"embedding: expected .* N >= 2, got \(1, 9\)"):
        SparseRandomProjection(0.9).fit(points(1, 9))
    assert SparseRandomProjection(n_components=4).fit_transform(points(1, 9)).shape == (1, 4)


def test_the_matrix_needs_a_number_of_components():
    with pytest.raises(NotFittedError, match="not fitted: call fit"):
        SparseRandomProjection()._sparse_random_matrix(5)
    fitted = SparseRandomProjection(0.9, 0).fit(points(50, 400))
    drawn = fitted._sparse_random_matrix(400)
    assert drawn.layout == torch.sparse_csr and drawn.shape == (96, 400)
    torch.testing.assert_close(drawn.to_dense(), fitted.transform(torch.eye(400)).T)
    assert SparseRandomProjection(n_components=3)._sparse_random_matrix(50).shape == (3, 50)


def test_a_failed_fit_leaves_the_fitted_one():
    projection = SparseRandomProjection(0.9, 0).fit(points(50, 400))
    before = {name: value.clone() for name, value in projection.state_dict().items()}
    with pytest.raises(ValueError, match="^eps: "):
        projection.fit(points(100, 20))
    assert all(torch.equal(before[name], value) for name, value in projection.state_dict().items())
