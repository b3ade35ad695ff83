import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import SqueezeExcitation

from oddlab import SSPCAB
from oddlab.sspcab import channel_attention, masked_conv2d


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block(*args, seed=0, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SSPCAB(*args, **kwargs)


def full_kernel(weight, dilation):
    """The dense kernel of k = 2k' + 2d + 1 a side, with zeros where the masked one does not look."""
    side = weight.shape[-1] // 2
    k = 2 * side + 2 * dilation + 1
    taps = torch.tensor([*range(side), *range(k - side, k)])
    full = weight.new_zeros(*weight.shape[:2], k, k)
    full[..., taps[:, None], taps] = weight
    return full


@pytest.mark.parametrize("size", [(12, 9), (5, 5), (1, 7), (2, 2)])
@pytest.mark.parametrize(("side", "dilation"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_it_is_a_dense_convolution_with_zeros_in_its_kernel(side, dilation, size):
    x, weight, bias = noise(2, 3, *size), noise(4, 3, 2 * side, 2 * side, seed=1), noise(4, seed=2)
    expected = F.conv2d(x, full_kernel(weight, dilation), bias, padding=side + dilation)
    torch.testing.assert_close(masked_conv2d(x, weight, bias, dilation), expected)
    torch.testing.assert_close(masked_conv2d(x, weight, None, dilation), expected - bias[:, None, None])


@pytest.mark.parametrize(("side", "dilation"), [(1, 1), (1, 4), (2, 1), (3, 2)])
def test_an_output_sees_the_four_corner_blocks_and_nothing_else(side, dilation):
    x = noise(1, 2, 21, 21).requires_grad_()
    masked_conv2d(x, noise(2, 2, 2 * side, 2 * side, seed=1), dilation=dilation)[0, 0, 10, 10].backward()
    offsets = [o for o in range(-10, 11) if dilation < abs(o) <= side + dilation]
    expected = {(10 + i, 10 + j) for i in offsets for j in offsets}
    assert {tuple(position) for position in x.grad[0, 1].nonzero().tolist()} == expected
    assert max(offsets) - min(offsets) + 1 == 2 * side + 2 * dilation + 1  # the paper's k


def test_the_attention_is_torchvisions_squeeze_and_excitation_without_biases():
    reference = SqueezeExcitation(16, 2).double()
    for fc in (reference.fc1, reference.fc2):
        nn.init.zeros_(fc.bias)
    z = noise(3, 16, 5, 7)
    s = channel_attention(z, reference.fc1.weight.flatten(1), reference.fc2.weight.flatten(1))
    torch.testing.assert_close(z * s[..., None, None], reference(z))


def test_the_block_is_convolution_relu_attention():
    layer, x = block(16, 2, 1, reduction_ratio=4).double(), noise(2, 16, 9, 6)
    z = F.conv2d(x, full_kernel(layer.corners.weight, 1), layer.corners.bias, padding=3).relu()
    s = torch.sigmoid(layer.excite(torch.relu(layer.squeeze(z.mean((2, 3))))))
    torch.testing.assert_close(layer(x), torch.einsum("nchw,nc->nchw", z, s))
    assert layer.squeeze.weight.shape == (4, 16)


def test_no_output_is_negative():
    # A peer leaves out the ReLU: 49 % of its outputs are negative.
    layer, x = block(16), noise(4, 16, 12, 9).float()
    before = masked_conv2d(x, layer.corners.weight, layer.corners.bias)
    assert (before < 0).double().mean() > 0.3
    assert (layer(x) >= 0).all() and (layer(x) > 0).any()


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_fewer_channels_than_the_reduction_ratio_leave_one_unit(channels):
    # A peer squeezes to 0 units, so its weights are 0.5 whatever comes in.
    layer = block(channels)
    assert layer.squeeze.weight.shape == (1, channels) and layer.excite.weight.shape == (channels, 1)
    z = noise(2, channels, 3, 3).abs().float()
    s = channel_attention(z, torch.ones(1, channels), torch.ones(channels, 1))
    assert s.min() > 0.6 and (s[0] - s[1]).abs().max() > 1e-3


def test_the_centre_is_seen_by_the_attention_alone():
    layer, x = block(16).double(), noise(1, 16, 11, 11).requires_grad_()
    with torch.no_grad():
        layer.excite.weight.zero_()  # all weights are 0.5 then
    (seen,) = torch.autograd.grad(layer(x)[0, :, 5, 5].sum(), x)
    assert seen[0, :, 5, 5].abs().max() == 0 and seen[0, :, 3, 3].abs().max() > 0


def test_the_gradient_is_right():
    layer = block(3, 2, 1).double()
    assert torch.autograd.gradcheck(layer, noise(2, 3, 5, 4).requires_grad_())
    layer.loss(noise(2, 3, 5, 4), layer(noise(2, 3, 5, 4))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_the_loss_is_the_mean_squared_error_and_takes_one_shape_only():
    x, x_hat = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    torch.testing.assert_close(SSPCAB.loss(x, x_hat), ((x - x_hat) ** 2).mean())
    with pytest.raises(ValueError, match=r"x_hat: expected the shape of x, \(2, 3, 4, 4\), got \(2, 1, 4, 4\)"):
        SSPCAB.loss(x, x_hat[:, :1])


def test_it_goes_into_a_network_with_its_loss():
    inner = block(8)
    network, losses = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), inner, nn.Conv2d(8, 3, 3)), []
    hook = inner.register_forward_hook(lambda layer, args, x_hat: losses.append(layer.loss(*args, x_hat)))
    network(torch.rand(2, 3, 16, 16)).mean().backward(retain_graph=True)
    task = network[0].weight.grad.clone()
    (0.1 * losses[0]).backward()
    assert not torch.equal(network[0].weight.grad, task)  # the block's loss reaches the layers before it
    hook.remove()


def test_it_runs_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        x = F.conv2d(torch.rand(2, 3, 8, 8), torch.rand(8, 3, 1, 1))
        x_hat = block(8)(x)
        assert x.dtype == x_hat.dtype == torch.bfloat16 and SSPCAB.loss(x, x_hat).isfinite()


def weave(phase=0.0):
    """A woven texture of 8 channels, (1, 8, 32, 32), in [0, 1], and noise of 0.02 on it."""
    v, u = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    c = torch.arange(8.0)[:, None, None]
    clean = 0.5 + 0.2 * torch.sin(0.9 * v + c + phase) + 0.2 * torch.sin(0.6 * u - c)
    return (clean + 0.02 * noise(8, 32, 32).float())[None]


@pytest.fixture(scope="module")
def trained():
    """A block that has learned the texture, and its losses on the way."""
    layer, losses = block(8), []
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(150):
        losses.append(layer.loss(weave(), layer(weave())))
        optimizer.zero_grad(), losses[-1].backward(), optimizer.step()
    return layer.requires_grad_(False), [loss.item() for loss in losses]


def test_training_lets_it_predict_a_texture_from_its_surroundings(trained):
    layer, losses = trained
    assert losses[-1] < 0.1 * losses[0]
    x = weave(phase=1.0)  # elsewhere in the texture
    inside = (..., slice(2, -2), slice(2, -2))  # at the rim it sees zeros
    assert layer.loss(x[inside], layer(x)[inside]) < 0.1 * x.var(dim=(2, 3)).mean()


def test_a_defect_is_predicted_worse_than_the_texture(trained):
    layer, _ = trained
    x = weave()
    x[..., 15:17, 15:17] = x.mean()  # the grey of the whole, but no weave
    residual = (layer(x) - x).square().mean(dim=1)[0]
    assert residual[15:17, 15:17].mean() > 5 * residual[4:-4, 4:-4].median()
