"""A device that is none: its tensors lie on the CPU, but PyTorch takes them for those of an accelerator.

What goes wrong on a GPU and not on a CPU is mostly that a tensor was made on the CPU and meets one on the GPU, or that
numbers are drawn by a generator of the other. Here both are errors as they are there, without a GPU. Kernels, their
speed and their rounding are the CPU's.

    python tests/pretended_device.py [--without-float64]

runs all parts on it and prints, as JSON, what was wrong with each ("" for nothing); without float64 it refuses that
type, as Apple's MPS does. It is a process of its own, since PyTorch would have every test take the device for an
accelerator that is there.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable

import numpy as np
import torch
from test_promises import PARTS, fitted, sample, tensors
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from oddlab import PCA, AllInOneBlock, KCenterGreedy, SequenceINN
from oddlab.modes import NO_FLOAT64
from oddlab.neighbors import nearest


class Module(_DummyBackendModule):
    """What `torch.pretended` is: random numbers are drawn on the CPU, so that there is no state to keep."""

    def get_rng_state(self, device: int) -> Tensor:
        return torch.empty(0)

    def set_rng_state(self, state: Tensor, device: int) -> None:
        """Nothing to set."""


_setup_privateuseone_for_python_backend("pretended", backend_module=Module())
DEVICE = torch.device("pretended", 0)
aten = torch.ops.aten
ACROSS = (aten.copy_.default, aten._copy_from.default, aten._to_copy.default)
"""What may have tensors of two devices."""
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
"""What takes its indices from any device."""


class There(Tensor):
    """A tensor on the pretended device."""

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, here.size(), **layout, dtype=here.dtype, device=DEVICE)

    def __init__(self, here: Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:
        return f"There({self.here})"

    def __format__(self, how: str) -> str:
        return format(self.here, how)

    def numpy(self, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError("a tensor of another device has no numpy(): call cpu() first")
        return self.here.numpy(force=True)

    def tolist(self) -> list:
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return call(operation, args, kwargs or {})


class Factories(TorchDispatchMode):
    """Within it new tensors can be made on the pretended device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return call(operation, args, kwargs or {})


def call(operation: Callable, args: tuple, kwargs: dict) -> object:
    """The operation on the CPU, refused as an accelerator would, and its results on the device that they belong to."""
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in given if isinstance(tensor, There)]
    device = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if device:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    onto = device.type == DEVICE.type if device else bool(there)
    if (generator := kwargs.get("generator")) and (generator.device.type == "cpu") == onto:
        raise RuntimeError(f"{operation}: a generator on {generator.device} draws for {device or 'the other device'}")
    if there and operation not in ACROSS:
        strays = [tensor for tensor in given if not isinstance(tensor, There) and tensor.ndim > 0]
        if operation in INDEXED:
            strays = [tensor for tensor in strays if tensor.dtype not in (torch.long, torch.bool)]
        if strays:
            shapes = [tuple(tensor.shape) for tensor in strays]
            raise RuntimeError(f"{operation}: tensors of shapes {shapes} are on the CPU, others on {DEVICE}")
    args_here, kwargs_here = tree_map_only(There, lambda tensor: tensor.here, (args, kwargs))
    if operation is aten.copy_.default:
        operation(*args_here, **kwargs_here)
        return args[0]
    if operation is aten._copy_from.default:
        args_here[1].copy_(args_here[0])
        return args[1]
    results = operation(*args_here, **kwargs_here)
    if not onto:
        return results
    made = [leaf for leaf in tree_leaves(results) if isinstance(leaf, Tensor)]
    if DEVICE.type in NO_FLOAT64 and any(tensor.dtype == torch.float64 for tensor in made):
        raise TypeError(f"{operation}: a tensor of float64 on a device that has none")
    known = {id(tensor.here): tensor for tensor in there}  # what is changed in place stays the same object
    return tree_map_only(Tensor, lambda result: known[id(result)] if id(result) in known else There(result), results)


def register() -> list[torch.library.Library]:
    """Let `torch.tensor(..., device=...)`, which passes by every mode, find its way; it holds while the result does."""
    everything, some = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    everything.fallback(lambda operation, *args, **kwargs: call(operation, args, kwargs), "PrivateUse1")
    for operation in (aten.empty.memory_format, aten.empty_strided.default, aten._copy_from.default):
        name = operation.name().removeprefix("aten::")
        some.impl(name, lambda *args, _of=operation, **kwargs: call(_of, args, kwargs), "PrivateUse1")
    return [everything, some]


def subnet(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels_in, 8), nn.ReLU(), nn.Linear(8, channels_out))


@torch.no_grad()  # gradients are made in a thread of the device, which a device written in Python does not have
def flow_results(device: torch.device, **options) -> list[Tensor]:
    """What a small flow makes of some points, there and back."""
    torch.manual_seed(0)
    flow = SequenceINN(6)
    for _ in range(2):
        flow.append(AllInOneBlock, subnet_constructor=subnet, **options)
    x = torch.randn(5, 6)
    flow, x = flow.to(device), x.to(device)
    z, log_det = flow(x)
    return [z, log_det, flow.log_prob(x), *flow(z, rev=True)]


def points(n: int, d: int, device: torch.device) -> Tensor:
    falling = torch.arange(1, d + 1) ** -0.5
    return (torch.randn(n, d, generator=torch.Generator().manual_seed(0)) * falling).to(device)


LARGE = {
    "PCA by Lanczos steps": lambda device: [PCA(3).fit(points(500, 300, device)).components],
    "coreset in several rounds": lambda device: [
        KCenterGreedy(points(1500, 4, device), 0.2, random_state=0).sample_coreset()
    ],
    "projected coreset": lambda device: [
        KCenterGreedy(points(50, 120, device), 0.2, random_state=0, project=True).sample_coreset()
    ],
    "nearest in several blocks": lambda device: [
        *nearest(points(9000, 4, device), points(5000, 4, device) + 0.01, points(1, 4, device)[0])
    ],
}
"""What the small inputs of the promises do not reach."""
FLOWS = {
    "plain": {},
    "rotations": {"permute_soft": True},
    "reflections": {"learned_householder_permutation": 3},
    "reverse": {"reverse_permutation": True, "global_affine_type": "SIGMOID"},
    "GIN": {"gin_block": True, "global_affine_type": "EXP"},
}


def cases() -> dict[str, Callable[[torch.device], list[Tensor]]]:
    def of_part(part, name: str) -> Callable[[torch.device], list[Tensor]]:
        return lambda device: tensors(part.calls[name](fitted(part, device=device), sample(part, device=device)))

    def of_flow(options: dict) -> Callable[[torch.device], list[Tensor]]:
        return lambda device: flow_results(device, **options)

    every = {f"{name}.{call}": of_part(part, call) for name, part in PARTS.items() for call in part.calls}
    if DEVICE.type in NO_FLOAT64:  # the steps of a detector are its forward, which is slow here
        every = {name: act for name, act in every.items() if not name.endswith("_step")}
    return every | LARGE | {f"flow, {name}": of_flow(options) for name, options in FLOWS.items()}


def wrong(act: Callable[[torch.device], list[Tensor]]) -> str:
    """What is wrong with the results on the device, beside those on the CPU; "" if nothing is."""
    try:
        expected = act(torch.device("cpu"))
        with Factories():
            results = [result.detach() for result in act(DEVICE)]
    except Exception:
        return traceback.format_exc()
    if not results or len(results) != len(expected):
        return f"{len(results)} tensors, and {len(expected)} on the CPU"
    for result, other in zip(results, expected):
        if not isinstance(result, There):
            return f"a result of shape {tuple(result.shape)} is on the CPU"
        if not torch.allclose(result.here, other, rtol=1e-4, atol=1e-4):
            return f"{result} instead of {other}"
    return ""


if __name__ == "__main__":
    held = register()
    if "--without-float64" in sys.argv:
        NO_FLOAT64.add(DEVICE.type)
    json.dump({name: wrong(act) for name, act in cases().items()}, sys.stdout, indent=1)
