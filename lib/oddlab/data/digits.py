"""Handwritten digits, small enough to look at all of them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor


def read_digits() -> tuple[Tensor, Tensor]:
    """The 1,797 digits of scikit-learn: images (1797, 1, 8, 8) float32 in [0, 1] and their labels (1797,).

    >>> images, labels = read_digits()
    >>> images.shape, labels[:5].tolist()
    (torch.Size([1797, 1, 8, 8]), [0, 1, 2, 3, 4])
    """
    loaded = load_digits()
    return torch.from_numpy(loaded.images).float().unsqueeze(1) / 16, torch.from_numpy(loaded.target)
