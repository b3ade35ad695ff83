"""Coreset selection: few points such that every other one has one of them close by."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real

import torch
from torch import Tensor
from tqdm import tqdm

from oddlab.checks import check_tensor
from oddlab.modes import accurate, fitting
from oddlab.neighbors import nearest
from oddlab.random_projection import SparseRandomProjection
from oddlab.representation import shown_arguments
from oddlab.seeding import make_generator

CANDIDATES = 512
"""Points that are looked at for each pick; what they need stays in the cache of a processor core."""
PROJECTION_EPS = 0.9
"""The distortion allowed where the points are projected first, as PatchCore has it."""


def share_of(n: int, sampling_ratio: float) -> int:
    """How many of n points a share of them is: rounded down, and at least 1.

    The ratio is taken as the decimal it is written as, since `100 * 0.29` is 28.999999999999996.

    >>> share_of(100, 0.29)
    29
    """
    if not isinstance(sampling_ratio, Real) or isinstance(sampling_ratio, bool) or not 0 < sampling_ratio <= 1:
        raise ValueError(f"sampling_ratio: expected a number above 0 and at most 1, got {sampling_ratio!r}")
    return max(1, int(n * Fraction(str(sampling_ratio))))


@fitting
def farthest_first(points: Tensor, centers: Tensor, n_picks: int, progress: bool = False) -> tuple[Tensor, Tensor]:
    r"""Pick `n_picks` of `points` (N, D), each the farthest from all `centers` and picks before it (Gonzalez 1985).

    Returns the picks (n_picks,), and the radii (n_picks + 1,), which are the largest distance of any point to the
    nearest centre, before the first pick and after each. `centers` (M,) are M >= 1 distinct indices, and neither they
    nor an earlier pick are picked again; of several that are equally far the first is.

    The plain loop measures every point against every pick. Here a point's distance to the centres seen when it was
    last looked at is an upper bound :math:`u_i \ge d_i`, since more centres can only bring it down. Only the points
    with the largest bounds are candidates. While the farthest candidate is farther than every bound outside, it is the
    farthest of all, and the rest need not be touched; when it is not, the bounds choose new candidates, and one matrix
    product tells them of all centres that they have missed. Distances are measured in float64, whatever the dtype; in
    float32 where the device has no float64.
    """
    n, first = len(points), len(centers)
    total = first + n_picks
    chosen = torch.cat([centers, centers.new_empty(n_picks)])
    start = accurate(points[centers])
    places = torch.cat([start, start.new_empty(n_picks, points.shape[1])])
    origin = start[0]
    radii = []

    # A chosen point's bound is -1, below any distance.
    bounds = torch.cat([nearest(accurate(block), start, origin)[0] for block in points.split(CANDIDATES)])
    bounds[centers] = -1
    seen = torch.full((n,), first, device=points.device)
    count = first
    bar = tqdm(total=n_picks, desc="coreset", unit="pick", leave=False, disable=not progress)
    while len(radii) <= n_picks:
        candidates, outside, outside_index = _largest(bounds, CANDIDATES)
        rows = accurate(points[candidates])
        oldest = int(seen[candidates].min())
        squared = bounds[candidates]
        if oldest < count:
            squared = torch.minimum(squared, nearest(rows, places[oldest:count], origin)[0])
        while len(radii) <= n_picks:
            farthest, place = (value.item() for value in squared.max(dim=0))
            if farthest < outside or (farthest == outside and candidates[place] > outside_index):
                break
            radii.append(max(farthest, 0.0) ** 0.5)
            if count < total:
                chosen[count], places[count] = candidates[place], rows[place]
                squared = torch.minimum(squared, (rows - rows[place]).square_().sum(dim=1))
                squared[place] = -1
                count += 1
                bar.update()
        bounds[candidates] = squared
        seen[candidates] = count
    bar.close()
    return chosen[first:], torch.tensor(radii, dtype=torch.float64, device="cpu")


def _largest(bounds: Tensor, n: int) -> tuple[Tensor, float, int]:
    """Indices of the `n` largest bounds in ascending order, first come first served; the best left out, its index."""
    if n >= len(bounds):
        return torch.arange(len(bounds), device=bounds.device), float("-inf"), len(bounds)
    outside = bounds.topk(n + 1).values[-1]
    inside, ties = torch.nonzero(bounds > outside)[:, 0], torch.nonzero(bounds == outside)[:, 0]
    free = n - len(inside)
    return torch.cat([inside, ties[:free]]).sort().values, outside.item(), int(ties[free])


class KCenterGreedy:
    r"""Choose a share of the rows of `embedding` so that the farthest row from all of them is as near as greed gets it.

    .. math::
        i_{t+1} = \arg\max_i\, d_t(i), \qquad d_t(i) = \min_{s \le t} \|x_i - x_{i_s}\|, \qquad r_t = \max_i\, d_t(i)

    The radius :math:`r_t` that is left is at most twice the smallest that any t points could have (Gonzalez 1985).

    Args:
        embedding: points (N, D), of any floating-point dtype; distances are measured in float64, or in float32 where
            the device has no float64. No gradients flow through the selection.
        sampling_ratio: the share of N to choose, in (0, 1]; at least one point is, else N times the ratio rounded down.
        random_state: decides the first point, and the projection; an int, a `torch.Generator`, or None.
        project: whether distances are measured after a `SparseRandomProjection` with eps = 0.9, as PatchCore has it:
            faster for many features, and the picks and radii are then those of the projected points.
        progress: whether a bar is shown.

    `select_coreset_idxs` and `sample_coreset` are what is mostly called. `reset_distances`, `update_distances` and
    `get_new_idx` are the steps of the plain loop, with the same picks. After a selection `radii` (K,) holds the radius
    after every pick, in units of the features, and `selected` the picks.

    Raises `ValueError` for NaN, a ratio out of range, `selected_idxs` that are no distinct row numbers or leave too few
    rows to choose from, and a projection that would not make the points smaller; `TypeError` for what is no tensor of
    floating-point numbers.

    Source: Roth et al., PatchCore (arXiv 2106.08265), section 3.2; Sener and Savarese (arXiv 1708.00489), algorithm 1.

    Example:
        >>> points = torch.tensor([[0.0], [0.1], [5.0], [5.1], [9.0]])
        >>> sampler = KCenterGreedy(points, sampling_ratio=0.6, random_state=0)
        >>> sampler.select_coreset_idxs()
        [4, 0, 2]
        >>> sampler.radii
        tensor([9.0000, 4.0000, 0.1000], dtype=torch.float64)
    """

    def __init__(
        self,
        embedding: Tensor,
        sampling_ratio: float,
        *,
        random_state: int | torch.Generator | None = None,
        project: bool = False,
        progress: bool = False,
    ) -> None:
        self.embedding = check_tensor("embedding", embedding, "N D")
        self.coreset_size = share_of(len(embedding), sampling_ratio)
        self.sampling_ratio, self.random_state = sampling_ratio, random_state
        self.project, self.progress = project, progress
        self._generator = make_generator(random_state)
        self.features = embedding.detach()
        if project:
            self.features = SparseRandomProjection(PROJECTION_EPS, self._generator).fit_transform(self.features)
        self.reset_distances()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_arguments(self)})"

    @fitting
    def reset_distances(self) -> None:
        """Forget all centres: every point is infinitely far from the nearest."""
        self.min_distances = accurate(self.features.new_full((len(self.features),), float("inf")))

    @fitting
    def update_distances(self, cluster_centers: Sequence[int]) -> None:
        """Bring `min_distances` (N,) down by what is nearer to one of `cluster_centers`, whose own become -1."""
        for center in self._indices("cluster_centers", cluster_centers).tolist():
            for block, kept in zip(self.features.split(4096), self.min_distances.split(4096)):
                away = (accurate(block) - accurate(self.features[center])).square_().sum(dim=1).sqrt_()
                torch.minimum(kept, away, out=kept)
            self.min_distances[center] = -1

    def get_new_idx(self) -> int:
        """The first of the points that are farthest from all centres so far."""
        return int(self.min_distances.argmax())

    def select_coreset_idxs(self, selected_idxs: Sequence[int] | None = None) -> list[int]:
        """Indices of N times the ratio points, none of them in `selected_idxs`, the rows that are chosen already.

        The first is drawn at random, or with `selected_idxs` is the farthest from those.
        """
        n, k = len(self.features), self.coreset_size
        if selected_idxs is None or len(selected_idxs) == 0:
            start = torch.randint(n, (1,), generator=self._generator, device="cpu").to(self.features.device)
            picks, radii = farthest_first(self.features, start, k - 1, self.progress)
            picks = torch.cat([start, picks])
        else:
            centers = self._indices("selected_idxs", selected_idxs)
            if len(centers) + k > n:
                raise ValueError(
                    f"selected_idxs: expected at most {n - k} of {n} rows, to choose {k} more, got {len(centers)}"
                )
            picks, radii = farthest_first(self.features, centers, k, self.progress)
            radii = radii[1:]
        self.selected, self.radii = picks.tolist(), radii
        return self.selected

    def sample_coreset(self, selected_idxs: Sequence[int] | None = None) -> Tensor:
        """The rows (K, D) of `embedding` that `select_coreset_idxs` chooses."""
        return self.embedding[self.select_coreset_idxs(selected_idxs)]

    def _indices(self, name: str, values: Sequence[int]) -> Tensor:
        n, indices = len(self.features), torch.as_tensor(values, device=self.features.device)
        if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
            raise ValueError(f"{name}: expected a list of row numbers, got {values!r}")
        if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < n):
            raise ValueError(
                f"{name}: expected row numbers from 0 to {n - 1}, got {int(indices.min())} to {int(indices.max())}"
            )
        if len(indices.unique()) != len(indices):
            raise ValueError(
                f"{name}: expected distinct row numbers, got {len(indices) - len(indices.unique())} repeated"
            )
        return indices.long()
