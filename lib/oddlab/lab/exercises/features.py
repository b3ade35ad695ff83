"""Checks of the exercises in notebook 12."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn


def _net() -> nn.Sequential:
    """Layers whose cells are 2, 2, 8 and 32 pixels apart."""
    generator = torch.Generator().manual_seed(0)
    convolutions = [nn.Conv2d(c, d, 3, s, padding=1) for c, d, s in ((3, 4, 2), (4, 5, 4), (5, 6, 4))]
    for convolution in convolutions:
        convolution.weight.data = torch.randn(convolution.weight.shape, generator=generator)
    layers = OrderedDict(first=convolutions[0], act=nn.ReLU(), second=convolutions[1], third=convolutions[2])
    return nn.Sequential(layers).requires_grad_(False).eval()


def stride(answer: Callable) -> str | None:
    """`answer(net, layer)` is how many pixels of an image of side 64 lie between neighbouring cells of the layer."""
    for layer, right, channels in (("second", 8, 5), ("act", 2, 4), ("third", 32, 6)):
        got = float(answer(_net(), layer))
        if got == right:
            continue
        reasons = {
            64 / right: f"{got:g} is how many cells the map has along a side: divide 64 by it",
            1 / right: "that is cells per pixel: turn the quotient upside down",
            right**2: "that counts the pixels of a whole square: only one side is asked for",
            64 / channels: "you divide by the number of channels: the sides of a map come last in its shape",
        }
        return reasons.get(got, f"the cells of this layer should be {right} pixels apart, and yours are {got:g}")
    return None


def catch_input(answer: Callable) -> str | None:
    """`answer(net, layer, x)` is what goes into the layer when the net runs on x; its hook is taken off again."""
    net, x = _net(), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    got = answer(net, "second", x.clone())
    if any(module._forward_hooks or module._forward_pre_hooks for module in net.modules()):
        return "your hook is still on the network: keep what register_forward_hook returns, and call its remove()"
    if isinstance(got, (list, tuple)) and len(got) == 1:
        return f"it returns a {type(got).__name__} that holds the map: return the map itself"
    if not isinstance(got, torch.Tensor):
        return f"it should return a tensor, and yours is a {type(got).__name__}"
    right = net.act(net.first(x))
    wrong = {
        "that is what comes out of the layer: a hook is given module, args, output, and what goes in is args[0]": (
            net.second(right)
        ),
        "that is what the whole network returns: return what your hook caught": net(x),
        "that is what goes into the whole network: put the hook on the layer": x,
    }
    for reason, value in wrong.items():
        if got.shape == value.shape and torch.equal(got, value):
            return reason
    if got.shape != right.shape:
        return f"the map should have the shape {tuple(right.shape)}, and yours has {tuple(got.shape)}"
    if not torch.equal(got, right):
        return "the shape is right and the values are not: they are another layer's, or were changed"
    return None
