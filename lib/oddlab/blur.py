"""Gaussian blur of images and anomaly maps, as two small matrix products."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from kornia.filters.kernels import get_gaussian_kernel1d
from torch import Tensor, nn

from oddlab.checks import check_int, check_number, check_tensor
from oddlab.modes import full_precision
from oddlab.representation import shown_arguments

BORDERS = ("constant", "reflect", "replicate", "circular")
PADDINGS = ("same", "valid")
BLOCK_ROWS = 256
"""Output rows that one matrix product makes, so that its cost grows with the image and not with its square."""


def gaussian_kernel(kernel_size: int, sigma: float, normalize: bool = True) -> Tensor:
    r"""Weights :math:`w_i = \exp(-i^2 / 2\sigma^2)`, :math:`i = -r \dots r`, in float64; r = (kernel_size - 1) / 2.

    They sum to 1 if `normalize`; else they are the density :math:`w_i / (\sqrt{2\pi}\sigma)`, cut off at r. They are on
    the CPU, the only device that surely has float64.

    >>> gaussian_kernel(3, sigma=1.0)
    tensor([0.2741, 0.4519, 0.2741], dtype=torch.float64)
    """
    kernel = get_gaussian_kernel1d(kernel_size, sigma, device=torch.device("cpu"), dtype=torch.float64)[0]
    return kernel if normalize else kernel / (kernel.max() * math.sqrt(2 * math.pi) * sigma)


def border_index(positions: Tensor, size: int, border_type: str) -> Tensor:
    """Where the pixels at `positions`, inside or outside of 0 .. size - 1, are read from; -1 stands for a zero.

    >>> border_index(torch.arange(-2, 5), size=3, border_type="reflect")
    tensor([2, 1, 0, 1, 2, 1, 0])
    """
    if border_type == "constant":
        return torch.where((positions >= 0) & (positions < size), positions, -1)
    if border_type == "replicate":
        return positions.clamp(0, size - 1)
    if border_type == "circular":
        return positions % size
    # A mirror at both ends has period 2 (size - 1), so that a kernel wider than the image is no special case.
    period = max(2 * (size - 1), 1)
    folded = positions % period
    return torch.minimum(folded, period - folded)


def blur_last_axis(x: Tensor, kernel: Tensor, border_type: str, padding: str) -> Tensor:
    r"""Blur along the last axis: :math:`y = x A^\top`, where :math:`A_{ij} = \sum_k w_k\,[\mathrm{source}(i+k)=j]`.

    A holds the kernel and the border at once, so nothing is padded. It is made and applied in blocks of rows, of which
    only the columns that the kernel reaches are used.
    """
    size, radius, kernel = x.shape[-1], len(kernel) // 2, kernel.to(x)
    first, last = (radius, size - radius) if padding == "valid" else (0, size)
    blurred = []
    for start in range(first, last, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, last)
        left, right = max(start - radius, 0), min(stop + radius, size)
        if border_type == "circular" and right - left < stop - start + 2 * radius:
            left, right = 0, size  # what is outside lies at the other end
        positions = torch.arange(start - radius, stop + radius, device=x.device)
        source = border_index(positions, size, border_type).unfold(0, 2 * radius + 1, 1)
        weights = kernel.expand(source.shape) * (source >= 0)
        matrix = x.new_zeros(stop - start, right - left).scatter_add_(1, (source - left).clamp(min=0), weights)
        blurred.append(x[..., left:right] @ matrix.T)
    return blurred[0] if len(blurred) == 1 else torch.cat(blurred, dim=-1)


class GaussianBlur2d(nn.Module):
    r"""Blur images with a Gaussian: every pixel becomes a weighted mean of its neighbours.

    .. math::
        y_{uv} = \sum_{i=-r}^{r} \sum_{j=-r}^{r} w_i\, w_j\, x_{u+i,\,v+j}, \qquad w_i \propto e^{-i^2 / 2\sigma^2}

    The kernel is an outer product, so rows and columns are blurred one after the other. Its weights are kornia's. The
    borders are made here, since kornia has no public function for them, and PyTorch's `pad`, which it calls, refuses
    borders as wide as the image.

    Args:
        kernel_size: width of the kernel in pixels, odd, for (height, width) or both; None takes
            2 round(4 sigma) + 1, beyond which less than 0.01 % of the weight lies.
        sigma: standard deviation in pixels, for (height, width) or both.
        channels: C, the channels that an input must have.
        normalize: whether the weights sum to 1; without it they are the sampled density.
        border_type: what lies outside: "reflect" (the edge pixel once), "replicate", "circular" or "constant" (zeros).
        padding: "same" keeps H and W; "valid" keeps only the pixels whose whole neighbourhood is inside.

    Raises `ValueError` for arguments and inputs of other values or shapes, and `TypeError` for integer images.

    Source: the interface is anomalib's `GaussianBlur2d`; borders and values are those of
    `scipy.ndimage.gaussian_filter` (its modes mirror, nearest, wrap, constant).

    Example:
        >>> blur = GaussianBlur2d(kernel_size=None, sigma=1.0, channels=1)
        >>> impulse = torch.zeros(1, 1, 11, 11)
        >>> impulse[..., 5, 5] = 1
        >>> blur(impulse).shape, round(blur(impulse).sum().item(), 4)
        (torch.Size([1, 1, 11, 11]), 1.0)
    """

    def __init__(
        self,
        kernel_size: tuple[int, int] | int | None,
        sigma: tuple[float, float] | float,
        channels: int,
        normalize: bool = True,
        border_type: str = "reflect",
        padding: str = "same",
    ) -> None:
        super().__init__()
        sigmas = [check_number("sigma", s, above=0) for s in _pair("sigma", sigma)]
        sizes = [2 * int(4 * s + 0.5) + 1 for s in sigmas] if kernel_size is None else _pair("kernel_size", kernel_size)
        if not all(isinstance(k, Integral) and k > 0 and k % 2 for k in sizes):
            raise ValueError(f"kernel_size: expected None or one or two odd ints above 0, got {kernel_size!r}")
        for name, value, known in (("border_type", border_type, BORDERS), ("padding", padding, PADDINGS)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        self.kernel_size, self.sigma, self.channels = kernel_size, sigma, check_int("channels", channels)
        self.normalize, self.border_type, self.padding = normalize, border_type, padding
        # No buffers: the arguments decide them, and float64 would keep the module from a device that has none.
        self.kernel_y, self.kernel_x = (gaussian_kernel(int(k), s, normalize) for k, s in zip(sizes, sigmas))

    extra_repr = shown_arguments

    @full_precision
    def forward(self, input_tensor: Tensor) -> Tensor:
        """Blur (N, C, H, W) in floating point; the result has its dtype and, with padding "same", its shape."""
        smallest = (len(self.kernel_y), len(self.kernel_x)) if self.padding == "valid" else (1, 1)
        check_tensor(
            "input_tensor",
            input_tensor,
            "N C H W",
            exactly={"C": self.channels},
            at_least={"H": smallest[0], "W": smallest[1]},
        )
        rows = blur_last_axis(input_tensor, self.kernel_x, self.border_type, self.padding)
        return blur_last_axis(rows.mT, self.kernel_y, self.border_type, self.padding).mT.contiguous()


def _pair(name: str, value: object) -> tuple:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name}: expected one value or a pair (height, width), got {value!r}")
    return pair
