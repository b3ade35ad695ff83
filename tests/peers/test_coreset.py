import pytest
import torch
from anomalib.models.components.sampling import KCenterGreedy as Theirs

from oddlab import KCenterGreedy


class Identity:
    """In place of the projection that anomalib always does, and seeds from the global state."""

    def fit(self, x):
        return self

    def transform(self, x):
        return x


def theirs(points, ratio, seed=0):
    sampler = Theirs(points.clone(), ratio)
    sampler.model = Identity()
    torch.manual_seed(seed)
    return sampler.select_coreset_idxs()


def normal(n, d, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_picks(seed):
    points = normal(2000, 10)
    assert KCenterGreedy(points, 0.2, random_state=seed).select_coreset_idxs() == theirs(points, 0.2, seed)


def test_theirs_repeats_points_once_all_distances_are_0_and_ours_does_not():
    points = normal(5, 3).repeat(20, 1)
    assert len(set(theirs(points, 0.5))) == 5
    assert len(set(KCenterGreedy(points, 0.5, random_state=0).select_coreset_idxs())) == 50


def test_one_nan_is_followed_by_theirs_and_refused_by_ours():
    points = normal(50, 3)
    points[7] = float("nan")
    assert len(set(theirs(points, 0.2))) < 10
    with pytest.raises(ValueError, match="embedding: expected finite values, got 3 NaN"):
        KCenterGreedy(points, 0.2)


def test_shares_are_counted_by_theirs_in_binary_and_above_1_taken():
    assert Theirs(torch.zeros(100, 2), 0.29).coreset_size == 28
    assert KCenterGreedy(torch.zeros(100, 2), 0.29).coreset_size == 29
    assert Theirs(torch.zeros(100, 2), 2.0).coreset_size == 200


def test_a_projection_leaves_nearly_the_same_radius():
    """What is fine there: on clusters, distances after the projection choose as well as those before it."""
    centers = 10 * torch.randn(30, 800, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = centers.repeat(20, 1) + normal(600, 800)
    exact = KCenterGreedy(points, 0.1, random_state=0)
    exact.select_coreset_idxs()
    projected = KCenterGreedy(points, 0.1, random_state=0, project=True).sample_coreset()
    assert torch.cdist(points, projected).amin(dim=1).max() < 1.1 * exact.radii[-1]
