"""A frozen network made ready for inference: cut after the last layer that is wanted, folded, and channels-last."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from oddlab.modes import accurate


class LayerTracer(fx.Tracer):
    """Notes the graph's node that holds the output of each of `layers`; of a layer that runs twice, the first time."""

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        self.layers, self.outputs = layers, {}

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        # A convolution of any kind is one step, also one that computes its padding from the shape of the input.
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)

    def call_module(self, module: nn.Module, forward, args: tuple, kwargs: dict) -> object:
        output = super().call_module(module, forward, args, kwargs)
        name = self.path_of_module(module)
        if name in self.layers and isinstance(output, fx.Proxy):
            self.outputs.setdefault(name, output.node)
        return output


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    r"""Give `conv` the weights with which it does what it and `norm`, in evaluation mode, do one after the other.

    .. math::
        \gamma \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b', \qquad
        W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \qquad
        b' = \frac{\gamma (b - \mu)}{\sqrt{\sigma^2 + \epsilon}} + \beta

    >>> conv, norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).eval()
    >>> x = torch.rand(1, 3, 2, 2)
    >>> expected = norm(conv(x))
    >>> fold_batch_norm(conv, norm)
    >>> torch.allclose(conv(x), expected, atol=1e-6)
    True
    """
    with torch.no_grad():
        known = (conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        weight, bias, mean, variance, gamma, beta = (None if t is None else accurate(t) for t in known)
        weight, bias = fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, gamma, beta)
        conv.bias = nn.Parameter(bias.to(conv.weight), requires_grad=False)
        conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)


def for_inference(network: nn.Module, layers: Sequence[str]) -> fx.GraphModule | None:
    """A copy of `network` that returns the outputs of `layers` as a dictionary, and computes no more than they need.

    Batch norms are folded into the convolutions that only they read, and weights are stored channels-last, which is
    what convolutions are fastest with. None if the network's forward pass cannot be traced, for example because it
    depends on the values of its input.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    >>> fast = for_inference(network, ["2"])
    >>> [name for name, _ in fast.named_children()], fast(torch.rand(1, 3, 8, 8))["2"].shape
    (['0', '2'], torch.Size([1, 4, 8, 8]))
    """
    tracer = LayerTracer(layers)
    network = copy.deepcopy(network).eval()
    try:
        graph = tracer.trace(network)
    except Exception:  # whatever the code of a network does with what stands for its input
        return None
    outputs = tracer.outputs
    if len(outputs) < len(layers):
        return None
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in list(graph.nodes):
        norm = modules[node.target] if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or calls[node.target] > 1:
            continue
        source = node.args[0]
        conv = modules[source.target] if source.op == "call_module" else None
        alone = isinstance(conv, nn.Conv2d) and calls[source.target] == 1 and len(source.users) == 1
        if alone and source not in outputs.values():
            fold_batch_norm(conv, norm)
            node.replace_all_uses_with(source)
            graph.erase_node(node)
            outputs = {layer: source if output is node else output for layer, output in outputs.items()}
    for layer, output in outputs.items():
        if output.users:  # what comes next may change it in place, as the activations of most networks do
            with graph.inserting_after(output):
                outputs[layer] = graph.call_method("clone", (output,))
    for end in [node for node in graph.nodes if node.op == "output"]:
        graph.erase_node(end)
    graph.output({layer: outputs[layer] for layer in layers})
    fast = fx.GraphModule(network, graph)
    graph.eliminate_dead_code()
    fast.delete_all_unused_submodules()
    fast.recompile()
    return fast.to(memory_format=torch.channels_last)


def agree(fast: dict[str, Tensor], plain: dict[str, Tensor]) -> bool:
    """Whether two ways to compute the same maps differ by rounding alone.

    >>> agree({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-6})
    True
    """
    rounding = min(1000 * torch.finfo(next(iter(plain.values())).dtype).eps, 0.05)
    return all(bool((fast[layer] - plain[layer]).norm() <= rounding * plain[layer].norm()) for layer in plain)
