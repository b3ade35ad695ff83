"""The modes in which parts compute: full precision under autocast, fits without gradients, float64 where it exists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

NO_FLOAT64 = {"mps"}
"""Types of devices that have no float64."""


def full_precision(function: Function) -> Function:
    """Run `function` outside of autocast, which would round the products inside it to half precision.

    The device is that of the first tensor among the arguments.

    >>> square = full_precision(lambda x: x @ x)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     square(torch.eye(2)).dtype
    torch.float32
    """

    @functools.wraps(function)
    def computed_in_full(*args: Any, **kwargs: Any) -> Any:
        devices = [value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        device = devices[0] if devices else "cpu"
        if device == "meta" or not torch.is_autocast_enabled(device):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return computed_in_full  # type: ignore[return-value]


def fitting(function: Function) -> Function:
    """Run `function`, which fits a part, in full precision and without gradients.

    What it stores belongs to no autograd graph and is no inference tensor, so the part can be copied, loaded into and
    differentiated through afterwards, wherever it was fitted.

    >>> double = fitting(lambda x: 2 * x)
    >>> with torch.inference_mode():
    ...     double(torch.ones(1)).is_inference()
    False
    """

    @torch.no_grad()
    @full_precision
    @functools.wraps(function)
    def fitted(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
            return function(*args, **kwargs)
        with torch.inference_mode(False), torch.no_grad():
            return function(*args, **kwargs)

    return fitted  # type: ignore[return-value]


def accurate(x: Tensor) -> Tensor:
    """`x` in float64, or in float32 on a device of :data:`NO_FLOAT64`, such as Apple's MPS.

    >>> accurate(torch.ones(1)).dtype
    torch.float64
    """
    return x.float() if x.device.type in NO_FLOAT64 else x.double()
