"""Principal component analysis of what is there at once, or comes batch by batch."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import NamedTuple

import scipy.linalg
import torch
from torch import Tensor

from oddlab.checks import FULL_PRECISION, NotFittedError, check_tensor
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.modes import accurate, fitting, full_precision
from oddlab.seeding import make_generator

BLOCK_BYTES = 2 * 2**20
"""What the samples that are centred at a time may take, in bytes, unless the result takes more."""

STRIP = 128
"""Columns whose products are made at a time: wide enough for a fast matrix product."""

BLOCK, RESTARTS = 16, 12
"""Vectors that :func:`block_lanczos` multiplies at a time, and how often it goes on before it gives up."""


class Moments(NamedTuple):
    """What is kept of N samples of D features: whatever is joined, the components are those of all samples."""

    n: int
    mean: Tensor
    """(D,)"""
    spread: Tensor
    """The centred samples (N, D) while N <= D; after that their scatter, which is then the smaller, (D, D)."""

    def scatter(self) -> Tensor:
        r""":math:`S = \sum_n (x_n - \mu)(x_n - \mu)^\top`, (D, D)."""
        return gram(self.spread) if self.n <= len(self.mean) else self.spread


def gram(x: Tensor) -> Tensor:
    r"""The products :math:`x^\top x` (D, D) of all columns of `x` (N, D).

    They are symmetric, so each strip of columns is multiplied by itself and what follows it, and the rest is copied.

    >>> gram(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.],
            [2., 4.]])
    """
    d = x.shape[1]
    products = x.new_empty(d, d)
    for start in range(0, d, STRIP):
        strip = slice(start, start + STRIP)
        torch.mm(x[:, strip].mT, x[:, start:], out=products[strip, start:])
        products[start + STRIP :, strip] = products[strip, start + STRIP :].mT
    return products


def moments_of(samples: Tensor) -> Moments:
    """The moments of `samples` (N, D), in blocks of :data:`BLOCK_BYTES` or of the size of the result.

    >>> moments_of(torch.tensor([[0.0], [2.0], [4.0]])).spread
    tensor([[8.]])
    """
    n, d = samples.shape
    rows = max(d + 1, BLOCK_BYTES // (d * samples.element_size()))
    if n > rows:
        blocks = samples.split(rows)
        moments = moments_of(blocks[0])
        for block in blocks[1:]:
            moments = join(moments, moments_of(block))
        return moments
    mean = samples.mean(dim=0)
    centred = samples - mean
    return Moments(n, mean, centred if n <= d else gram(centred))


def join(a: Moments, b: Moments) -> Moments:
    r"""The moments of two sets together, :math:`S = S_a + S_b + \frac{N_a N_b}{N_a + N_b}\,\delta\delta^\top` with
    :math:`\delta = \mu_b - \mu_a` (Chan, Golub, LeVeque 1979)."""
    n, shift = a.n + b.n, b.mean - a.mean
    mean = a.mean + shift * (b.n / n)
    if n <= len(mean):
        return Moments(n, mean, torch.cat([a.spread + (a.mean - mean), b.spread + (b.mean - mean)]))
    between = shift * math.sqrt(a.n * b.n / n)
    return Moments(n, mean, torch.addr(a.scatter() + b.scatter(), between, between))


def largest_eigenpairs(matrix: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
    """The `k` largest eigenvalues (k,) of a symmetric `matrix` (M, M), falling, and their vectors (M, k); None is all.

    They are in float64 whatever the matrix, since float32 would lose ten times more here than in making the matrix;
    in float32 where the device has no float64.

    >>> largest_eigenpairs(torch.diag(torch.tensor([1.0, 3.0, 2.0])), k=2)[0]
    tensor([3., 2.], dtype=torch.float64)
    """
    m, precise = len(matrix), accurate(matrix)
    if k is not None and basis_size(k) <= 3 * m // 8:
        # A tenth of what rounding has done to the matrix, where the precision allows it.
        reachable = max(10 * torch.finfo(precise.dtype).eps, 1e-12)
        found = block_lanczos(precise, k, tolerance=max(0.1 * torch.finfo(matrix.dtype).eps, reachable))
        if found is not None and all_larger_found(matrix, *found):
            return found
    if precise.device.type == "cpu":
        few = k is not None and k <= m // 4  # takes a third of the time of all
        how = {"driver": "evr", "subset_by_index": [m - k, m - 1]} if few else {"driver": "evd"}
        values, vectors = map(torch.from_numpy, scipy.linalg.eigh(precise.numpy(), check_finite=False, **how))
    else:
        values, vectors = torch.linalg.eigh(precise)
    return values.flip(0)[:k], vectors.flip(1)[:, :k]


def basis_size(k: int) -> int:
    """How many vectors :func:`block_lanczos` holds; it pays where they are few beside the size of the matrix."""
    return 2 * k + 4 * BLOCK


def block_lanczos(matrix: Tensor, k: int, tolerance: float) -> tuple[Tensor, Tensor] | None:
    r"""The `k` largest eigenvalues of a positive semidefinite `matrix` and their vectors; None if that takes long.

    The vectors are sought in the span of :math:`Q, SQ, S^2Q, \ldots`, where Q is a block of random vectors and S the
    matrix. When :func:`basis_size` vectors are reached, the best of what they hold are kept to go on with (the thick
    restart of Wu and Simon 2000), until :math:`|Sv - \lambda v| \le \lambda_1` times `tolerance` for all k.

    >>> block_lanczos(torch.diag(0.5 ** torch.arange(200.0)).double(), k=3, tolerance=1e-9)[0]
    tensor([1.0000, 0.5000, 0.2500], dtype=torch.float64)
    """
    most = basis_size(k)
    keep = (k + most) // 2
    start = torch.randn(len(matrix), BLOCK, generator=make_generator(0), dtype=matrix.dtype, device="cpu")
    block = torch.linalg.qr(start.to(matrix.device)).Q
    basis = products = matrix.new_empty(len(matrix), 0)
    for _ in range(RESTARTS):
        while basis.shape[1] < most:
            basis, products = torch.cat([basis, block], dim=1), torch.cat([products, matrix @ block], dim=1)
            block = products[:, -BLOCK:]
            for _ in range(2):  # rounding leaves too much of the basis the first time
                block = torch.linalg.qr(block - basis @ (basis.mT @ block)).Q
        values, rotation = torch.linalg.eigh(basis.mT @ products)
        basis, products = basis @ rotation[:, -keep:], products @ rotation[:, -keep:]
        wrong = (products - basis * values[-keep:])[:, -k:].norm(dim=0).max()
        if wrong <= tolerance * values[-1]:
            return values[-k:].flip(0), basis[:, -k:].flip(1)
    return None


def all_larger_found(matrix: Tensor, values: Tensor, vectors: Tensor) -> bool:
    r"""Whether `matrix` has no eigenvalue above the last of `values` that `vectors` leave out.

    What they leave of the matrix, :math:`S - V \Lambda V^\top`, then has none, so the last value times the identity
    minus that is positive definite and has a Cholesky factor. Products with vectors alone can prove no such thing.

    >>> matrix = torch.diag(torch.tensor([1.0, 3.0, 2.0]))
    >>> all_larger_found(matrix, torch.tensor([2.0]), torch.tensor([[0.0], [0.0], [1.0]]))
    False
    """
    values, vectors = values.to(matrix), vectors.to(matrix)
    left = torch.addmm(matrix, vectors * values, vectors.mT, beta=-1)
    left.diagonal().add_(values[-1] * (1 + 1e-4))
    return not torch.linalg.cholesky_ex(left).info


@fitting
def decompose(n: int, mean: Tensor, spread: Tensor, n_components: int | float) -> tuple[Tensor, Tensor]:
    r"""The variances :math:`\lambda / (N - 1)` (k,) of :class:`Moments`, falling, and their directions as rows (k, D).

    While N <= D they come from the N x N products of the samples, which have the same eigenvalues.
    Raises `ValueError` if no feature varies, or if squares overflow.
    """
    wide = n <= len(mean)
    products = gram(spread.mT) if wide else spread
    total = products.trace()
    eps = torch.finfo(spread.dtype).eps
    if not torch.isfinite(total):
        raise ValueError(f"dataset: expected values whose squares have a finite sum in {total.dtype}, got {total:g}")
    if total <= n * (4 * eps * mean).square().sum():  # what rounding leaves of a constant
        raise ValueError("dataset: expected features that vary, got the same values in every sample")
    share = isinstance(n_components, float)
    values, vectors = largest_eigenpairs(products, None if share else n_components)
    values = torch.where(values > 4 * eps * values[0], values, 0)  # below that is rounding
    if share:
        reached = (values / values.sum()).cumsum(0)
        k = min(int(torch.searchsorted(reached, n_components, right=True)) + 1, len(values))
        values, vectors = values[:k], vectors[:, :k]
    values, vectors = values.to(spread), vectors.to(spread)
    # Samples times vectors are the components times their length; QR takes it off, and fills in where it is 0.
    vectors = torch.linalg.qr(spread.mT @ vectors).Q if wide else vectors
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return values / (n - 1), (vectors * largest.sign()).mT.contiguous()


class PCA(DynamicBufferModule):
    r"""Principal components: the directions :math:`v_i` in which N samples of D features vary most.

    .. math::
        S = \sum_n (x_n-\mu)(x_n-\mu)^\top, \qquad S v_i = \lambda_i v_i, \qquad
        z = V (x - \mu), \qquad \hat x = V^\top z + \mu

    Args:
        n_components: an int, how many to keep, at least 1 and at most N and D; or a float between 0 and 1, the share of
            the variance that must be exceeded, by as few components as it takes.

    Buffers: `mean` (D,), `n_samples`, and `spread`, from which `partial_fit` and `merge` go on exactly, also after a
    load: the centred samples (N, D) while N <= D, their scatter S (D, D) after that. What is derived from them is
    stored with them: `components`, `explained_variance`, `singular_values`, `explained_variance_ratio`. After
    `partial_fit` and `merge` it is made when it is first asked for, which `torch.compile` and `torch.export` cannot do.

    S, or for N <= D the N x N products of the samples, is made in the samples' dtype and decomposed. That is several
    times faster than an SVD of the samples but squares: directions whose standard deviation is less than
    :math:`2\sqrt\epsilon` of the largest (7e-4 in float32, 3e-8 in float64) are lost and count as 0.

    Raises `ValueError` for fewer than two samples or fewer than `n_components`, another D, NaN, and features that do
    not vary; `TypeError` for dtypes other than float32 and float64; `NotFittedError` before a fit.

    Source: Pearson 1901; the merging of moments is Chan, Golub, LeVeque 1979; signs as in scikit-learn's `PCA`.

    Example:
        >>> samples = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 1.0, 0.1])
        >>> pca = PCA(n_components=0.99).fit(samples)
        >>> pca.components.shape
        torch.Size([2, 3])
        >>> reconstructed = pca.inverse_transform(pca.transform(samples))
        >>> (reconstructed - samples).abs().max() < 1
        tensor(True)
    """

    def __init__(self, n_components: int | float) -> None:
        super().__init__()
        count = isinstance(n_components, Integral) and not isinstance(n_components, bool) and n_components >= 1
        if not count and not (isinstance(n_components, Real) and 0 < n_components < 1):
            raise ValueError(
                "n_components: expected an int of at least 1, the count, or a float above 0 and below 1, the share of "
                f"the variance, got {n_components!r}"
            )
        self.n_components = int(n_components) if count else float(n_components)
        for name in ("mean", "spread", "_components", "_explained_variance"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("n_samples", torch.tensor(0))

    @fitting
    def fit(self, dataset: Tensor) -> PCA:
        """Fit to `dataset` (N, D), N >= 2, instead of to what was seen before."""
        least = {"N": self._least_n(), "D": self._least_d()}
        check_tensor("dataset", dataset, "N D", at_least=least, dtypes=FULL_PRECISION)
        moments = moments_of(dataset)
        variances, components = decompose(*moments, self.n_components)
        self._keep(moments)
        self._explained_variance, self._components = variances, components
        return self

    def fit_transform(self, dataset: Tensor) -> Tensor:
        """Fit to `dataset` (N, D) and return its coordinates (N, k)."""
        return self.fit(dataset).transform(dataset)

    @fitting
    def partial_fit(self, batch: Tensor) -> PCA:
        """Add the samples (N, D) of one batch, N >= 1; any split into batches ends at the components of one `fit`."""
        known, least = ({"D": len(self.mean)}, {}) if self.is_fitted else ({}, {"D": self._least_d()})
        check_tensor("batch", batch, "N D", exactly=known, at_least=least, dtypes=FULL_PRECISION)
        if not self.is_fitted:
            return self._keep(moments_of(batch))
        return self._keep(join(self._moments(), moments_of(batch.to(self.mean))))

    @fitting
    def merge(self, other: PCA) -> PCA:
        """Add what `other` has seen, as if its samples had been given to this object; `other` stays as it is."""
        if not isinstance(other, PCA):
            raise TypeError(f"other: expected a PCA, got {type(other).__name__}")
        other._check_seen(1)
        n, mean, spread = other._moments()
        if not self.is_fitted:
            if len(mean) < self._least_d():
                raise ValueError(f"other: expected D >= {self._least_d()} features, got {len(mean)}")
            return self._keep(Moments(n, mean.clone(), spread.clone()))
        if len(mean) != len(self.mean):
            raise ValueError(f"other: expected D = {len(self.mean)} features, got {len(mean)}")
        return self._keep(join(self._moments(), Moments(n, mean.to(self.mean), spread.to(self.mean))))

    @full_precision
    def transform(self, features: Tensor) -> Tensor:
        """Coordinates :math:`z` (N, k) of `features` (N, D) along the components, in their dtype."""
        components = self.components
        check_tensor("features", features, "N D", exactly={"D": len(self.mean)}, dtypes=FULL_PRECISION)
        mean, components = self.mean.to(features), components.to(features)
        rows = max(1, BLOCK_BYTES // (len(mean) * features.element_size()))
        # A graph that is traced is one for any number of features, so these are not split into blocks.
        blocks = [features] if torch.compiler.is_compiling() else features.split(rows)
        # The mean goes off first: far from the origin, the difference of two products would have lost the digits.
        return torch.cat([(block - mean) @ components.mT for block in blocks])

    def forward(self, features: Tensor) -> Tensor:
        """The same as `transform`."""
        return self.transform(features)

    @full_precision
    def inverse_transform(self, features: Tensor) -> Tensor:
        r"""The points :math:`\hat x` (N, D) whose coordinates are `features` (N, k), in their dtype."""
        components = self.components
        check_tensor("features", features, "N k", exactly={"k": len(components)}, dtypes=FULL_PRECISION)
        return torch.addmm(self.mean.to(features), features, components.to(features))

    @property
    def is_fitted(self) -> bool:
        """Whether any samples have been seen."""
        return self.mean.numel() > 0

    @property
    def components(self) -> Tensor:
        """The directions V (k, D): orthonormal rows by falling variance, the largest entry of each positive."""
        self._solve()
        return self._components

    @property
    def explained_variance(self) -> Tensor:
        r"""The variance :math:`\lambda_i / (N - 1)` (k,) along each component."""
        self._solve()
        return self._explained_variance

    @property
    def singular_values(self) -> Tensor:
        r"""The singular values :math:`\sqrt{\lambda_i}` (k,) of the centred samples."""
        return (self.explained_variance * (self.n_samples - 1)).sqrt()

    @property
    def explained_variance_ratio(self) -> Tensor:
        """The share (k,) of the total variance that each component has."""
        n, mean, spread = self._moments()
        total = spread.square().sum() if n <= len(mean) else spread.trace()
        return self.explained_variance * (n - 1) / total

    def _least_n(self) -> int:
        return max(2, self._least_d())

    def _least_d(self) -> int:
        return self.n_components if isinstance(self.n_components, int) else 1

    def _moments(self) -> Moments:
        return Moments(int(self.n_samples), self.mean, self.spread)

    def _check_seen(self, n: int) -> None:
        if int(self.n_samples) < n:
            raise NotFittedError(
                f"PCA has seen {int(self.n_samples)} samples and needs {n}: call fit or partial_fit first"
            )

    def _keep(self, moments: Moments) -> PCA:
        self.mean, self.spread = moments.mean, moments.spread
        self.n_samples = torch.tensor(moments.n, device=moments.mean.device)
        self._components, self._explained_variance = moments.mean.new_empty(0), moments.mean.new_empty(0)
        return self

    def _solve(self) -> None:
        # When it is first asked for, since a decomposition after every batch would cost more than all else.
        if not self._components.numel():
            self._check_seen(self._least_n())
            self._explained_variance, self._components = decompose(*self._moments(), self.n_components)
