"""Scales that are learned for each channel and stay above 0; and log-scales that preserve the volume."""

from __future__ import annotations

import math
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATIONS = ("SIGMOID", "SOFTPLUS", "EXP")


def log_scale(a: Tensor, activation: str) -> Tensor:
    r"""Logs of the scales :math:`\Psi(a) > 0`, of the shape of the parameter `a`.

    .. math::
        \Psi_\mathrm{SIGMOID} = \frac{10}{1 + e^{2 - a}}, \qquad
        \Psi_\mathrm{SOFTPLUS} = \tfrac15 \log(1 + e^{a/2}), \qquad
        \Psi_\mathrm{EXP} = e^{a}

    Source: FrEIA 0.2, whose constants these are.

    >>> log_scale(torch.tensor([0.0, 3.0]), "EXP")
    tensor([0., 3.])
    """
    if activation == "SIGMOID":
        return math.log(10) + F.logsigmoid(a - 2)
    if activation == "SOFTPLUS":
        # Below `low` log(1 + e^(a/2)) is e^(a/2) to the last digit, and its log a/2; float16 could not divide by it.
        low = 2 * math.log(torch.finfo(a.dtype).eps)
        doubled = F.softplus(a.clamp_min(low), beta=0.5, threshold=80)
        return torch.where(a > low, doubled.log() - math.log(10), a / 2 - math.log(5))
    check_activation(activation)
    return a


def initial_value(scale: float, activation: str) -> float:
    r"""The `a` with :math:`\Psi(a)` = `scale`, computed so that it neither overflows nor rounds to infinity.

    .. math::
        \Psi^{-1}_\mathrm{SIGMOID}(b) = 2 - \log\left(\tfrac{10}{b} - 1\right), \qquad
        \Psi^{-1}_\mathrm{SOFTPLUS}(b) = 2\left(5b + \log(1 - e^{-5b})\right), \qquad
        \Psi^{-1}_\mathrm{EXP}(b) = \log b

    Raises `ValueError` if there is none: b must be above 0, and for SIGMOID below 10.

    >>> initial_value(1.0, "SOFTPLUS"), initial_value(1000.0, "SOFTPLUS")
    (9.986..., 10000.0)
    """
    check_activation(activation)
    upper = 10 if activation == "SIGMOID" else math.inf
    if isinstance(scale, bool) or not isinstance(scale, Real) or not 0 < scale < upper:
        raise ValueError(
            f"global_affine_init: expected a number above 0{' and below 10' if upper == 10 else ''} for {activation}, "
            f"got {scale!r}"
        )
    if activation == "SIGMOID":
        return 2 - math.log(10 / scale - 1)
    if activation == "SOFTPLUS":
        return 2 * (5 * scale + math.log(-math.expm1(-5 * scale)))
    return math.log(scale)


def check_activation(activation: str) -> None:
    """Raise `ValueError` if `activation` is none of `ACTIVATIONS`."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"global_affine_type: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")


def preserve_volume(log_scale: Tensor) -> Tensor:
    r"""Log-scales (N, C, ...) less their mean over all but the batch, so that they sum to 0 in each sample.

    Source: Sorrenson, Rother, Koethe, GIN (arXiv 2001.04872), section 3.2.

    >>> preserve_volume(torch.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """
    if not log_scale[:1].numel():
        return log_scale
    return log_scale - log_scale.mean(dim=tuple(range(1, log_scale.ndim)), keepdim=True)
