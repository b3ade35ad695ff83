"""SSPCAB against anomalib's, with the same weights; needs the group `peers`, and fails without it."""

import pytest
import torch
from anomalib.models.components.layers import SSPCAB as Theirs
from torch import nn

from oddlab import SSPCAB


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def same_weights(theirs, ours):
    """Give both the same weights; their squeeze and excitation have biases, which are 0 then."""
    with torch.no_grad():
        quadrants = [convolution.weight for convolution in theirs.modules() if isinstance(convolution, nn.Conv2d)]
        biases = [convolution.bias for convolution in theirs.modules() if isinstance(convolution, nn.Conv2d)]
        ours.corners.weight.copy_(torch.cat([torch.cat(quadrants[:2], 3), torch.cat(quadrants[2:], 3)], 2))
        ours.corners.bias.copy_(sum(biases))
        squeeze, excite = (layer for layer in theirs.modules() if isinstance(layer, nn.Linear))
        for mine, other in ((ours.squeeze, squeeze), (ours.excite, excite)):
            mine.weight.copy_(other.weight)
            other.bias.zero_()


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_where_nothing_is_negative_both_are_the_same(kernel_size, dilation):
    theirs, ours = Theirs(16, kernel_size, dilation), SSPCAB(16, kernel_size, dilation)
    same_weights(theirs, ours)
    with torch.no_grad():  # so large a bias that no ReLU has anything to do
        ours.corners.bias += 10
        next(m for m in theirs.modules() if isinstance(m, nn.Conv2d)).bias += 10
        x = noise(2, 16, 12, 9)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_theirs_has_no_relu_after_the_masked_convolutions():
    torch.manual_seed(0)
    theirs, ours, x = Theirs(16), SSPCAB(16), torch.rand(2, 16, 12, 9)
    assert 0.3 < (theirs(x) < 0).float().mean() < 0.7
    assert (ours(x) >= 0).all()


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_theirs_squeezes_fewer_than_8_channels_to_nothing():
    theirs = Theirs(4)
    assert 0 in [len(m.weight) for m in theirs.modules() if isinstance(m, nn.Linear)]
    assert len(SSPCAB(4).squeeze.weight) == 1
