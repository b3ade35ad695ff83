"""Initial scales that anomalib's block takes and turns into NaN or 0; ours starts at them or refuses them by name."""

import pytest
import torch
from anomalib.models.components.flow import AllInOneBlock as AnomalibBlock
from torch import nn

from oddlab import AllInOneBlock


def output(block_class, scale, activation):
    torch.manual_seed(0)
    block = block_class([(4,)], [], nn.Linear, global_affine_init=scale, global_affine_type=activation)
    with torch.no_grad():
        (z,), _ = block([torch.ones(2, 4)])
        return block, z


def test_a_softplus_scale_of_18_is_nan_there_and_18_here():
    _, theirs = output(AnomalibBlock, 18.0, "SOFTPLUS")
    ours, z = output(AllInOneBlock, 18.0, "SOFTPLUS")
    assert theirs.isnan().all() and z.isfinite().all()
    torch.testing.assert_close(ours._permute(torch.ones(2, 4))[0], torch.full((2, 4), 18.0), rtol=1e-5, atol=0)


def test_a_softplus_scale_of_1e_8_is_0_there_and_1e_8_here():
    _, theirs = output(AnomalibBlock, 1e-8, "SOFTPLUS")
    ours, _ = output(AllInOneBlock, 1e-8, "SOFTPLUS")
    assert (theirs == 0).all()
    torch.testing.assert_close(ours._permute(torch.ones(2, 4))[0], torch.full((2, 4), 1e-8), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("activation", "scale"), [("SIGMOID", 11.0), ("EXP", 0.0), ("EXP", -1.0), ("SOFTPLUS", 0.0)])
def test_scales_out_of_range_pass_there_and_are_refused_here(activation, scale):
    block, theirs = output(AnomalibBlock, scale, activation)
    back = block([theirs], rev=True)[0][0]
    assert back.isnan().all()
    with pytest.raises(ValueError, match="^global_affine_init: expected a number above 0"):
        output(AllInOneBlock, scale, activation)
