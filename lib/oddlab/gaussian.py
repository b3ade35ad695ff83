"""One multivariate Gaussian for every patch position, fitted at once or batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.checks import FULL_PRECISION, NotFittedError, check_int, check_number, check_tensor, values_known
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.modes import fitting, full_precision

BLOCK_BYTES = 256 * 2**20
"""Scratch memory that a distance computation may take, in bytes."""


def mean_and_scatter(samples: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and scatter of every patch: :math:`\mu_p` and :math:`S_p = \sum_n (x_{np}-\mu_p)(x_{np}-\mu_p)^\top`.

    `samples` is (N, D, P); the results are (D, P) and (P, D, D). All P products are one batched product.

    >>> mean, scatter = mean_and_scatter(torch.tensor([[[0.0]], [[2.0]]]))
    >>> mean.item(), scatter.item()
    (1.0, 2.0)
    """
    mean = samples.mean(dim=0)
    centred = (samples - mean).permute(2, 1, 0).contiguous()
    return mean, centred @ centred.mT


def add_ridge(covariance: Tensor, ridge: float, relative: bool) -> Tensor:
    r"""Covariances :math:`\Sigma_p + \lambda I`, (P, D, D), as a new tensor.

    :math:`\lambda` is `ridge`, times the mean variance over all patches and features if `relative`.

    >>> add_ridge(4 * torch.eye(2)[None], ridge=0.25, relative=True)
    tensor([[[5., 0.],
             [0., 5.]]])
    """
    regular = covariance.clone()
    variances = regular.diagonal(dim1=-2, dim2=-1)
    variances.add_(ridge * variances.mean() if relative else ridge)
    return regular


def whitening(covariance: Tensor) -> Tensor:
    r"""Whitening factors :math:`W_p = L_p^{-1}`, where :math:`\Sigma_p = L_p L_p^\top` (Cholesky).

    `covariance` is (P, D, D), and so is the result; :math:`\Sigma_p^{-1} = W_p^\top W_p`, and :math:`W_p (x - \mu_p)`
    has the unit covariance. Raises `ValueError` if a covariance is singular to working precision.

    >>> whitening(4 * torch.eye(2)[None])
    tensor([[[0.5000, 0.0000],
             [0.0000, 0.5000]]])
    """
    n_features = covariance.shape[-1]
    factor, info = torch.linalg.cholesky_ex(covariance)
    # Rounding lets a singular matrix through now and then: its pivots tell.
    pivots = factor.diagonal(dim1=-2, dim2=-1).square()
    singular = (info > 0) | (pivots.amin(-1) <= torch.finfo(factor.dtype).eps * n_features * pivots.amax(-1))
    if values_known(singular) and singular.any():
        raise singular_error(int(singular.sum()), *covariance.shape[:2])
    eye = torch.eye(n_features, dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)


@full_precision
def inverse_by(factor: Tensor) -> Tensor:
    r"""The inverse covariances :math:`W_p^\top W_p`, (P, D, D), by the whitening factors W.

    >>> inverse_by(torch.tensor([[[0.5]]]))
    tensor([[[0.2500]]])
    """
    return factor.mT @ factor


def singular_error(n_singular: int, n_patches: int, n_features: int) -> ValueError:
    """What is said when covariances cannot be inverted."""
    return ValueError(
        f"embedding: the covariance of {n_singular} of {n_patches} patches is singular: expected "
        f"features that vary, and more samples than features (D = {n_features}) or a larger ridge"
    )


class MultiVariateGaussian(DynamicBufferModule):
    r"""A Gaussian :math:`\mathcal N(\mu_p, \Sigma_p)` for each of P patches, from N embeddings of D features.

    .. math::
        \mu_p = \frac1N \sum_n x_{np}, \qquad
        \Sigma_p = \frac{1}{N-1} \sum_n (x_{np}-\mu_p)(x_{np}-\mu_p)^\top + \lambda I, \qquad
        d_p(x) = \sqrt{(x-\mu_p)^\top \Sigma_p^{-1} (x-\mu_p)}

    Args:
        n_features: D, the channels of an embedding.
        n_patches: P = H W, the positions of an embedding.
        ridge: the share of the identity that is added to every covariance, without which N <= D is singular.
        relative: whether `ridge` is in units of the mean variance of all features, so that features times a constant
            give distances that are the same (default), or in squared units of the features.

    Buffers: `mean` (D, P), `scatter` (P, D, D), `n_samples`; what is derived from them, `covariance` and
    `inv_covariance` (P, D, D), is with the ridge. Both are empty until the object is fitted.

    Raises `ValueError` for fewer than two samples, another D or P, NaN, and a singular covariance; `TypeError` for
    dtypes other than float32 and float64; `NotFittedError` before a fit.

    Source: Defard et al., PaDiM (arXiv 2011.08785), section III-B; the merging of moments is Chan, Golub, LeVeque 1979.

    Example:
        >>> embedding = torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> gaussian = MultiVariateGaussian(n_features=3, n_patches=16)
        >>> mean, inv_covariance = gaussian.fit(embedding)
        >>> mean.shape, inv_covariance.shape
        (torch.Size([3, 16]), torch.Size([16, 3, 3]))
        >>> gaussian.mahalanobis(embedding[:2]).shape
        torch.Size([2, 4, 4])
    """

    def __init__(self, n_features: int, n_patches: int, *, ridge: float = 0.01, relative: bool = True) -> None:
        super().__init__()
        self.n_features, self.n_patches = check_int("n_features", n_features), check_int("n_patches", n_patches)
        self.ridge, self.relative = check_number("ridge", ridge), relative
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("scatter", torch.empty(0))
        self.register_buffer("n_samples", torch.tensor(0))
        self._whitening: Tensor | None = None

    @staticmethod
    @full_precision
    def _cov(
        observations: Tensor,
        rowvar: bool = False,
        bias: bool = False,
        ddof: int | None = None,
        aweights: Tensor | None = None,
    ) -> Tensor:
        """Covariance of `observations` as `numpy.cov` has it, but with variables in columns unless `rowvar`.

        >>> MultiVariateGaussian._cov(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
        tensor([[2., 4.],
                [4., 8.]])
        """
        check_tensor("observations", observations, "N D" if observations.ndim > 1 else "N", dtypes=FULL_PRECISION)
        correction = (0 if bias else 1) if ddof is None else ddof
        rows = observations if rowvar or observations.ndim == 1 else observations.mT
        return torch.cov(rows, correction=correction, aweights=aweights)

    @fitting
    def fit(self, embedding: Tensor) -> list[Tensor]:
        """Fit all patches to `embedding` (N, D, H, W), N >= 2; return [mean (D, P), inv_covariance (P, D, D)]."""
        samples = self._samples(embedding, n=2)
        mean, scatter = mean_and_scatter(samples)
        factor = self._whiten(scatter, len(samples))
        self.mean, self.scatter, self._whitening = mean, scatter, factor
        self.n_samples = torch.tensor(len(samples), device=mean.device)
        return [self.mean, self.inv_covariance]

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """The same as `fit`."""
        return self.fit(embedding)

    @fitting
    def partial_fit(self, embedding: Tensor) -> MultiVariateGaussian:
        """Add the embeddings (N, D, H, W) of one batch, N >= 1; any split into batches ends at the moments of `fit`."""
        samples = self._samples(embedding, n=1)
        return self._add(*mean_and_scatter(samples), len(samples))

    def reset(self) -> None:
        """Forget all samples."""
        self.mean, self.scatter, self._whitening = self.mean.new_empty(0), self.scatter.new_empty(0), None
        self.n_samples = torch.zeros_like(self.n_samples)

    @fitting
    def merge(self, other: MultiVariateGaussian) -> MultiVariateGaussian:
        """Add what `other` has seen, as if its samples had been given to this object; `other` stays as it is."""
        other._check_fitted()
        if (other.n_features, other.n_patches) != (self.n_features, self.n_patches):
            raise ValueError(
                f"other: expected n_features = {self.n_features} and n_patches = {self.n_patches}, "
                f"got {other.n_features} and {other.n_patches}"
            )
        return self._add(other.mean.clone(), other.scatter.clone(), int(other.n_samples))

    @property
    def covariance(self) -> Tensor:
        """Covariances with the ridge, (P, D, D)."""
        self._check_fitted(n=2)
        return add_ridge(self.scatter / (self.n_samples - 1), self.ridge, self.relative)

    @property
    def is_fitted(self) -> bool:
        """Whether any samples have been seen."""
        return self.mean.numel() > 0

    @property
    def inv_covariance(self) -> Tensor:
        """Inverse covariances with the ridge, (P, D, D)."""
        return inverse_by(self._factor())

    @full_precision
    def mahalanobis(self, embedding: Tensor) -> Tensor:
        """Distances (N, H, W) of `embedding` (N, D, H, W) to its patches' Gaussians, in standard deviations."""
        samples = self._samples(embedding, n=1)
        # What was fitted stays on its device, where it may be large, and both are taken to the finer dtype.
        dtype = torch.promote_types(samples.dtype, self.mean.dtype)
        mean, factor = self.mean.to(dtype), self._factor().to(dtype)
        samples = samples.to(mean)
        n, d, p = samples.shape
        squared = samples.new_empty(p, n)
        # A graph that is traced is one for any number of embeddings, so the patches are one block.
        block = p if torch.compiler.is_compiling() else max(1, BLOCK_BYTES // (2 * n * d * samples.element_size()))
        for start in range(0, p, block):
            patches = slice(start, start + block)
            centred = (samples[..., patches] - mean[:, patches]).permute(2, 1, 0).contiguous()
            squared[patches] = (factor[patches] @ centred).square_().sum(dim=1)
        return squared.sqrt_().T.reshape(n, *embedding.shape[2:]).to(embedding)

    @full_precision
    def _add(self, mean: Tensor, scatter: Tensor, n: int) -> MultiVariateGaussian:
        seen = int(self.n_samples) if self.is_fitted else 0
        if seen:
            total = seen + n
            shift = mean.to(self.mean) - self.mean
            mean = self.mean + shift * (n / total)
            between = shift.T.unsqueeze(-1) * (seen * n / total) ** 0.5
            scatter = torch.baddbmm(self.scatter + scatter.to(self.scatter), between, between.mT)
        self.mean, self.scatter, self._whitening = mean, scatter, None
        self.n_samples = torch.tensor(seen + n, device=mean.device)
        return self

    def _samples(self, embedding: Tensor, n: int) -> Tensor:
        check_tensor(
            "embedding", embedding, "N D H W", at_least={"N": n}, exactly={"D": self.n_features}, dtypes=FULL_PRECISION
        )
        samples = embedding.flatten(2)
        if samples.shape[2] != self.n_patches:
            raise ValueError(f"embedding: expected H * W = n_patches = {self.n_patches}, got {tuple(embedding.shape)}")
        return samples

    def _check_fitted(self, n: int = 1) -> None:
        if values_known(self.n_samples) and int(self.n_samples) < n:
            raise NotFittedError(
                f"MultiVariateGaussian has seen {int(self.n_samples)} samples and needs {n}: "
                "call fit or partial_fit first"
            )

    @fitting
    def _whiten(self, scatter: Tensor, n: int | Tensor) -> Tensor:
        if self.ridge == 0 and isinstance(n, int) and n <= self.n_features:  # whatever rounding makes of it
            raise singular_error(self.n_patches, self.n_patches, self.n_features)
        return whitening(add_ridge(scatter / (n - 1), self.ridge, self.relative))

    def _factor(self) -> Tensor:
        # Made when first asked for, since partial_fit, merge and loading would else pay for it every time.
        if self._whitening is not None:
            return self._whitening
        self._check_fitted(n=2)
        if not values_known(self.n_samples):  # nothing is kept while a graph is traced
            return self._whiten(self.scatter, self.n_samples)
        self._whitening = self._whiten(self.scatter, int(self.n_samples))
        return self._whitening

    def _apply(self, fn, recurse: bool = True):
        self._whitening = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._whitening = None
