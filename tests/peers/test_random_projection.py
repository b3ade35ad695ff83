"""SparseRandomProjection against anomalib's and scikit-learn's; needs the group `peers`, and fails without it."""

import torch
from anomalib.models.components import SparseRandomProjection as Theirs
from sklearn.random_projection import SparseRandomProjection as ScikitLearn

from oddlab import SparseRandomProjection

EPS = 0.5


def points():
    return torch.randn(100, 400, generator=torch.Generator().manual_seed(0))


def share_outside(x, y):
    ratio = torch.pdist(y).square() / torch.pdist(x).square()
    return ((ratio - 1).abs() > EPS).float().mean().item()


def test_theirs_takes_the_same_seed_for_every_row_and_ours_does_not():
    x = points()
    torch.manual_seed(0)
    theirs = Theirs(EPS, random_state=0).fit(x)
    present = theirs.sparse_random_matrix != 0
    assert len(present) == 221
    assert len({tuple(row.nonzero().flatten().tolist()) for row in present}) < 30
    assert present.any(dim=0).sum() < 40
    assert share_outside(x, theirs.transform(x)) > 0.05
    assert share_outside(x, SparseRandomProjection(EPS, random_state=0).fit_transform(x)) == 0


def test_their_seed_does_not_decide_the_signs():
    x = points()
    torch.manual_seed(0)
    first = Theirs(EPS, random_state=0).fit(x).transform(x)
    assert not torch.equal(Theirs(EPS, random_state=0).fit(x).transform(x), first)


def test_ours_and_scikit_learn_have_the_same_shape_density_and_heights():
    x = points()
    theirs = ScikitLearn(eps=EPS, random_state=0).fit(x.numpy())
    ours = SparseRandomProjection(EPS, random_state=0).fit(x)
    matrix = ours._sparse_random_matrix(400)
    assert matrix.shape == theirs.components_.shape
    assert abs(matrix.values()).unique().item() == torch.tensor(abs(theirs.components_.data).max()).float().item()
    assert abs(len(matrix.values()) / theirs.components_.nnz - 1) < 0.06  # 4 standard deviations of the two counts


def test_both_project_alike_with_the_same_matrix():
    x = points()
    theirs = Theirs(EPS, random_state=0).fit(x)
    ours = SparseRandomProjection(EPS, random_state=0).fit(x)
    theirs.sparse_random_matrix = ours._sparse_random_matrix(400).to_dense()
    torch.testing.assert_close(ours.transform(x), theirs.transform(x))
