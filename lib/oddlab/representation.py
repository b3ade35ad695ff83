"""What `repr` shows of a part: its arguments, and whether it is fitted."""

from __future__ import annotations

import inspect

from torch import Tensor, nn


def shown_arguments(part: object) -> str:
    """The arguments of `part` as `name=value`, and "fitted" or "not fitted" if it has a property `is_fitted`.

    The names are those of the parameters of `__init__`, the values those of the attributes of the same name: what a
    part does not keep is left out. Of tensors the shape is shown; modules are left to PyTorch, which shows them itself.

    A class shows them in its `repr` with the line `extra_repr = shown_arguments`.

    >>> class Scale(nn.Module):
    ...     def __init__(self, factor):
    ...         super().__init__()
    ...         self.factor = factor
    ...     extra_repr = shown_arguments
    >>> Scale(2.0)
    Scale(factor=2.0)
    """
    arguments = {name: getattr(part, name) for name in inspect.signature(type(part)).parameters if hasattr(part, name)}
    shown = [
        f"{name}=tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{name}={value!r}"
        for name, value in arguments.items()
        if not isinstance(value, nn.Module)
    ]
    if hasattr(part, "is_fitted"):
        shown.append("fitted" if part.is_fitted else "not fitted")
    return ", ".join(shown)
