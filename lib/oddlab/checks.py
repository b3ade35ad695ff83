"""What every part says of bad input: one error that names the argument, what was expected and what came."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from numbers import Integral, Real

import torch
from torch import Tensor

FULL_PRECISION = (torch.float32, torch.float64)


class NotFittedError(ValueError):
    """A part was used before it was fitted.

    Unlike scikit-learn's it is no AttributeError, which `nn.Module` takes, in a property, for a name that is missing.
    """


_inside = threading.local()


def values_known(value: Tensor) -> bool:
    """Whether the entries of `value` can be looked at: not on the meta device, nor while a graph is traced from them,
    nor within `vmap` and the other transforms of `torch.func`.

    >>> values_known(torch.ones(1)), values_known(torch.ones(1, device="meta"))
    (True, False)
    """
    if value.is_meta or torch.compiler.is_compiling():
        return False
    return torch._C._functorch.maybe_current_level() is None


@contextlib.contextmanager
def values_checked() -> Iterator[None]:
    """Within it, no values are checked again, since the input has been: on a GPU each check waits for the device.

    >>> with values_checked():
    ...     check_tensor("x", torch.tensor([float("nan")]), "N")
    tensor([nan])
    """
    before = getattr(_inside, "checked", False)
    _inside.checked = True
    try:
        yield
    finally:
        _inside.checked = before


def check_int(name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int if it is a whole number, Python's or numpy's, of at least `least`; else raise
    `ValueError`.

    >>> check_int("k", 0)
    Traceback (most recent call last):
    ValueError: k: expected an int of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: expected an int of at least {least}, got {value!r}")
    return int(value)


def check_number(name: str, value: object, *, above: float | None = None) -> float:
    """Return `value` as a float if it is finite and above `above`, or at least 0 without it; else raise `ValueError`.

    >>> check_number("sigma", -1.0)
    Traceback (most recent call last):
    ValueError: sigma: expected a finite number of at least 0, got -1.0
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (value >= 0 if above is None else value > above) or not value < math.inf:
        expected = "of at least 0" if above is None else f"above {above:g}"
        raise ValueError(f"{name}: expected a finite number {expected}, got {value!r}")
    return float(value)


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
    dtype, `ValueError` for a wrong shape and for NaN and infinity (not where values cannot be known, see
    `values_known`).

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
        wanted = [f"{axis} = {n}" for axis, n in exactly.items()]
        wanted += [f"{axis} >= {n}" for axis, n in at_least.items() if n]
        said = f" with {' and '.join(wanted)}" if wanted else " and no empty axis" if value.numel() == 0 else ""
        raise ValueError(f"{name}: expected shape ({', '.join(axes)}){said}, got {tuple(value.shape)}")
    if not values_known(value) or getattr(_inside, "checked", False):
        return value
    # A sum is one read of the memory and no temporary; only if it is not finite are all entries looked at.
    if not math.isfinite(value.sum(dtype=torch.float32 if value.element_size() < 4 else value.dtype).item()):
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise ValueError(f"{name}: expected finite values, got {bad} NaN or infinite of {value.numel()}")
    return value
