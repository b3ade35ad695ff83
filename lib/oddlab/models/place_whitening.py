"""Features of every place, whitened by what good images have there."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.gaussian import MultiVariateGaussian, add_ridge
from oddlab.modes import accurate, fitting, full_precision
from oddlab.processes import gather

PRIOR = 0.3
"""How many good images the mean covariance of all places counts as at each place, for every channel."""

RIDGE = 0.01
"""What is added to every variance, as a share of their mean."""


def join_processes(gaussian: MultiVariateGaussian) -> None:
    """Give `gaussian` the moments of what all processes have seen; in a single process nothing changes."""
    seen = [gather(buffer) for buffer in (gaussian.mean, gaussian.scatter, gaussian.n_samples)]
    if len(seen[0]) == 1:
        return
    gaussian.reset()
    for mean, scatter, n_samples in zip(*seen):
        other = MultiVariateGaussian(gaussian.n_features, gaussian.n_patches)
        other.mean, other.scatter, other.n_samples = mean, scatter, n_samples
        if n_samples:
            gaussian.merge(other)


class PlaceWhitening(DynamicBufferModule):
    r"""Whiten the C channels of every place p by the N good images' mean and covariance there.

    .. math::
        y_p = R_p^{-1/2} S^{-1} (\phi_p - \mu_p), \qquad
        R_p = S^{-1} \big( (1 - \alpha)\,\Sigma_p + \alpha\,\bar\Sigma \big) S^{-1} + \lambda I, \qquad
        \alpha = \frac{a C}{N + a C}

    with :math:`\bar\Sigma` the mean covariance of all places, S its standard deviations, a the constant `PRIOR` and
    :math:`\lambda` the ridge. N images say little of the C x C numbers of :math:`\Sigma_p`, so it is drawn towards the
    mean. The symmetric root leaves every channel as close to what it was as a whitening can, so that one convolution
    can serve all places.

    Source: shrinkage of covariances is Ledoit and Wolf (2004); the symmetric root is ZCA, see Kessy, Lewin, Strimmer
    (2018).

    >>> features = torch.randn(500, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 5 + 1
    >>> whitening = PlaceWhitening().fit(MultiVariateGaussian(3, 4).partial_fit(features))
    >>> round(whitening(features).std().item(), 1)
    1.0
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("matrix", torch.empty(0))

    @property
    def is_fitted(self) -> bool:
        return self.matrix.numel() > 0

    @fitting
    def fit(self, seen: MultiVariateGaussian) -> PlaceWhitening:
        """Take mean (C, P) and matrix (P, C, C) from the moments of the good images."""
        n, channels = int(seen.n_samples), seen.n_features
        covariance = accurate(seen.scatter) / max(n - 1, 1)
        common = covariance.mean(dim=0)
        alpha = PRIOR * channels / (n + PRIOR * channels)
        # A channel that is constant, as one that a ReLU has closed, stays at 0.
        deviation = common.diagonal().clamp_min(1e-12).sqrt()
        correlation = torch.lerp(covariance, common, alpha) / deviation / deviation[:, None]
        values, vectors = torch.linalg.eigh(add_ridge(correlation, RIDGE, relative=True))
        root = (vectors * values.clamp_min(1e-12).rsqrt().unsqueeze(1)) @ vectors.mT
        self.mean, self.matrix = seen.mean.clone(), (root / deviation).to(seen.mean)
        return self

    @full_precision
    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W), whitened."""
        centred = (features.flatten(2) - self.mean).permute(2, 1, 0)
        return (self.matrix @ centred).permute(2, 1, 0).reshape(features.shape)
