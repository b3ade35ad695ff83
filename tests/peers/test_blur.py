"""The blur against kornia's where both are defined: an odd kernel that fits into the image."""

import kornia
import pytest
import torch

from oddlab import GaussianBlur2d


@pytest.mark.parametrize("border_type", ["constant", "reflect", "replicate", "circular"])
def test_it_is_kornias_filter(border_type):
    x = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = kornia.filters.gaussian_blur2d(x, (9, 5), (1.5, 0.8), border_type=border_type)
    torch.testing.assert_close(GaussianBlur2d((9, 5), (1.5, 0.8), 3, border_type=border_type)(x), theirs)
