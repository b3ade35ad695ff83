"""What a device can do at best, measured in the run that is compared with it: how fast it copies and multiplies."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from turns import taken

ROUNDS = 7


class Operations(TorchDispatchMode):
    """Counts those of all products within it. (PyTorch's own `FlopCounterMode` fails at `torch.autograd.grad`.)"""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if count := flop_registry.get(operation.overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def best(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, the least of some."""
    return min(taken(call, device)[1] for _ in range(ROUNDS))


def copy_rate(device: torch.device) -> float:
    """Bytes read and written in a second by a copy of a tensor that no cache holds."""
    source = torch.rand(2**28 if device.type == "cuda" else 2**26, device=device)  # 1 GiB, or 256 MiB
    target = torch.empty_like(source)
    return 2 * source.numel() * source.element_size() / best(lambda: target.copy_(source), device)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations in a second of a product of square matrices, of which a multiplication and an addition are two."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = torch.rand(2, side, side, dtype=dtype, device=device)
    product = torch.empty_like(a)
    return 2 * side**3 / best(lambda: torch.mm(a, b, out=product), device)


def rates(device: torch.device) -> dict[str, float]:
    """By name; "copy" in bytes and a dtype in operations, both in a second."""
    products = {str(dtype): product_rate(device, dtype) for dtype in (torch.float32, torch.float64)}
    return {"copy": copy_rate(device), **products}


def share(limit: Callable[[], object], seconds: dict[str, list[float]], rate: dict[str, float]) -> str:
    """What share of the device's rate ours reaches, in what the task cannot do without.

    Where that is products, their operations are counted; where it is none, it is a copy, timed beside ours.
    """
    ours = statistics.median(seconds["ours"])
    with Operations() as operations:
        result = limit()
    if not operations.total:
        return f"{statistics.median(seconds['limit']) / ours:.0%} of the copy's"
    while not isinstance(result, torch.Tensor):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return f"{operations.total / ours / rate[str(result.dtype)]:.0%} of a product's"
