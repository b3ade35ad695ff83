"""Feature maps from inside a network, by the names of its layers."""

from __future__ import annotations

import copy
import difflib
import os
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from oddlab.backbones import load_backbone, path_of
from oddlab.checks import check_tensor, values_known
from oddlab.inference import agree, for_inference
from oddlab.representation import shown_arguments


class _AllCaptured(Exception):
    """Ends a forward pass whose every wanted layer has run."""


def run_with_hooks(network: nn.Module, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """The outputs of `layers` in a forward pass of `network`, which ends after the last of them.

    Raises `RuntimeError` for a layer that does not run or returns no tensor.

    >>> list(run_with_hooks(nn.Sequential(nn.ReLU(), nn.Tanh()), ["0"], torch.zeros(1)))
    ['0']
    """
    captured: dict[str, Tensor] = {}
    thread = threading.get_ident()

    def capture(layer: str) -> Callable:
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            # Another thread may be passing through the same network; of a layer that runs twice, the first time counts.
            if threading.get_ident() != thread or layer in captured:
                return
            if not isinstance(output, Tensor):
                raise RuntimeError(f"layers: {layer!r} returns {type(output).__name__}, expected a tensor")
            last = len(captured) + 1 == len(layers)
            # What comes next may change it in place, as the activations of most networks do.
            captured[layer] = output if last else output.clone()
            if last:
                raise _AllCaptured

        return hook

    handles = [network.get_submodule(layer).register_forward_hook(capture(layer)) for layer in layers]
    try:
        network(x)
    except _AllCaptured:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if missing := [layer for layer in layers if layer not in captured]:
        raise RuntimeError(f"layers: {', '.join(missing)} did not run in the forward pass of the backbone")
    return {layer: captured[layer] for layer in layers}


class FeatureExtractor(nn.Module):
    r"""Run images through a network and return the outputs of some of its layers.

    .. math:: x \mapsto \{\, l : f_l(x) \mid l \in \mathrm{layers} \,\}, \qquad f_l(x): (N, C_l, H_l, W_l)

    The pass stops after the last layer that is asked for, so deeper ones cost nothing. A frozen network runs as
    :func:`oddlab.inference.for_inference` prepares it, provided that the first image gets the same features from it as
    from the network itself.

    Args:
        backbone: "efficientnet_lite0" (its ImageNet weights need no network), another name that `load_backbone` knows,
            or any `nn.Module`, of which a copy is used.
        layers: names of layers, nested ones with dots ("blocks.2", "layer1.0.conv1"); the result keeps their order.
        pre_trained: whether a backbone given by name has ImageNet weights (else random ones).
        weights: the path of a file with other weights for a backbone given by name, see `load_backbone`.
        requires_grad: whether the backbone trains; then a module is used itself, not a copy. By default its parameters
            are frozen and it stays in evaluation mode, whatever mode the extractor is put in.

    Raises `ValueError` for an unknown backbone, for layers that do not exist (the error lists those that do) and for
    `weights` that do not fit, and `RuntimeError` for a layer that does not run or does not return a tensor, or for
    weights that cannot be downloaded.

    Source: the interface is anomalib's `FeatureExtractor`.

    Example:
        >>> extractor = FeatureExtractor("efficientnet_lite0", layers=["blocks.4", "blocks.2"])
        >>> {layer: tuple(f.shape) for layer, f in extractor(torch.rand(1, 3, 64, 64)).items()}
        {'blocks.4': (1, 40, 8, 8), 'blocks.2': (1, 24, 16, 16)}
        >>> extractor.out_dims
        [40, 24]
    """

    extra_repr = shown_arguments

    def __init__(
        self,
        backbone: str | nn.Module,
        layers: Sequence[str],
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        requires_grad: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
            raise ValueError(f"layers: expected a list of one or more different layer names, got {layers!r}")
        if not isinstance(backbone, (str, nn.Module)):
            raise TypeError(f"backbone: expected a name or an nn.Module, got {type(backbone).__name__}")
        self.weights = path_of(weights)
        if isinstance(backbone, str):
            backbone = load_backbone(backbone, pre_trained, weights=self.weights)
        elif self.weights is not None:
            raise ValueError(f"weights: expected None for a backbone that is a module, got {self.weights!r}")
        elif not requires_grad:
            backbone = copy.deepcopy(backbone)
        self.backbone = backbone
        self.layers, self.requires_grad = list(layers), requires_grad
        known = [name for name, _ in self.backbone.named_modules() if name]
        for layer in self.layers:
            if layer not in known:
                near = difflib.get_close_matches(layer, known, n=3, cutoff=0.5)
                meant = f" (nearest: {', '.join(near)})" if near else ""
                raise ValueError(f"layers: {layer!r} does not exist{meant}; expected names out of {', '.join(known)}")
        if not requires_grad:
            self.backbone.requires_grad_(False)
        self.train(self.training)
        self._prepare()

    def train(self, mode: bool = True) -> FeatureExtractor:
        super().train(mode)
        if not self.requires_grad:
            self.backbone.eval()
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the backbone's weights."""
        return next((p.dtype for p in self.backbone.parameters()), torch.get_default_dtype())

    @property
    def device(self) -> torch.device:
        """The device of the backbone's weights."""
        return next((p.device for p in self.backbone.parameters()), torch.get_default_device())

    @property
    def out_dims(self) -> list[int]:
        """Channels C_l of each layer, in the order of `layers`."""
        channels = next(p for p in self.backbone.parameters() if p.ndim == 4).shape[1]
        was_training = self.backbone.training
        self.backbone.eval()
        try:
            with torch.no_grad():
                maps = self(torch.zeros(1, channels, 64, 64, dtype=self.dtype, device=self.device))
        finally:
            self.backbone.train(was_training)
        return [features.shape[1] for features in maps.values()]

    def _map_layer_to_idx(self, offset: int = 3) -> list[int]:
        """Positions of the layers among the backbone's children, less `offset` (ResNets have 3 before their blocks)."""
        children = [name for name, _ in self.backbone.named_children()]
        return [children.index(layer.split(".")[0]) - offset for layer in self.layers]

    def forward(self, input_tensor: Tensor) -> dict[str, Tensor]:
        """Feature maps of `input_tensor` (N, C, H, W), by layer."""
        check_tensor("input_tensor", input_tensor, "N C H W")
        if any(True for _ in self.backbone.parameters()) and input_tensor.dtype != self.dtype:
            raise TypeError(f"input_tensor: expected {self.dtype}, as the backbone's weights, got {input_tensor.dtype}")
        with torch.set_grad_enabled(torch.is_grad_enabled() and (self.requires_grad or input_tensor.requires_grad)):
            if values_known(input_tensor):
                self._look_at_fast_copy(input_tensor[:1].detach())
            if self._fast:
                return self._run_fast(input_tensor)
            return run_with_hooks(self.backbone, self.layers, input_tensor)

    def _run_fast(self, x: Tensor) -> dict[str, Tensor]:
        return self._fast[0](x.contiguous(memory_format=torch.channels_last))

    def _prepare(self) -> None:
        """Make the fast copy from the weights that there are now."""
        fast = None if self.requires_grad else for_inference(self.backbone, self.layers)
        # In a list, so that it is no submodule: its weights follow from the backbone's and are not stored with them.
        self._fast = [] if fast is None else [fast]
        self._made_of, self._compared = self._versions(), False

    def _versions(self) -> list[tuple]:
        """What changes when a weight of the backbone is replaced, written to, or moved."""
        weights = (*self.backbone.parameters(), *self.backbone.buffers())
        return [(id(w), 0 if w.is_inference() else w._version, w.dtype, w.device) for w in weights]

    def _look_at_fast_copy(self, image: Tensor) -> None:
        """Make the fast copy anew if weights have changed, and drop it if it does not give the features of `image`."""
        if self._fast and self._made_of != self._versions():
            self._prepare()
        if self._fast and not self._compared:
            plain = run_with_hooks(self.backbone, self.layers, image)
            if not agree(self._run_fast(image), plain):
                self._fast = []
            self._compared = True

    def _apply(self, fn: Callable, recurse: bool = True) -> FeatureExtractor:
        super()._apply(fn, recurse)
        if self._made_of != self._versions():
            self._prepare()
        return self

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_fast": []}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._prepare()
