import numpy as np
import pytest
import torch
from scipy import ndimage

from oddlab import GaussianBlur2d
from oddlab import blur as module
from oddlab.blur import border_index

SCIPY = {"reflect": "mirror", "replicate": "nearest", "circular": "wrap", "constant": "constant"}


def noise(*shape, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("border_type", SCIPY)
@pytest.mark.parametrize("size", [(40, 30), (16, 16), (5, 9), (1, 4)])
@pytest.mark.parametrize("sigma", [4.0, (0.7, 2.5)])
def test_it_is_scipys_filter_at_every_border_and_size(border_type, size, sigma):
    # (16, 16) with sigma 4, whose kernel is wider than the map, is what a peer refuses without a word why.
    x = noise(2, 3, *size)
    ours = GaussianBlur2d(None, sigma, channels=3, border_type=border_type)(x)
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    theirs = ndimage.gaussian_filter(x.numpy(), (0, 0, *sigmas), mode=SCIPY[border_type], truncate=4.0)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-14)


@pytest.mark.parametrize("border_type", SCIPY)
def test_images_larger_than_a_block_of_rows_are_blurred_alike(border_type, monkeypatch):
    blur, x = GaussianBlur2d(None, 2.0, channels=1, border_type=border_type), noise(1, 1, 50, 33)
    whole = blur(x)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    torch.testing.assert_close(blur(x), whole, rtol=0, atol=1e-14)


def test_valid_padding_is_the_inside_of_the_same():
    x = noise(1, 2, 20, 24)
    same, valid = (GaussianBlur2d((5, 9), 1.5, channels=2, padding=padding)(x) for padding in ("same", "valid"))
    assert valid.shape == (1, 2, 16, 16)
    torch.testing.assert_close(valid, same[..., 2:-2, 4:-4], rtol=0, atol=1e-14)


@pytest.mark.parametrize("border_type", ["reflect", "replicate", "circular"])
def test_a_constant_image_stays_what_it_is(border_type):
    x = torch.full((1, 1, 9, 9), 7.0, dtype=torch.float64)
    torch.testing.assert_close(GaussianBlur2d(None, 3.0, 1, border_type=border_type)(x), x)


def test_without_normalization_the_weights_are_the_density():
    blur = GaussianBlur2d(5, 2.0, 1, normalize=False)
    assert blur.kernel_x[2].item() == pytest.approx(1 / (np.sqrt(2 * np.pi) * 2))
    assert blur.kernel_x.sum().item() < 0.8
    assert GaussianBlur2d(5, 2.0, 1).kernel_x.sum().item() == pytest.approx(1)


def test_the_kernel_size_follows_from_sigma():
    blur = GaussianBlur2d(None, (4.0, 0.5), 1)
    assert (len(blur.kernel_y), len(blur.kernel_x)) == (33, 5)


def test_channels_are_blurred_each_by_itself_and_state_loads():
    # A peer's load_state_dict fails for more than one channel, whose kernel is an expanded view there.
    blur = GaussianBlur2d(None, 1.0, channels=3)
    x = noise(1, 3, 12, 12)
    alone = torch.cat([GaussianBlur2d(None, 1.0, 1)(channel) for channel in x.split(1, dim=1)], dim=1)
    torch.testing.assert_close(blur(x), alone)
    assert (
        str(GaussianBlur2d(None, 1.0, channels=3).load_state_dict(blur.state_dict()))
        == "<All keys matched successfully>"
    )


def test_the_gradient_is_that_of_a_linear_map():
    blur = GaussianBlur2d(None, 1.0, 1)
    assert torch.autograd.gradcheck(blur, noise(1, 1, 5, 6).requires_grad_())


@pytest.mark.parametrize("border_type", ["reflect", "replicate", "circular"])
def test_border_index_is_numpys_pad(border_type):
    mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[border_type]
    for size in (1, 2, 5):
        expected = np.pad(np.arange(size), 12, mode=mode)
        assert border_index(torch.arange(-12, size + 12), size, border_type).tolist() == expected.tolist()
