"""Numbers that a notebook hands on: read by people where they are shown, and by the runner from the output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from IPython.display import display


def record(**numbers: float | bool | str) -> None:
    """Show the numbers in one line, rounded to 4 significant digits, and store them exactly with the output.

    A number is an int, float, bool or str, or a tensor or numpy array of shape () that holds one. Raises `TypeError`
    for anything else and `ValueError` for NaN and infinity.

    >>> record(image_auroc=0.971234, seconds=3.1, images=1344)
    image_auroc 0.9712, seconds 3.1, images 1344
    """
    exact = {name: _plain(name, value) for name, value in numbers.items()}
    line = ", ".join(f"{name} {_rounded(value)}" for name, value in exact.items())
    display(Line(line), metadata={"oddlab": {"numbers": exact}})


def recorded(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers recorded in an executed notebook; of those with the same name, the last.

    >>> output = {"output_type": "display_data", "data": {}, "metadata": {"oddlab": {"numbers": {"seconds": 3.1}}}}
    >>> recorded({"cells": [{"cell_type": "code", "outputs": [output]}]})
    {'seconds': 3.1}
    """
    numbers: dict[str, Any] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            numbers.update(output.get("metadata", {}).get("oddlab", {}).get("numbers", {}))
    return numbers


class Line(str):
    """Text that is shown without quotes."""

    __repr__ = str.__str__


def _plain(name: str, value: Any) -> float | bool | str:
    # Tensors and numpy scalars alike have these two.
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (int, float, str)):
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise TypeError(f"{name}: expected a number, bool or str, got {type(value).__name__}{shape}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    return value


def _rounded(value: float | bool | str) -> str:
    return f"{float(f'{value:.4g}'):.10g}" if isinstance(value, float) else str(value)
