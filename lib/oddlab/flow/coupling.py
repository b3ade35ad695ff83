"""Affine coupling: half of the channels decides how the other half is scaled and shifted."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.flow.global_affine import preserve_volume

SUBNET_SCALE = 0.1
"""What a subnet returns is multiplied by this first, so that a new block is close to the identity."""


def soft_clamp(s: Tensor, alpha: float) -> Tensor:
    r"""Log-scales :math:`\alpha \tanh s`, between minus and plus `alpha`.

    So no scale is above :math:`e^\alpha` or below :math:`e^{-\alpha}`, whatever a subnet says. (FrEIA's development
    version has :math:`\alpha \tanh(s / \alpha)`, which makes another function of the same weights.)

    >>> soft_clamp(torch.tensor([0.0, 1.0, 100.0]), alpha=2.0)
    tensor([0.0000, 1.5232, 2.0000])
    """
    return alpha * torch.tanh(s)


def affine_coupling(x: Tensor, a: Tensor, alpha: float, gin: bool = False, rev: bool = False) -> tuple[Tensor, Tensor]:
    r"""Scale and shift `x` (N, C, ...) as the subnet's output `a` (N, 2 C, ...) says.

    .. math::
        y = x \odot e^{\ell} + t, \qquad \ell = \alpha \tanh s, \qquad (s, t) = 0.1\,a, \qquad J = \sum \ell

    With `gin` the mean of :math:`\ell` over channels and positions is taken off first, so that J is 0, and a log-scale
    can be up to twice `alpha`. Returns y and J (N,), or with `rev` the x of a y and -J.

    Source: Dinh et al., Real NVP (arXiv 1605.08803), equation 7, with the clamp of FrEIA 0.2.

    >>> y, log_det = affine_coupling(torch.ones(1, 2), torch.tensor([[10.0, 0.0, 0.0, 5.0]]), alpha=2.0)
    >>> y, log_det
    (tensor([[4.5868, 1.5000]]), tensor([1.5232]))
    """
    s, t = (SUBNET_SCALE * a).tensor_split((x.shape[1],), dim=1)
    log_scale = soft_clamp(s, alpha)
    if gin:
        log_scale = preserve_volume(log_scale)
    log_det = log_scale.flatten(1).sum(dim=1)
    if rev:
        return (x - t) * torch.exp(-log_scale), -log_det
    return x * torch.exp(log_scale) + t, log_det
