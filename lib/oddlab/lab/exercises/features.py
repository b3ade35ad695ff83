"""Exercises of the lesson about features."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.lab.exercises.exercise import Exercise, checker


def network() -> nn.Sequential:
    """Layers whose cells are 2, 2, 8 and 32 pixels apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second, third = (nn.Conv2d(c, d, 3, s, padding=1) for c, d, s in ((3, 4, 2), (4, 5, 4), (5, 6, 4)))
    layers = OrderedDict(first=first, act=nn.ReLU(), second=second, third=third)
    return nn.Sequential(layers).requires_grad_(False).eval()


NET = network()


def shape(net: nn.Sequential, layer: str) -> tuple[int, int]:
    """The channels of a layer's map, and its side for an image of side 64."""
    place = list(dict(net.named_children())).index(layer)
    return net[: place + 1](torch.zeros(1, 3, 64, 64)).shape[1:3]


stride = Exercise(
    lambda net, layer: 64 / shape(net, layer)[1],
    cases=[(NET, "second"), (NET, "act"), (NET, "third")],
    mistakes={
        "that is how many cells the map has along a side: divide 64 by it": lambda *case: shape(*case)[1],
        "that is cells per pixel: turn the quotient upside down": lambda *case: shape(*case)[1] / 64,
        "that counts the pixels of a whole square: take one side": lambda *case: (64 / shape(*case)[1]) ** 2,
        "you divide by the number of channels: sides come last in a shape": lambda *case: 64 / shape(*case)[0],
    },
)
"""`stride(net, layer)`: how many pixels of an image of side 64 lie between neighbouring cells of the layer."""


@checker
def catch_input(answer: Any) -> str | None:
    """`catch_input(net, layer, x)`: what goes into the layer when the net runs on x; its hook is taken off again."""
    if not callable(answer):
        return f"it should be a function, and yours is of type {type(answer).__name__}"
    net, x = copy.deepcopy(NET), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    got = answer(net, "second", x.clone())
    if any(module._forward_hooks or module._forward_pre_hooks for module in net.modules()):
        return "your hook is still on the network: keep what register_forward_hook returns, and call its remove()"
    if isinstance(got, (list, tuple)) and len(got) == 1:
        return f"it returns a {type(got).__name__} that holds the map: return the map itself"
    if not isinstance(got, Tensor):
        return f"it should return a tensor, and yours is a {type(got).__name__}"
    right = NET.act(NET.first(x))
    reasons = {
        "that is what comes out of the layer: a hook is given module, args, output, and what goes in is args[0]": (
            NET.second(right)
        ),
        "that is what the whole network returns: return what your hook caught": NET(x),
        "that is what goes into the whole network: put the hook on the layer": x,
    }
    for reason, wrong in reasons.items():
        if torch.equal(got, wrong):
            return reason
    if got.shape != right.shape:
        return f"the map should have the shape {tuple(right.shape)}, and yours has {tuple(got.shape)}"
    if not torch.equal(got, right):
        return "the shape is right and the values are not: they are another layer's, or were changed"
    return None
