"""A layer that predicts every position of a feature map from its surroundings, and so learns what is normal there."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from oddlab.checks import check_int, check_tensor
from oddlab.representation import shown_arguments


def masked_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    r"""A convolution whose taps are the four corners of its receptive field; the cross between them is hidden.

    .. math:: z_{uv} = b + \sum_{i,j} W_{ij}\, x_{u + o_i,\, v + o_j}, \qquad
              o = -(k'+d), \dots, -(d+1),\; d+1, \dots, k'+d

    `x` is (N, C, H, W), `weight` (C', C, 2k', 2k'): its four quadrants are the sub-kernels. d is `dilation`. Zeros lie
    outside of `x`, so the result is (N, C', H, W).

    >>> import torch
    >>> impulse = torch.zeros(1, 1, 5, 5)
    >>> impulse[..., 2, 2] = 1
    >>> masked_conv2d(impulse, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0].int()
    tensor([[4, 0, 0, 0, 3],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [2, 0, 0, 0, 1]], dtype=torch.int32)
    """
    (height, width), side = x.shape[-2:], weight.shape[-1] // 2
    padded = F.pad(x, [side + dilation] * 4)
    # The same tap of all four sub-kernels is a kernel of 2 x 2 with this distance between its taps.
    far = side + 2 * dilation + 1
    z = None
    for i in range(side):
        for j in range(side):
            seen, taps = padded[..., i : i + far + height, j : j + far + width], weight[..., i::side, j::side]
            z = F.conv2d(seen, taps, bias, dilation=far) if z is None else z + F.conv2d(seen, taps, dilation=far)
    return z


def channel_attention(z: Tensor, squeeze: Tensor, excite: Tensor) -> Tensor:
    r"""A weight in (0, 1) for every channel of `z` (N, C, H, W), from the means of all channels; the result is (N, C).

    .. math:: s = \sigma(W_2 \,\mathrm{ReLU}(W_1 \bar z)), \qquad \bar z_c = \tfrac{1}{HW} \sum_{uv} z_{c,uv}

    `squeeze` is W_1, (C/r, C), and `excite` is W_2, (C, C/r).

    >>> import torch
    >>> channel_attention(torch.ones(1, 2, 4, 4), torch.ones(1, 2), torch.tensor([[0.0], [1.0]]))
    tensor([[0.5000, 0.8808]])
    """
    return F.linear(F.linear(z.mean(dim=(2, 3)), squeeze).relu(), excite).sigmoid()


class SSPCAB(nn.Module):
    r"""Self-supervised predictive convolutional attentive block: predict what is hidden, then weigh the channels.

    .. math::
        z = \mathrm{ReLU}(W * x), \qquad \hat x = s(z)\, z, \qquad
        L = \frac{1}{NCHW} \sum (\hat x - x)^2

    W * x is a masked convolution: of a receptive field of k = 2k' + 2d + 1 pixels a side only the four corners are
    read, blocks of k' x k' at distance d of the centre that they predict. Trained on what is normal, the block predicts
    what is normal, and the difference to its input is large where it is not.

    It goes into a reconstruction network in place of a layer, or after one, as `x_hat = block(x)`; to the network's
    loss `0.1 * block.loss(x, x_hat)` is added. In an `nn.Sequential` a hook collects the losses:
    `block.register_forward_hook(lambda block, args, x_hat: losses.append(block.loss(*args, x_hat)))`.

    The convolution does not see the position that it predicts. The attention does, by a few parts in H W, since it
    comes from means over all positions. An output is never negative: put the block after a ReLU, or it cannot reach its
    input.

    It is a layer as PyTorch's are: its input has the dtype of its parameters, or that of autocast, in which its
    products are then made.

    Args:
        in_channels: C.
        kernel_size: k', the side of each of the four sub-kernels, in pixels.
        dilation: d, the pixels between a sub-kernel and the centre.
        reduction_ratio: r; the attention squeezes C channels to C / r, rounded down, and to 1 at least.

    Raises `ValueError` for arguments below 1 and for inputs of another shape or with NaN, `TypeError` for integers.

    Source: Ristea et al., SSPCAB (CVPR 2022, arXiv 2111.09099), section 3 and figure 2. The masked convolution has a
    bias here, as other convolutions do.

    Example:
        >>> import torch
        >>> block = SSPCAB(in_channels=16)
        >>> x = torch.rand(2, 16, 12, 9)
        >>> x_hat = block(x)
        >>> x_hat.shape, block.loss(x, x_hat).shape
        (torch.Size([2, 16, 12, 9]), torch.Size([]))
    """

    def __init__(self, in_channels: int, kernel_size: int = 1, dilation: int = 1, reduction_ratio: int = 8) -> None:
        super().__init__()
        self.in_channels = check_int("in_channels", in_channels)
        self.kernel_size = check_int("kernel_size", kernel_size)
        self.dilation = check_int("dilation", dilation)
        self.reduction_ratio = check_int("reduction_ratio", reduction_ratio)
        # The layers hold their parameters, of the usual first values; the functions above apply them.
        self.corners = nn.Conv2d(self.in_channels, self.in_channels, 2 * self.kernel_size)
        squeezed = max(1, self.in_channels // self.reduction_ratio)
        self.squeeze = nn.Linear(self.in_channels, squeezed, bias=False)
        self.excite = nn.Linear(squeezed, self.in_channels, bias=False)

    extra_repr = shown_arguments

    def forward(self, x: Tensor) -> Tensor:
        """Predict `x` (N, C, H, W) from its surroundings; the result has its shape and no negative values."""
        check_tensor("x", x, "N C H W", exactly={"C": self.in_channels})
        z = masked_conv2d(x, self.corners.weight, self.corners.bias, self.dilation).relu()
        return z * channel_attention(z, self.squeeze.weight, self.excite.weight)[..., None, None]

    @staticmethod
    def loss(x: Tensor, x_hat: Tensor) -> Tensor:
        """Mean squared error of `x_hat`, what the block made of `x`; a scalar. Gradients flow to both."""
        if x.shape != x_hat.shape:
            raise ValueError(f"x_hat: expected the shape of x, {tuple(x.shape)}, got {tuple(x_hat.shape)}")
        return F.mse_loss(x_hat, x)
