"""anomalib's PCA: where it is right ours agrees, up to the sign; and where it is wrong, as ours is not."""

import pytest
import torch
from anomalib.models.components import PCA as AnomalibPCA

from oddlab import PCA


def samples(n=200, d=12):
    g = torch.Generator().manual_seed(0)
    stds = torch.logspace(0, -1.5, d, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64) * stds + 3


def up_to_sign(a, b):
    return torch.allclose(a.double().abs(), b.double().abs(), atol=1e-5)


@pytest.mark.parametrize("shape", [(200, 12), (10, 30)])
def test_a_count_of_two_or_more_gives_the_same_components_and_singular_values(shape):
    theirs, ours = AnomalibPCA(4), PCA(4).fit(samples(*shape))
    theirs.fit(samples(*shape))
    assert up_to_sign(theirs.singular_vectors.mT, ours.components)
    assert up_to_sign(theirs.singular_values, ours.singular_values)


def test_theirs_shifts_its_arguments():
    theirs, ours, x = AnomalibPCA(4), PCA(4), samples()
    ours.fit_transform(x)
    ours.transform(x)
    assert torch.equal(x, samples())
    theirs.fit(x)
    assert (x - samples()).abs().max() > 2.9
    x = samples().float()
    first, second = theirs.transform(x), theirs.transform(x)
    assert (first - second).abs().max() > 2
    assert torch.equal(ours.transform(samples()), ours.transform(samples()))


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_theirs_is_one_component_short_of_a_share(share):
    theirs = AnomalibPCA(share)
    theirs.fit(samples())
    ours = PCA(share).fit(samples())
    assert theirs.singular_vectors.shape[1] == len(ours.components) - 1
    full = PCA(12).fit(samples()).explained_variance_ratio.cumsum(0)
    assert full[len(ours.components) - 1] > share
    assert len(ours.components) == 1 or full[len(ours.components) - 2] <= share


def test_theirs_keeps_nothing_by_fit_transform_with_a_share_and_where_the_first_component_suffices():
    x = samples()
    assert AnomalibPCA(0.95).fit_transform(x.clone()).shape == (200, 0)
    assert PCA(0.95).fit_transform(x).shape[1] > 4
    theirs = AnomalibPCA(0.01)
    theirs.fit(x.clone())
    assert theirs.singular_vectors.shape[1] == 0
    assert len(PCA(0.01).fit(x).components) == 1


def test_theirs_reads_one_component_as_the_share_of_all():
    # All but one are kept; where rounding leaves the sum of the shares below 1, it raises instead.
    theirs = AnomalibPCA(1)
    try:
        theirs.fit(samples())
        kept = theirs.singular_vectors.shape[1]
    except IndexError:
        kept = None
    assert kept != 1
    assert len(PCA(1).fit(samples()).components) == 1


def test_theirs_forgets_the_mean_on_the_way_back():
    x = samples()
    theirs, ours = AnomalibPCA(12), PCA(12)
    back = theirs.inverse_transform(theirs.fit_transform(x.clone()))
    torch.testing.assert_close(back + theirs.mean, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(ours.inverse_transform(ours.fit_transform(x)), x)


def test_theirs_loses_the_singular_values_on_saving():
    theirs, ours = AnomalibPCA(4), PCA(4).fit(samples())
    theirs.fit(samples())
    loaded, ours_loaded = AnomalibPCA(4), PCA(4)
    loaded.load_state_dict(theirs.state_dict())
    ours_loaded.load_state_dict(ours.state_dict())
    assert not hasattr(loaded, "singular_values")
    assert torch.equal(ours_loaded.singular_values, ours.singular_values)
