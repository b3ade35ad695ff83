"""The estimator against anomalib's: equal for data of mean 0, and the faults that ours must not have."""

import pytest
import torch
from anomalib.models.components import GaussianKDE as Peer
from scipy.stats import gaussian_kde

from oddlab import GaussianKDE


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def fitted_peer(dataset):
    peer = Peer()
    peer.fit(dataset.clone())
    return peer


def test_for_data_of_mean_0_the_densities_are_the_same():
    dataset = normal(200, 3)
    dataset -= dataset.mean(dim=0)
    features = normal(50, 3, seed=1)
    torch.testing.assert_close(GaussianKDE(dataset)(features), fitted_peer(dataset)(features), rtol=1e-4, atol=1e-9)


def test_the_peer_shifts_the_callers_tensor_and_is_wrong_away_from_0():
    dataset = normal(200, 2) + 5
    given = dataset.clone()
    peer = Peer()
    peer.fit(given)
    assert given.mean().abs() < 1e-5
    expected = torch.from_numpy(gaussian_kde(dataset.double().numpy().T)(dataset[:20].double().numpy().T))
    assert (peer(dataset[:20]) < 1e-6).all() and (expected > 1e-3).all()
    torch.testing.assert_close(GaussianKDE(dataset)(dataset[:20]).double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("d", "fewest"), [(64, 50), (128, 100), (512, 100)])
def test_the_peers_density_is_0_in_many_dimensions(d, fewest):
    dataset, features = normal(1000, d), normal(100, d, seed=1)
    assert int((fitted_peer(dataset - dataset.mean(dim=0))(features) == 0).sum()) >= fewest
    assert GaussianKDE(dataset).log_prob(features).isfinite().all()


def test_the_peer_cannot_be_given_its_data_at_construction():
    with pytest.raises(KeyError):
        Peer(dataset=normal(20, 2))


@pytest.mark.parametrize("seed", range(4))
def test_with_a_duplicated_column_the_peer_fails_or_returns_garbage_as_rounding_has_it(seed):
    plain = normal(50, 3, seed)
    dataset = torch.cat([plain, 3 * plain[:, :1]], dim=1)
    try:
        assert fitted_peer(dataset)(dataset - dataset.mean(dim=0)).max() > 10 * GaussianKDE(plain)(plain).max()
    except torch.linalg.LinAlgError as error:
        assert "dataset" not in str(error)
    with pytest.raises(ValueError, match="^dataset: expected columns that vary"):
        GaussianKDE(dataset)


@pytest.mark.parametrize("dataset", [torch.cat([normal(50, 2), torch.ones(50, 1)], dim=1), normal(3, 3), normal(1, 2)])
def test_the_peer_meets_singular_data_with_a_bare_linear_algebra_error(dataset):
    with pytest.raises(torch.linalg.LinAlgError):
        fitted_peer(dataset)
    with pytest.raises(ValueError, match="^dataset: expected "):
        GaussianKDE(dataset)
