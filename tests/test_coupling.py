import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oddlab.flow.coupling import SUBNET_SCALE, affine_coupling, soft_clamp

SHAPES = [(3,), (2, 4), (3, 2, 2), (2, 2, 1, 3), (1,)]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def pair(shape, n=4, loud=20.0, dtype=torch.float64):
    """Channels to transform, and what a subnet that shouts says of them."""
    return draw(n, *shape, dtype=dtype), loud * draw(n, 2 * shape[0], *shape[1:], seed=1, dtype=dtype)


def large_s(s, n=10_000):
    """Normal numbers, and a subnet's output with the given s and a t of 0."""
    x = torch.randn(n, 1, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([s / SUBNET_SCALE, 0.0]).expand(n, 2)


@pytest.mark.parametrize("alpha", [0.1, 2.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_clamp_is_bounded_odd_and_rising(alpha, dtype):
    s = torch.linspace(-5, 5, 101, dtype=dtype)
    clamped = soft_clamp(s, alpha)
    assert clamped.dtype == dtype and (clamped.abs() < alpha).all() and (clamped.diff() > 0).all()
    torch.testing.assert_close(clamped, -soft_clamp(-s, alpha), rtol=0, atol=0)
    far = soft_clamp(torch.tensor([-math.inf, -1e30, 0.0, 1e30, math.inf], dtype=dtype), alpha)
    torch.testing.assert_close(far, torch.tensor([-alpha, -alpha, 0.0, alpha, alpha], dtype=dtype))


def test_the_clamp_is_that_of_freia_0_2_and_not_of_its_development_version():
    s = torch.linspace(-3, 3, 13, dtype=torch.float64)
    np.testing.assert_allclose(soft_clamp(s, 2.0), 2 * np.tanh(s.numpy()), rtol=1e-15)
    assert (soft_clamp(s, 2.0) - 2 * torch.tanh(s / 2)).abs().max() > 0.4


def test_the_clamps_gradient_is_alpha_in_the_middle_and_dies_outside():
    s = torch.tensor([0.0, 0.5, -2.0, 12.0], dtype=torch.float64, requires_grad=True)
    soft_clamp(s, 3.0).sum().backward()
    expected = 3 / np.cosh(s.detach().numpy()) ** 2
    np.testing.assert_allclose(s.grad, expected, rtol=1e-9, atol=1e-15)
    assert s.grad[0] == 3 and s.grad[3] < 1e-9
    assert torch.autograd.gradcheck(lambda v: soft_clamp(v, 3.0), s)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_formula(shape):
    x, a = pair(shape)
    s, t = 0.1 * a[:, : shape[0]].numpy(), 0.1 * a[:, shape[0] :].numpy()
    y, log_det = affine_coupling(x, a, alpha=2.0)
    np.testing.assert_allclose(y, x.numpy() * np.exp(2 * np.tanh(s)) + t, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(log_det, 2 * np.tanh(s).reshape(4, -1).sum(1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rev", [False, True])
@pytest.mark.parametrize("gin", [False, True])
@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    alpha=st.floats(0.1, 4.0),
    loud=st.floats(0.0, 40.0),
)
def test_it_is_inverted_and_its_log_determinant_is_autograds(gin, rev, shape, alpha, loud):
    x, a = pair(shape, loud=loud)
    y, log_det = affine_coupling(x, a, alpha, gin, rev)
    back, minus = affine_coupling(y, a, alpha, gin, not rev)
    scale = max(1.0, y.abs().max().item())
    assert (back - x).abs().max() < 1e-10 * scale and (minus + log_det).abs().max() < 1e-10
    for i in range(len(x)):
        one = a[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda v: affine_coupling(v[None], one, alpha, gin, rev)[0], x[i])
        expected = torch.linalg.slogdet(jacobian.reshape(x[i].numel(), -1)).logabsdet
        assert (log_det[i] - expected).abs() < 1e-10
    if gin:
        assert log_det.abs().max() < 1e-12


def test_gin_takes_off_the_mean_after_the_clamp():
    x, a = pair((4, 3))
    y, _ = affine_coupling(x, a, alpha=2.0, gin=True)
    log_scale = 2 * torch.tanh(0.1 * a[:, :4])
    log_scale = log_scale - log_scale.flatten(1).mean(1)[:, None, None]
    torch.testing.assert_close(y, x * log_scale.exp() + 0.1 * a[:, 4:])
    assert log_scale.abs().max() > 2  # so a GIN scale may leave the clamp's bounds, up to twice alpha


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_is_kept(dtype):
    for rev in (False, True):
        y, log_det = affine_coupling(*pair((3, 2), dtype=dtype), alpha=2.0, rev=rev)
        assert y.dtype == log_det.dtype == dtype and y.isfinite().all()


def test_arguments_are_left_alone_even_a_subnets_last_activation():
    # a *= 0.1 would change what Tanh keeps for its gradient, as it does in FrEIA 0.2 and anomalib.
    x, a = pair((3,))
    before = x.clone(), a.clone(), x._version, a._version
    for rev in (False, True):
        affine_coupling(x, a, alpha=2.0, gin=True, rev=rev)
    assert torch.equal(x, before[0]) and torch.equal(a, before[1]) and (x._version, a._version) == before[2:]
    w = a.clone().requires_grad_()
    affine_coupling(x, torch.tanh(w), alpha=2.0)[0].sum().backward()
    assert w.grad.isfinite().all() and w.grad.abs().sum() > 0


def test_gradients_are_those_of_finite_differences():
    x, a = pair((2, 2), n=2, loud=5.0)
    for gin in (False, True):
        for rev in (False, True):
            inputs = x.clone().requires_grad_(), a.clone().requires_grad_()
            assert torch.autograd.gradcheck(lambda x, a: affine_coupling(x, a, 2.0, gin, rev), inputs)


def test_an_empty_batch_and_no_channels_pass():
    for gin in (False, True):
        for shape in ((0, 3), (0, 3, 2, 2), (4, 0)):
            empty = torch.empty(shape)
            y, log_det = affine_coupling(empty, torch.empty(shape[0], 2 * shape[1], *shape[2:]), 2.0, gin)
            assert y.shape == shape and log_det.shape == (shape[0],) and not log_det.any()


def test_the_inverse_error_at_a_large_s_grows_with_the_clamp():
    """The row of what clamping is for: s = -20 shrinks x below what float32 keeps beside a t of 1."""
    errors = {}
    for alpha in (2.0, 10.0, 100.0):
        x, a = large_s(-20.0)
        a = a + torch.tensor([0.0, 1 / SUBNET_SCALE])
        back, _ = affine_coupling(affine_coupling(x, a, alpha)[0], a, alpha, rev=True)
        errors[alpha] = (back - x).abs().max().item()
        # Beside 1 float32 numbers are 1.2e-7 apart: rounding is off by half of that, and the inverse enlarges it.
        limit = 2**-23 * math.exp(alpha)
        assert not back.isfinite().all() if alpha == 100 else limit / 4 < errors[alpha] < 2 * limit
    assert errors[2.0] < 1e-5 and errors[10.0] > 1e-3 and not math.isfinite(errors[100.0])
    for alpha in (2.0, 10.0):
        x, a = (v.double() for v in large_s(-20.0))
        a = a + torch.tensor([0.0, 1 / SUBNET_SCALE])
        back, _ = affine_coupling(affine_coupling(x, a, alpha)[0], a, alpha, rev=True)
        assert (back - x).abs().max() < 1e-10


def test_no_clamp_bounds_no_scale_and_the_clamp_bounds_it():
    for alpha in (0.5, 2.0, 10.0):
        for s in (-1e6, 1e6):
            _, log_det = affine_coupling(*large_s(s, n=1), alpha)
            assert log_det.item() == pytest.approx(math.copysign(alpha, s))
