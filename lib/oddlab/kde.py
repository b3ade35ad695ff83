"""Gaussian kernel density estimation: the density of a data set, and of new points under it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor

from oddlab.checks import FULL_PRECISION, NotFittedError, check_int, check_number, check_tensor, values_known
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.modes import accurate, fitting, full_precision
from oddlab.seeding import make_generator

BLOCK_BYTES = 256 * 2**20
"""Memory of one block of exponents on an accelerator, in bytes."""

CPU_BLOCK_BYTES = 4 * 2**20
"""The same on a CPU: a block that stays in its cache while it is made, exponentiated and summed."""


def bandwidth_factor(bandwidth: str | float, n: float, d: int) -> float:
    r"""Factor h between the data's standard deviations and the kernel's, for `n` points of `d` features.

    "scott" is :math:`n^{-1/(d+4)}`, "silverman" :math:`(n(d+2)/4)^{-1/(d+4)}`, and a number is the factor itself.

    >>> bandwidth_factor("scott", 100, 1), bandwidth_factor(0.5, 100, 1)
    (0.3981071705534972, 0.5)
    """
    if bandwidth == "scott":
        return n ** (-1 / (d + 4))
    if bandwidth == "silverman":
        return (n * (d + 2) / 4) ** (-1 / (d + 4))
    if isinstance(bandwidth, Real) and not isinstance(bandwidth, bool) and 0 < bandwidth < math.inf:
        return float(bandwidth)
    raise ValueError(f"bandwidth: expected 'scott', 'silverman' or a finite number above 0, got {bandwidth!r}")


def weighted_moments(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean (D,) and unbiased covariance (D, D) of the rows of `x` (N, D) with `weights` (N,) that sum to 1.

    .. math:: \mu = \sum_j w_j x_j, \qquad \Sigma = \frac{\sum_j w_j (x_j-\mu)(x_j-\mu)^\top}{1 - \sum_j w_j^2}

    >>> weighted_moments(torch.tensor([[0.0], [2.0]]), torch.tensor([0.5, 0.5]))
    (tensor([1.]), tensor([[2.]]))
    """
    mean = (weights[:, None] * x).sum(dim=0)
    centred = x - mean
    return mean, (weights[:, None] * centred).mT @ centred / (1 - weights.square().sum())


def whiten(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    r"""Rows :math:`L^{-1} (x - \mu)` (N, D) of `x` (N, D), where L is the lower triangular `factor` (D, D).

    >>> whiten(torch.tensor([[3.0, 9.0]]), torch.tensor([1.0, 1.0]), torch.tensor([[2.0, 0.0], [4.0, 2.0]]))
    tensor([[1., 2.]])
    """
    if not torch.compiler.is_exporting():
        return torch.linalg.solve_triangular(factor.mT, x - mean, upper=True, left=False)
    solved = x[:, :0]  # by forward substitution, since ONNX has no triangular systems
    for i, column in enumerate((x - mean).split(1, dim=1)):
        solved = torch.cat([solved, (column - solved @ factor[i, :i, None]) / factor[i, i]], dim=1)
    return solved


@full_precision
def unwhiten(z: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    r"""Rows :math:`L z + \mu` (N, D) of `z` (N, D): the inverse of :func:`whiten`.

    >>> unwhiten(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0, 1.0]), torch.tensor([[2.0, 0.0], [4.0, 2.0]]))
    tensor([[3., 9.]])
    """
    return mean + z @ factor.mT


def row_logsumexp(exponents: Tensor) -> Tensor:
    r"""Logs (N,) of the row sums :math:`\sum_j \exp e_{ij}`. Overwrites `exponents` (N, M) unless autograd needs them.

    >>> row_logsumexp(torch.tensor([[-1000.0, -1000.0]], dtype=torch.float64))
    tensor([-999.3069], dtype=torch.float64)
    """
    if exponents.requires_grad:
        return torch.logsumexp(exponents, dim=1)
    top = exponents.amax(dim=1, keepdim=True)
    # What is below the smallest normal number adds nothing to a sum of at least 1, and its exponential is slow.
    floor = math.log(torch.finfo(exponents.dtype).tiny) + 1
    return exponents.sub_(top).clamp_(min=floor).exp_().sum(dim=1).log_().add_(top.squeeze(1))


def product_exponents(q: Tensor, c: Tensor, log_weights: Tensor) -> Tensor:
    r"""Exponents :math:`\log w_j - \tfrac12 \|c_j\|^2 + q_i^\top c_j` (N, M); :math:`-\tfrac12 \|q_i\|^2` is left out.

    >>> product_exponents(torch.tensor([[3.0]]), torch.tensor([[1.0]]), torch.zeros(1))
    tensor([[2.5000]])
    """
    return torch.nn.functional.linear(q, c, log_weights - torch.linalg.vecdot(c, c) / 2)


def difference_exponents(q: Tensor, c: Tensor, log_weights: Tensor) -> Tensor:
    r"""Exponents :math:`\log w_j - \tfrac12 \|q_i - c_j\|^2` (N, M) from the differences themselves.

    >>> difference_exponents(torch.tensor([[3.0]]), torch.tensor([[1.0]]), torch.zeros(1))
    tensor([[-2.]])
    """
    if torch.compiler.is_exporting():  # ONNX has no cdist
        return log_weights - (q[:, None] - c).square().sum(dim=2) / 2
    distance = torch.cdist(q, c, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.addcmul(log_weights, distance, distance, value=-0.5)


def blockwise_logsumexp(
    exponents: Callable[[Tensor, Tensor, Tensor], Tensor], queries: Tensor, points: Tensor, log_weights: Tensor
) -> Tensor:
    """`row_logsumexp(exponents(queries, points, log_weights))`, (N,), with one block of exponents at a time.

    >>> blockwise_logsumexp(difference_exponents, torch.tensor([[3.0]]), torch.tensor([[1.0]]), torch.zeros(1))
    tensor([-2.])
    """
    size = (CPU_BLOCK_BYTES if queries.device.type == "cpu" else BLOCK_BYTES) // queries.element_size()
    if torch.compiler.is_compiling():  # one graph for any number of queries
        rows, split = math.isqrt(size), [queries]
    else:
        rows = max(1, math.isqrt(size), size // len(points))
        split, rows = queries.split(rows), min(rows, len(queries))
    columns = max(1, size // rows)
    blocks = list(zip(points.split(columns), log_weights.split(columns)))
    return torch.cat(
        [torch.logsumexp(torch.stack([row_logsumexp(exponents(q, *block)) for block in blocks]), dim=0) for q in split]
    )


def log_kernel_sums(queries: Tensor, points: Tensor, log_weights: Tensor) -> Tensor:
    r"""Logs (N,) of the kernel sums :math:`\sum_j w_j \exp(-\tfrac12 \|q_i - c_j\|^2)`.

    `queries` q is (N, D), `points` c is (M, D), both centred, and `log_weights` (M,) is :math:`\log w`.

    >>> log_kernel_sums(torch.tensor([[0.0], [2.0]]), torch.zeros(1, 1), torch.zeros(1))
    tensor([ 0., -2.])
    """
    # A product is by far the fastest, yet its exponents are rounded at the size of ||c||^2: in units of the kernel's
    # width, so that float32 would have no digit left of a small bandwidth. Up to this bound a float32 log density is
    # right to 1e-4, or 1e-3 with hundreds of features; points beyond it are worth their differences.
    far = torch.linalg.vecdot(points, points) > 1000 + 10 * points.shape[1]
    if not values_known(far):
        return blockwise_logsumexp(difference_exponents, queries, points, log_weights)
    sums = []
    if not far.all():
        near = (points[~far], log_weights[~far]) if far.any() else (points, log_weights)
        by_product = blockwise_logsumexp(product_exponents, queries, *near)
        sums.append(by_product - torch.linalg.vecdot(queries, queries) / 2)
    if far.any():
        sums.append(blockwise_logsumexp(difference_exponents, queries, points[far], log_weights[far]))
    # NaN is a query so far away that its squared distance is more than the dtype can hold.
    return torch.logsumexp(torch.stack(sums), dim=0).nan_to_num(nan=-math.inf, neginf=-math.inf)


class GaussianKDE(DynamicBufferModule):
    r"""Density of D features as the mean of N Gaussian kernels, one at every point of a data set.

    .. math::
        p(x) = \sum_{j=1}^{N} w_j \, \mathcal N(x \mid x_j, H), \qquad
        H = h^2 (\Sigma + \lambda \bar\sigma^2 I) = L L^\top

    where :math:`\Sigma` is the covariance of the data, :math:`\bar\sigma^2` the mean of its diagonal, :math:`w_j` the
    weights (1/N unless given). Points and queries are centred and divided by L, so that all kernels are unit Gaussians;
    no N x N tensor is made, except where gradients are asked for.

    Args:
        dataset: points (N, D) to fit at once, as `fit` does.
        bandwidth: h, in standard deviations of the data: "scott", "silverman" or a number (see `bandwidth_factor`).
        ridge: :math:`\lambda`, the share of the mean variance that is added to every variance. A singular covariance
            (N <= D, a constant column, a column that follows from others) needs one above 0.

    Buffers, empty until fitted: `mean` (D,), `kernel_factor` L (D, D), `points` (N, D), which are
    :math:`L^{-1}(x_j - \mu)`, and `log_weights` (N,).

    Raises `ValueError` for fewer than two points, another D, NaN, and a singular covariance; `TypeError` for dtypes
    other than float32 and float64; `NotFittedError` before a fit.

    Source: Scott, Multivariate Density Estimation (1992), section 6.5; Silverman, Density Estimation for Statistics and
    Data Analysis (1986), section 4.3. The numbers are those of `scipy.stats.gaussian_kde`.

    Example:
        >>> dataset = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> kde = GaussianKDE(dataset)
        >>> kde.log_prob(torch.tensor([[0.0, 0.0], [9.0, 9.0]], dtype=torch.float64)).long()
        tensor([  -1, -377])
        >>> kde.sample(3, random_state=0).shape
        torch.Size([3, 2])
    """

    def __init__(self, dataset: Tensor | None = None, *, bandwidth: str | float = "scott", ridge: float = 0.0) -> None:
        super().__init__()
        bandwidth_factor(bandwidth, 1, 1)  # raises if it is none
        self.bandwidth, self.ridge = bandwidth, check_number("ridge", ridge)
        for name in ("mean", "kernel_factor", "points", "log_weights"):
            self.register_buffer(name, torch.empty(0))
        if dataset is not None:
            self.fit(dataset)

    @staticmethod
    @full_precision
    def cov(tensor: Tensor) -> Tensor:
        """Unbiased covariance (D, D) of `tensor` (D, N), N >= 2, whose rows are variables.

        >>> GaussianKDE.cov(torch.tensor([[0.0, 2.0], [1.0, 5.0]]))
        tensor([[2., 4.],
                [4., 8.]])
        """
        check_tensor("tensor", tensor, "D N", at_least={"N": 2}, dtypes=FULL_PRECISION)
        centred = tensor - tensor.mean(dim=1, keepdim=True)
        return centred @ centred.mT / (tensor.shape[1] - 1)

    @fitting
    def fit(self, dataset: Tensor, *, weights: Tensor | None = None) -> None:
        """Fit to `dataset` (N, D), N >= 2, with `weights` (N,) of at least 0, which need not sum to 1."""
        check_tensor("dataset", dataset, "N D", at_least={"N": 2}, dtypes=FULL_PRECISION)
        if weights is None:
            weights = dataset.new_ones(len(dataset))
        else:
            check_tensor("weights", weights, "N", exactly={"N": len(dataset)}, dtypes=FULL_PRECISION)
            if (weights < 0).any() or (weights > 0).sum() < 2:
                raise ValueError(
                    "weights: expected none below 0 and two or more above 0, "
                    f"got {int((weights < 0).sum())} below and {int((weights > 0).sum())} above"
                )
            dataset, weights = dataset[weights > 0], weights[weights > 0].to(dataset)
        weights = accurate(weights)
        weights = weights / weights.sum()
        n, d = dataset.shape
        concentration = float(weights.square().sum())  # 1 / N for equal weights
        mean, covariance = weighted_moments(accurate(dataset), weights)
        covariance.diagonal().add_(self.ridge * covariance.diagonal().mean())
        factor, info = torch.linalg.cholesky_ex(covariance)
        # The share of each variance that the columns before it leave unexplained: its root is lost from the digits of
        # whitened points. N <= D and constant columns are singular whatever rounding makes of them.
        share = (factor.diagonal().square() / covariance.diagonal()).min()
        certain = self.ridge == 0 and (n <= d or bool((dataset == dataset[0]).all(dim=0).any()))
        if certain or info > 0 or not share > torch.finfo(dataset.dtype).eps ** 0.75:
            raise ValueError(
                "dataset: expected columns that vary and do not follow from each other, and N > D, or a ridge above 0: "
                f"got a singular covariance with N = {n}, D = {d} and ridge = {self.ridge}"
            )
        factor = (factor * bandwidth_factor(self.bandwidth, 1 / concentration, d)).to(dataset)
        mean = mean.to(dataset)
        points, log_weights = whiten(dataset, mean, factor), weights.log().to(dataset)
        self.mean, self.kernel_factor, self.points, self.log_weights = mean, factor, points, log_weights

    def forward(self, features: Tensor) -> Tensor:
        """Densities (N,) of `features` (N, D): `exp(log_prob(features))`.

        It is 0 or infinite where that is beyond the dtype, as in float32 below e^-103 and above e^88, which many
        features soon are: compare `log_prob` then, which stays finite.
        """
        return self.log_prob(features).exp()

    @full_precision
    def log_prob(self, features: Tensor) -> Tensor:
        """Log densities (N,) of `features` (N, D), in nats; differentiable, then in memory for N times all points."""
        self._check_fitted()
        d = len(self.mean)
        check_tensor("features", features, "N D", exactly={"D": d}, dtypes=FULL_PRECISION)
        # What was fitted stays on its device, where it may be large, and both are taken to the finer dtype.
        dtype = torch.promote_types(features.dtype, self.points.dtype)
        fitted = self.mean, self.kernel_factor, self.points, self.log_weights
        mean, factor, points, log_weights = (buffer.to(dtype) for buffer in fitted)
        log_norm = factor.diagonal().log().sum() + d / 2 * math.log(2 * math.pi)
        return (log_kernel_sums(whiten(features.to(points), mean, factor), points, log_weights) - log_norm).to(features)

    def sample(self, n: int, random_state: int | torch.Generator | None = None) -> Tensor:
        """Draw `n` points (n, D): a point of the data set by its weight, plus noise with the covariance H."""
        self._check_fitted()
        n, generator = check_int("n", n), make_generator(random_state)
        shares = self.log_weights.cpu().double().exp().cumsum(dim=0)
        height = torch.rand(n, dtype=torch.float64, generator=generator, device="cpu")
        chosen = torch.searchsorted(shares, height * shares[-1]).to(self.points.device)
        noise = torch.randn(n, len(self.mean), dtype=self.points.dtype, generator=generator, device="cpu")
        return unwhiten(self.points[chosen] + noise.to(self.points), self.mean, self.kernel_factor)

    @property
    def is_fitted(self) -> bool:
        """Whether there are points to ask for densities under."""
        return self.points.numel() > 0

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise NotFittedError("GaussianKDE is not fitted: call fit first")
