import math

import numpy as np
import pytest
import torch
from torch import nn

from oddlab import AllInOneBlock
from oddlab.flow.coupling import SUBNET_SCALE
from oddlab.flow.global_affine import ACTIVATIONS, initial_value, log_scale, preserve_volume

FORMULAS = {
    "SIGMOID": lambda a: np.log(10) - np.log1p(np.exp(2 - a)),
    "SOFTPLUS": lambda a: np.log(np.log1p(np.exp(a / 2)) / 5),
    "EXP": lambda a: np.log(np.exp(a)),
}
"""Logs of the scales as they stand, which neither overflow nor round to 0 from -600 to 600."""

FAR = torch.cat([torch.linspace(-1e4, 1e4, 2001, dtype=torch.float64), torch.linspace(-120, 120, 2001).double()])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_log_of_the_formula(activation):
    a = torch.linspace(-600, 600, 12001, dtype=torch.float64)
    expected = torch.from_numpy(FORMULAS[activation](a.numpy()))
    torch.testing.assert_close(log_scale(a, activation), expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(log_scale(a.float(), activation).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [
        ("SIGMOID", lambda a: a - 2 + math.log(10), lambda a: math.log(10) + 0 * a),
        ("SOFTPLUS", lambda a: a / 2 - math.log(5), lambda a: (a / 10).log()),
        ("EXP", lambda a: a, lambda a: a),
    ],
)
def test_far_out_it_is_its_asymptote(activation, low, high):
    a = torch.linspace(600, 1e4, 501, dtype=torch.float64)
    torch.testing.assert_close(log_scale(-a, activation), low(-a), rtol=1e-13, atol=0)
    torch.testing.assert_close(log_scale(a, activation), high(a), rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_overflows_and_no_0_is_taken_the_log_of(activation, dtype):
    a = FAR.to(dtype, copy=True).requires_grad_()
    logs = log_scale(a, activation)
    logs.sum().backward()
    assert logs.dtype == dtype and logs.isfinite().all() and a.grad.isfinite().all()
    # The scale grows with its parameter; a sigmoid that is full to the last digit does so no more.
    assert (a.grad >= 0).all() and (a.grad[a < 10] > 0).all()


def test_an_infinite_parameter_is_an_infinite_scale_and_no_nan():
    a = torch.tensor([-math.inf, math.inf])
    assert torch.equal(log_scale(a, "SOFTPLUS"), a) and torch.equal(log_scale(a, "EXP"), a)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_its_gradient_is_that_of_the_formula(activation):
    a = torch.linspace(-40, 40, 81, dtype=torch.float64, requires_grad=True)
    log_scale(a, activation).sum().backward()
    points, step = a.detach().numpy(), 1e-4
    expected = (FORMULAS[activation](points + step) - FORMULAS[activation](points - step)) / (2 * step)
    np.testing.assert_allclose(a.grad.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_initial_value_is_the_inverse(activation):
    # A peer takes log(exp(5 b) - 1) in float32: infinite from b = 18, minus infinity at 1e-8.
    for scale in np.logspace(-6, 6, 49):
        if activation == "SIGMOID" and scale >= 10:
            continue
        a = initial_value(float(scale), activation)
        back = log_scale(torch.tensor(a, dtype=torch.float64), activation).exp().item()
        assert back == pytest.approx(scale, rel=1e-12)
        assert log_scale(torch.tensor(a), activation).exp().item() == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_initial_value_exists_wherever_the_scale_does(activation):
    for scale in (1e-300, 9.999999999, *([] if activation == "SIGMOID" else [18.0, 1e300])):
        assert math.isfinite(initial_value(scale, activation))


@pytest.mark.parametrize(
    ("scale", "activation", "says"),
    [
        *((scale, name, "expected a number above 0") for scale in (0.0, -1.0, math.nan) for name in ACTIVATIONS),
        (10.0, "SIGMOID", "expected a number above 0 and below 10 for SIGMOID, got 10.0"),
        (11, "SIGMOID", "below 10 for SIGMOID, got 11"),
        (math.inf, "SOFTPLUS", "for SOFTPLUS, got inf"),
        (math.inf, "EXP", "for EXP, got inf"),
        ("a", "EXP", "expected a number above 0 for EXP, got 'a'"),
        (None, "SOFTPLUS", "expected a number above 0 for SOFTPLUS, got None"),
        (True, "SIGMOID", "expected a number above 0 and below 10 for SIGMOID, got True"),
    ],
)
def test_a_scale_that_no_parameter_gives_is_refused(scale, activation, says):
    # In the peers these pass, and every output is NaN or 0.
    with pytest.raises(ValueError, match=f"^global_affine_init: .*{says}"):
        initial_value(scale, activation)
    with pytest.raises(ValueError, match="^global_affine_init: "):
        AllInOneBlock([(4,)], None, nn.Linear, global_affine_init=scale, global_affine_type=activation)


def test_an_unknown_activation_is_named():
    for call in (lambda: log_scale(torch.zeros(2), "RELU"), lambda: initial_value(1.0, "RELU")):
        with pytest.raises(ValueError, match="^global_affine_type: expected one of SIGMOID, SOFTPLUS, EXP, got 'RELU'"):
            call()


@pytest.mark.parametrize("scale", [1e-6, 0.5, 18.0, 1e4])
@pytest.mark.parametrize("activation", ["SOFTPLUS", "EXP"])
def test_a_block_starts_at_the_scale_that_it_is_given_and_finds_back(activation, scale):
    torch.manual_seed(0)
    block = AllInOneBlock([(4,)], None, nn.Linear, global_affine_init=scale, global_affine_type=activation).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    z, per_position = block._permute(x)
    torch.testing.assert_close(z, scale * x @ block.w_perm.T, rtol=1e-5, atol=0)
    assert per_position.item() == pytest.approx(4 * math.log(scale), rel=1e-6)
    torch.testing.assert_close(block([block([x])[0][0]], rev=True)[0][0], x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 4, 2), (5, 2, 3, 2, 4), (5, 1), (1, 6)])
def test_volume_is_preserved_in_each_sample(shape, dtype):
    logs = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype) + 2
    kept, version = preserve_volume(logs), logs._version
    assert kept.dtype == dtype and kept.shape == shape and logs._version == version
    assert kept.flatten(1).sum(dim=1).abs().max() < 1e3 * torch.finfo(dtype).eps
    # One number is taken off each sample, whatever its channel and position.
    taken = (logs - kept).flatten(1)
    torch.testing.assert_close(taken, logs.flatten(1).mean(dim=1, keepdim=True).expand_as(taken))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2, 2), (2, 0), (2, 0, 4), (0, 0)])
def test_what_is_empty_stays_so_and_is_no_nan(shape):
    logs = torch.zeros(shape, requires_grad=True)
    kept = preserve_volume(logs)
    assert kept.shape == shape and torch.equal(kept.flatten(1).sum(dim=1), torch.zeros(shape[0]))


@pytest.mark.parametrize("shape", [(6,), (5, 4), (4, 3, 2)])
def test_a_gin_block_has_a_log_determinant_of_0_and_scales_nevertheless(shape):
    torch.manual_seed(0)
    make = nn.Linear if len(shape) == 1 else lambda i, o: (nn.Conv1d, nn.Conv2d)[len(shape) - 2](i, o, 1)
    options = dict(subnet_constructor=make, global_affine_init=2.0)
    gin, plain = (AllInOneBlock([shape], gin_block=on, **options).double() for on in (True, False))
    x = 5 * torch.randn(7, *shape, dtype=torch.float64)
    assert gin([x])[1].abs().max() < 1e-12 and plain([x])[1].abs().min() > 0.1
    x1, x2 = x.split(gin.splits, dim=1)
    a = gin.subnet(x1)
    y2, log_det = gin._affine(x2, a)
    shift = SUBNET_SCALE * a[:, x2.shape[1] :]
    assert ((y2 - shift) / x2).log().abs().max() > 0.1 and log_det.abs().max() < 1e-12
