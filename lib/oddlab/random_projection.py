"""Very sparse random projection: fewer features, with nearly the same distances between the points."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from oddlab.checks import NotFittedError, check_int, check_tensor, values_known
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.modes import fitting, full_precision
from oddlab.seeding import make_generator

TILE_ROWS = 16
"""Points that are projected side by side: in float32 one cache line holds a feature of all of them."""

BLOCK_BYTES = 8 * 2**20
"""Scratch memory for the tiles that one call works on, in bytes; it stays in a processor's cache."""


def johnson_lindenstrauss_min_dim(n_samples: int, eps: float = 0.1) -> int:
    r"""Components k that keep every squared distance between `n_samples` points within a factor of 1 - eps to 1 + eps.

    .. math:: k = \left\lfloor \frac{4 \ln n}{\varepsilon^2/2 - \varepsilon^3/3} \right\rfloor

    For any n points of any number of features, which does not enter, there is then such a matrix: one with Gaussian
    entries keeps a single distance but for a chance of at most :math:`2/n^2`, and so all :math:`n(n-1)/2` of them with
    a chance of at least :math:`1/n`. That bound is a loose one: in practice nearly every draw does.

    Raises `ValueError` unless n_samples >= 1 and 0 < eps < 1.

    Source: Dasgupta and Gupta 2003, theorem 2.1, rounded down as scikit-learn rounds it.

    >>> johnson_lindenstrauss_min_dim(20_000, eps=0.9)
    244
    """
    if not isinstance(n_samples, Real) or not 1 <= n_samples < math.inf:
        raise ValueError(f"n_samples: expected a finite number of at least 1, got {n_samples!r}")
    if not isinstance(eps, Real) or not 0 < eps < 1:
        raise ValueError(f"eps: expected a number above 0 and below 1, got {eps!r}")
    return int(4 * math.log(n_samples) / (eps**2 / 2 - eps**3 / 3))


def draw_signs(n_components: int, n_features: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    r"""Signs of a very sparse matrix (k, D): every entry is +1 or -1 with probability :math:`1/(2\sqrt D)` each, else
    0.

    Returns them in compressed rows: row j has its entries from `offsets[j]` up to `offsets[j + 1]`, in ascending
    `columns`, with `signs`. Read row after row, the way from one entry to the next is geometrically distributed, so
    only the entries are drawn, which are :math:`k\sqrt D` on average, and never the zeros between them.

    >>> offsets, columns, signs = draw_signs(2, 16, torch.Generator().manual_seed(0))
    >>> offsets.tolist(), columns.tolist(), signs.tolist()
    ([0, 1, 4], [12, 1, 4, 13], [1, -1, -1, 1])
    """
    size, expected = n_components * n_features, n_components * math.sqrt(n_features)
    # Eight standard deviations more than expected: that these do not reach the end has a chance below 1e-14.
    n_drawn = math.ceil(expected + 8 * math.sqrt(expected)) + 8
    uniform = torch.rand(n_drawn, dtype=torch.float64, generator=generator, device="cpu")
    log_absent = torch.tensor(-1 / math.sqrt(n_features), dtype=torch.float64, device="cpu").log1p()
    places = (uniform.neg_().log1p_() / log_absent).floor_().long().add_(1).cumsum(0) - 1
    places = places[places < size]
    signs = torch.randint(2, places.shape, dtype=torch.int8, generator=generator, device="cpu") * 2 - 1
    offsets = torch.searchsorted(places, torch.arange(0, size + 1, n_features, device="cpu"))
    return offsets.int(), (places % n_features).int(), signs


def gather_product(x: Tensor, offsets: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    r"""The product :math:`x R^\top` (N, k) of `x` (N, D) with a sparse R (k, D) in compressed rows, on a CPU.

    Every component is a sum over the few features that its row of R has. So that each of them is read as a run of
    numbers and not as scattered ones, the points are turned in tiles of `TILE_ROWS`.

    >>> offsets, columns, values = torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]), torch.tensor([1.0, -1.0, 2.0])
    >>> gather_product(torch.tensor([[1.0, 2.0, 3.0]]), offsets, columns, values)
    tensor([[-2.,  4.]])
    """
    n, d = x.shape
    tile_bytes = max(TILE_ROWS * d * x.element_size(), len(columns) * (columns.element_size() + x.element_size()))
    n_tiles = max(1, min(BLOCK_BYTES // tile_bytes, n // TILE_ROWS))
    # What is said of one tile is said of each in a block, whose features follow one another.
    tile = torch.arange(n_tiles).to(columns)[:, None]
    columns, offsets, values = columns + d * tile, offsets[:-1] + len(columns) * tile, values.repeat(n_tiles, 1)
    whole = n - n % TILE_ROWS
    bounds = sorted({*range(0, whole, n_tiles * TILE_ROWS), whole, n})
    product = x.new_empty(n, offsets.shape[1])
    for start, stop in pairwise(bounds):
        tiles = x[start:stop].unflatten(0, (-1, min(TILE_ROWS, stop - start)))
        t, rows, _ = tiles.shape
        sums = embedding_bag(
            columns[:t].flatten(),
            tiles.mT.reshape(t * d, rows),
            offsets[:t].flatten(),
            per_sample_weights=values[:t].flatten(),
            mode="sum",
        )
        product[start:stop].unflatten(0, (t, rows)).copy_(sums.unflatten(0, (t, -1)).mT)
    return product


def dense_matrix(offsets: Tensor, columns: Tensor, values: Tensor, n_features: int) -> Tensor:
    """The matrix (k, `n_features`) with `values` at `columns` of the rows that `offsets` delimit.

    >>> dense_matrix(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]), torch.tensor([1.0, -1.0, 2.0]), 3)
    tensor([[ 1.,  0., -1.],
            [ 0.,  2.,  0.]])
    """
    matrix = values.new_zeros(len(offsets) - 1, n_features)
    # With its size given, the result's need not be looked up in the offsets, which a traced graph cannot.
    rows = torch.arange(len(matrix), device=offsets.device)
    rows = rows.repeat_interleave(offsets.diff(), output_size=len(values))
    matrix[rows, columns.long()] = values
    return matrix


class SparseRandomProjection(DynamicBufferModule):
    r"""Project N points of D features onto k random directions, so that distances stay nearly what they were.

    .. math::
        y = x R^\top, \qquad R_{ji} = \sqrt{s/k} \cdot
        \begin{cases} +1 & \text{with probability } 1/(2s) \\ -1 & \text{with probability } 1/(2s) \\
        0 & \text{else} \end{cases}, \qquad s = \sqrt D

    All entries of R are independent. A squared distance between two y is on average that between the two x, and
    :math:`|\,\|y - y'\|^2 / \|x - x'\|^2 - 1| \le \varepsilon` for all of N points in most draws if k is
    `johnson_lindenstrauss_min_dim(N, eps)`, which says what of this is proven. (It is for Gaussian entries; very sparse
    ones come close where a difference x - x' is spread over many features, and not where it sits in a few.)

    Args:
        eps: by what share a squared distance may change, in (0, 1); decides k.
        random_state: decides R: an int, with which every fit draws the same one for the same k and D; a
            `torch.Generator`, which goes on; or None.
        n_components: k itself, at most D; `eps` is then of no account.

    Only the shape of what it is fitted to counts. Buffers: `offsets`, `columns` and `signs`, the entries of R in
    compressed rows, and `n_features`; the same on every device, and enough to transform to the last bit as before.

    Raises `ValueError` for NaN, another D, a single point (its bound is 0) unless `n_components` is given, and a k that
    is larger than D; `TypeError` for what is no tensor of floating-point numbers; `NotFittedError` before a fit.

    Source: Li, Hastie, Church, Very Sparse Random Projections (KDD 2006), equation 2 with s = sqrt(D).

    Example:
        >>> x = torch.randn(50, 400, generator=torch.Generator().manual_seed(0))
        >>> y = SparseRandomProjection(eps=0.5, random_state=0).fit_transform(x)
        >>> y.shape
        torch.Size([50, 187])
        >>> ratio = torch.pdist(y) ** 2 / torch.pdist(x) ** 2
        >>> 0.5 < ratio.min().item() and ratio.max().item() < 1.5
        True
    """

    def __init__(
        self,
        eps: float = 0.1,
        random_state: int | torch.Generator | None = None,
        *,
        n_components: int | None = None,
    ) -> None:
        super().__init__()
        johnson_lindenstrauss_min_dim(1, eps)  # says so at once if eps is out of range
        if random_state is not None:
            make_generator(random_state)
        self.eps, self.random_state = eps, random_state
        self.n_components = None if n_components is None else check_int("n_components", n_components)
        self.register_buffer("offsets", torch.empty(0, dtype=torch.int32))
        self.register_buffer("columns", torch.empty(0, dtype=torch.int32))
        self.register_buffer("signs", torch.empty(0, dtype=torch.int8))
        self.register_buffer("n_features", torch.tensor(0))

    johnson_lindenstrauss_min_dim = staticmethod(johnson_lindenstrauss_min_dim)

    @fitting
    def fit(self, embedding: Tensor) -> SparseRandomProjection:
        """Draw R for points like `embedding` (N, D)."""
        check_tensor("embedding", embedding, "N D", at_least={"N": 2 if self.n_components is None else 1})
        n, d = embedding.shape
        drawn = draw_signs(self._choose_components(n, d), d, make_generator(self.random_state))
        self.offsets, self.columns, self.signs = (buffer.to(embedding.device) for buffer in drawn)
        self.n_features = torch.tensor(d, device=embedding.device)
        return self

    def transform(self, embedding: Tensor) -> Tensor:
        """The projections (N, k) of `embedding` (N, D), in its dtype and on its device."""
        self._check_fitted()
        known = {"D": int(self.n_features)} if values_known(self.n_features) else {}
        check_tensor("embedding", embedding, "N D", exactly=known)
        return self._project(embedding)

    def fit_transform(self, embedding: Tensor) -> Tensor:
        """`fit`, then `transform` of the same points."""
        return self.fit(embedding)._project(embedding)

    def _sparse_random_matrix(self, n_features: int) -> Tensor:
        """A matrix R (k, n_features) in CSR format, as `fit` draws it, with the k of the last fit or `n_components`."""
        if self.n_components is None:
            self._check_fitted()
        k = self.n_components or len(self.offsets) - 1
        offsets, columns, signs = draw_signs(k, n_features, make_generator(self.random_state))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch calls the format a beta
            return torch.sparse_csr_tensor(offsets, columns, signs * (n_features**0.5 / k) ** 0.5, (k, n_features))

    def _choose_components(self, n: int, d: int) -> int:
        k = johnson_lindenstrauss_min_dim(n, self.eps) if self.n_components is None else self.n_components
        if k <= d:
            return k
        if self.n_components is not None:
            raise ValueError(f"n_components: expected at most D = {d}, the features of embedding, got {k}")
        smallest = johnson_lindenstrauss_min_dim(n, math.nextafter(1, 0))
        raise ValueError(
            f"eps: expected one that asks for at most D = {d} components, got {self.eps}, which asks for {k} "
            f"for N = {n} "
            f"points: set n_components{'' if smallest > d else ' or take a larger eps'}"
        )

    @full_precision
    def _project(self, x: Tensor) -> Tensor:
        offsets, columns = self.offsets.to(x.device), self.columns.to(x.device)
        d, k = x.shape[1], len(offsets) - 1
        values = self.signs.to(x) * (d**0.5 / k) ** 0.5
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            return gather_product(x, offsets, columns, values)
        # An accelerator multiplies all the zeros faster than it looks for what is not zero, and the tiles of a graph
        # that is traced would be those of one number of points.
        return x @ dense_matrix(offsets, columns, values, d).mT

    @property
    def is_fitted(self) -> bool:
        """Whether a matrix has been drawn."""
        return len(self.offsets) > 0

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise NotFittedError("SparseRandomProjection is not fitted: call fit first")
