"""What every part says of bad input: one error that names the argument, what was expected and what came."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FULL_PRECISION = (torch.float32, torch.float64)


class NotFittedError(ValueError):
    """A part was used before it was fitted.

    Unlike scikit-learn's it is no AttributeError, which `nn.Module` takes, in a property, for a name that is missing.
    """


def check_tensor(
    name: str,
    value: Tensor,
    shape: str,
    *,
    at_least: Mapping[str, int] = {},
    exactly: Mapping[str, int] = {},
    dtypes: tuple[torch.dtype, ...] | None = None,
) -> Tensor:
    """Return `value` if it is a finite floating-point tensor of the expected shape.

    `shape` names the axes, as in `"N C H W"`; each holds at least one entry, or as many as `at_least` or `exactly` say.
    `dtypes` narrows the floating-point types that are taken. Raises `TypeError` for what is no tensor or of another
    dtype, `ValueError` for a wrong shape and for NaN and infinity.

    >>> check_tensor("x", torch.zeros(3, 2), "N D", exactly={"D": 4})
    Traceback (most recent call last):
    ValueError: x: expected shape (N, D) with D = 4, got (3, 2)
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point() or (dtypes and value.dtype not in dtypes):
        expected = " or ".join(str(d).removeprefix("torch.") for d in dtypes) if dtypes else "a floating-point tensor"
        raise TypeError(f"{name}: expected {expected}, got {str(value.dtype).removeprefix('torch.')}")
    axes = shape.split()
    sizes = dict(zip(axes, value.shape))
    fits = value.ndim == len(axes) and all(
        sizes[axis] == exactly[axis] if axis in exactly else sizes[axis] >= at_least.get(axis, 1) for axis in axes
    )
    if not fits:
        wanted = [f"{axis} = {n}" for axis, n in exactly.items()] + [f"{axis} >= {n}" for axis, n in at_least.items()]
        said = f" with {' and '.join(wanted)}" if wanted else " and no empty axis" if value.numel() == 0 else ""
        raise ValueError(f"{name}: expected shape ({', '.join(axes)}){said}, got {tuple(value.shape)}")
    # A sum is one read of the memory and no temporary; only if it is not finite are all entries looked at.
    if not torch.isfinite(value.sum(dtype=torch.float32 if value.element_size() < 4 else value.dtype)):
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise ValueError(f"{name}: expected finite values, got {bad} NaN or infinite of {value.numel()}")
    return value
