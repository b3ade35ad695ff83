"""What a person may turn on a figure: sliders, choices and boxes to tick, checked against the function that draws."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import ipywidgets

MOST = 4
"""Controls beside one figure; with more, nobody finds what each of them does."""


def check_controls(draw: Callable, controls: Mapping[str, Any]) -> dict[str, Any]:
    """The start value of each control: the default that `draw` has for the parameter of that name.

    Raises `TypeError` and `ValueError` for what :func:`oddlab.lab.explore` does not take.

    >>> def draw(sigma=2, border="reflect"): ...
    >>> check_controls(draw, {"sigma": (0.5, 8.0), "border": ["reflect", "constant"]})
    {'sigma': 2.0, 'border': 'reflect'}
    """
    if not callable(draw) or not getattr(draw, "__name__", "").isidentifier():
        raise TypeError(f"draw: expected a function with a name, got {draw!r}")
    if not 1 <= len(controls) <= MOST:
        raise ValueError(f"controls: expected 1 to {MOST}, got {len(controls)}: {', '.join(controls)}")
    defaults = {name: parameter.default for name, parameter in inspect.signature(draw).parameters.items()}
    known = [name for name, default in defaults.items() if default is not inspect.Parameter.empty]
    for name in controls:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ValueError(f"{name}: expected a parameter of {draw.__name__} that has a default ({there})")
    return {name: _start(name, control, defaults[name]) for name, control in controls.items()}


def _start(name: str, control: Any, default: Any) -> Any:
    if isinstance(control, bool):
        if default is not control:
            raise ValueError(f"{name}: expected {default!r} as its default is, got {control!r}")
    elif isinstance(control, list):
        if default not in control:
            raise ValueError(f"{name}: expected choices with its default, {default!r}, got {control!r}")
    elif isinstance(control, tuple):
        if not _is_range(control):
            raise ValueError(
                f"{name}: expected (low, high), (low, high, step) or (low, high, step, 'unit') with low < high and "
                f"0 < step <= high - low, got {control!r}"
            )
        number = _type(control)
        if not (_is_number(default) and control[0] <= default <= control[1] and number(default) == default):
            wanted = f"{'an int' if number is int else 'a number'} from {control[0]} to {control[1]}"
            raise ValueError(f"{name}: expected a default that is {wanted}, got {default!r}")
        return number(default)
    else:
        raise TypeError(f"{name}: expected a tuple for a slider, a list of choices or a bool, got {control!r}")
    return default


def _is_range(control: tuple) -> bool:
    if not 2 <= len(control) <= 4 or not all(_is_number(number) for number in control[:3]):
        return False
    low, high, step, unit = (*control, *(control[1] - control[0], "")[len(control) - 2 :])
    return low < high and 0 < step <= high - low and isinstance(unit, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _type(control: tuple) -> type:
    return int if all(isinstance(number, Integral) for number in control[:3]) else float


def extremes(control: Any) -> list:
    """The values at the ends of a slider, or all there are.

    >>> extremes((1, 9, 2, "pixels")), extremes(["a", "b", "c"]), extremes(True)
    ([1, 9], ['a', 'b', 'c'], [False, True])
    """
    if isinstance(control, bool):
        return [False, True]
    return control if isinstance(control, list) else [_type(control)(number) for number in control[:2]]


def label(name: str, control: Any) -> str:
    """What stands beside a control.

    >>> label("sigma", (0.5, 8.0, 0.5, "pixels"))
    'sigma (pixels)'
    """
    return f"{name} ({control[3]})" if isinstance(control, tuple) and len(control) == 4 else name


def make_control(text: str, control: Any, start: Any, width: int, continuous: bool) -> ipywidgets.ValueWidget:
    """The widget for a control that was checked, `width` pixels wide; a `continuous` slider tells while it moves."""
    short = control[:3] if isinstance(control, tuple) else control
    if isinstance(control, list):
        short = [(str(choice), choice) for choice in control]
    widget = ipywidgets.interactive.widget_from_abbrev(short, start)
    widget.description, widget.style.description_width, widget.layout.width = text, "initial", f"{width}px"
    if isinstance(control, bool):
        widget.indent = False
    if isinstance(control, tuple):
        widget.continuous_update = continuous
    if isinstance(widget, ipywidgets.FloatSlider):
        low, high = extremes(control)
        # Without a step given: the power of ten that makes 20 to 200 steps.
        widget.step = float(control[2]) if len(control) > 2 else 10.0 ** math.floor(math.log10((high - low) / 20))
        exponents = [Decimal(str(number)).normalize().as_tuple().exponent for number in (low, start, widget.step)]
        widget.readout_format = f".{max(0, *(-exponent for exponent in exponents))}f"
    return widget


def value_of(control: ipywidgets.ValueWidget) -> Any:
    """What a control is set to: of a float exactly the digits beside it, since browsers count steps as 5.500000001.

    >>> value_of(ipywidgets.FloatSlider(value=5.500000001, readout_format=".1f"))
    5.5
    """
    if isinstance(control, ipywidgets.FloatSlider):
        return float(format(control.value, control.readout_format))
    return control.value
