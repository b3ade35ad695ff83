"""Feature maps from inside a network, by the names of its layers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oddlab.backbones import load_backbone
from oddlab.checks import check_tensor


class _AllCaptured(Exception):
    """Ends a forward pass whose every wanted layer has run."""


class FeatureExtractor(nn.Module):
    r"""Run images through a network and return the outputs of some of its layers.

    .. math:: x \mapsto \{\, l : f_l(x) \mid l \in \mathrm{layers} \,\}, \qquad f_l(x): (N, C_l, H_l, W_l)

    The pass stops after the last layer that is asked for, so deeper ones cost nothing.

    Args:
        backbone: "efficientnet_lite0" (its ImageNet weights need no network), the name of a torchvision model, or any
            `nn.Module`, which is then used as it is.
        layers: names of layers, nested ones with dots ("blocks.2", "layer1.0.conv1"); the result keeps their order.
        pre_trained: whether a backbone given by name has ImageNet weights (else random ones).
        requires_grad: whether the backbone trains. By default its parameters are frozen and it stays in evaluation
            mode, whatever mode the extractor is put in.

    Raises `ValueError` for an unknown backbone and for layers that do not exist (the error lists those that do) and
    `RuntimeError` for a layer that does not run or does not return a tensor, or for weights that cannot be downloaded.

    Source: the interface is anomalib's `FeatureExtractor`.

    Example:
        >>> extractor = FeatureExtractor("efficientnet_lite0", layers=["blocks.4", "blocks.2"])
        >>> {layer: tuple(f.shape) for layer, f in extractor(torch.rand(1, 3, 64, 64)).items()}
        {'blocks.4': (1, 40, 8, 8), 'blocks.2': (1, 24, 16, 16)}
        >>> extractor.out_dims
        [40, 24]
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        layers: Sequence[str],
        pre_trained: bool = True,
        *,
        requires_grad: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
            raise ValueError(f"layers: expected a list of one or more different layer names, got {layers!r}")
        if not isinstance(backbone, (str, nn.Module)):
            raise TypeError(f"backbone: expected a name or an nn.Module, got {type(backbone).__name__}")
        self.backbone = load_backbone(backbone, pre_trained) if isinstance(backbone, str) else backbone
        self.layers = list(layers)
        self.requires_grad = requires_grad
        known = [name for name, _ in self.backbone.named_modules() if name]
        for layer in self.layers:
            if layer not in known:
                near = difflib.get_close_matches(layer, known, n=3, cutoff=0.5)
                meant = f" (nearest: {', '.join(near)})" if near else ""
                raise ValueError(f"layers: {layer!r} does not exist{meant}; expected names out of {', '.join(known)}")
        if not requires_grad:
            self.backbone.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureExtractor:
        super().train(mode)
        if not self.requires_grad:
            self.backbone.eval()
        return self

    @property
    def out_dims(self) -> list[int]:
        """Channels C_l of each layer, in the order of `layers`."""
        weight = next(p for p in self.backbone.parameters() if p.ndim == 4)
        was_training = self.backbone.training
        self.backbone.eval()
        try:
            with torch.no_grad():
                maps = self(weight.new_zeros(1, weight.shape[1], 64, 64))
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
        dtype = next((p.dtype for p in self.backbone.parameters()), input_tensor.dtype)
        if input_tensor.dtype != dtype:
            raise TypeError(f"input_tensor: expected {dtype}, as the backbone's weights, got {input_tensor.dtype}")
        captured: dict[str, Tensor] = {}

        def capture(layer: str):
            def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
                if not isinstance(output, Tensor):
                    raise RuntimeError(f"layers: {layer!r} returns {type(output).__name__}, expected a tensor")
                if layer in captured:  # of a layer that runs twice, the first time counts
                    return
                last = len(captured) + 1 == len(self.layers)
                # What comes next may change it in place, as the activations of most networks do.
                captured[layer] = output if last else output.clone()
                if last:
                    raise _AllCaptured

            return hook

        # Hooks that live only as long as this call leave the backbone as it was: it can be pickled and shared.
        handles = [self.backbone.get_submodule(layer).register_forward_hook(capture(layer)) for layer in self.layers]
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled() and (self.requires_grad or input_tensor.requires_grad)):
                self.backbone(input_tensor)
        except _AllCaptured:
            pass
        finally:
            for handle in handles:
                handle.remove()
        if missing := [layer for layer in self.layers if layer not in captured]:
            raise RuntimeError(f"layers: {', '.join(missing)} did not run in the forward pass of the backbone")
        return {layer: captured[layer] for layer in self.layers}
