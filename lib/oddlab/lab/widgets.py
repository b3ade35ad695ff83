"""A figure with controls: `explore` shows it, `corners` tries the ends of what the controls can be set to."""

from __future__ import annotations

import itertools
import time
import traceback
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from html import escape
from io import BytesIO
from typing import Any

import ipywidgets
from matplotlib.figure import Figure
from PIL import Image

from oddlab.lab.controls import check_controls, extremes, label, make_control, value_of
from oddlab.lab.figures import check_figure, encoded
from oddlab.lab.layout import KeptLayout
from oddlab.lab.stills import stills, stills_wanted

CONTINUOUS, ON_RELEASE = 0.15, 2.0
"""Seconds of a draw up to which the figure follows a slider, and up to which it is drawn when the slider is let go."""

# The code is selected before it is copied, so that one sees what is, and can copy it where the browser refuses.
COPY_BUTTON = """<button class="jupyter-widgets jupyter-button widget-button" style="width: 120px; margin: 0" onclick="
getSelection().selectAllChildren(this.closest('.oddlab-explore').querySelector('.oddlab-code code'));
document.execCommand('copy')">Copy as code</button>"""


def explore(draw: Callable[..., Figure], **controls: Any) -> Explorer:
    """The figure that `draw` returns, with controls beside it for up to four of its parameters.

    A control is `(low, high)`, `(low, high, step)` or `(low, high, step, "unit")` for a slider, of ints if they all
    are, else of floats; a list of choices; or the default itself, True or False, for a box to tick. Each starts at the
    default that `draw` has for it. The figure must always have the same size.

    A draw of up to 0.15 s follows the sliders, one of up to 2 s waits until they are let go, and a slower one for a
    button. The first one takes place in the cell, and so does its error; a later error is shown in place of the figure,
    and is raised where a cell moved the control. Axes stay where they are while their text fits.

    Returns an :class:`Explorer`, which is shown where it is the last expression of a cell. Raises `TypeError` if `draw`
    does not return a Figure, and `TypeError` or `ValueError` for controls that do not fit it.

    >>> from oddlab.lab import subplots
    >>> def wave(frequency=2.0, phase=0):
    ...     figure, ax = subplots()
    ...     return figure
    >>> explorer = explore(wave, frequency=(0.5, 8.0, 0.5, "Hz"), phase=(0, 360, 15, "degrees"))  # doctest: +SKIP
    >>> explorer.controls["phase"].value = 90  # doctest: +SKIP
    >>> explorer.code  # doctest: +SKIP
    'wave(frequency=2.0, phase=90)'
    """
    return Explorer(draw, controls)


def corners(draw: Callable[..., Figure], **controls: Any) -> None:
    """Call `draw` with every combination of the ends of its sliders, all choices, and boxes ticked and not.

    `controls` are those of :func:`explore`. Prints how many combinations there were; raises `RuntimeError` with the
    first one for which `draw` raised or did not return a Figure.

    >>> def draw(sigma=2.0, outline=True):
    ...     return Figure()
    >>> corners(draw, sigma=(0.5, 8.0), outline=True)
    4 corners drawn
    """
    check_controls(draw, controls)
    combinations = list(itertools.product(*map(extremes, controls.values())))
    for combination in combinations:
        values = dict(zip(controls, combination))
        try:
            draw_once(draw, values)
        except Exception as error:
            raise RuntimeError(f"{as_code(draw, values)} raised {type(error).__name__}: {error}") from error
    print(f"{len(combinations)} corners drawn")


class Explorer:
    """A figure with controls, as :func:`explore` makes it.

    `controls` are the widgets by the names of their parameters: `explorer.controls["sigma"].value = 3.0` moves a
    slider. `code` is the call that made the figure, `picture` the Output that holds it, `box` the whole.
    """

    def __init__(self, draw: Callable[..., Figure], controls: Mapping[str, Any]) -> None:
        self.draw = draw
        self._start = check_controls(draw, controls)
        self._resetting = False
        figure, seconds = timed(draw, self._start)
        self._layout = KeptLayout()
        picture = self._layout.png(figure)
        width = int(figure.get_size_inches()[0] * figure.dpi)
        labels = {name: label(name, control) for name, control in controls.items()}
        column = 200 + 7 * max(map(len, labels.values()))
        self.controls = {
            name: make_control(labels[name], control, self._start[name], column, seconds <= CONTINUOUS)
            for name, control in controls.items()
        }
        self.picture = ipywidgets.Output(layout={"flex": f"1 1 {int(0.7 * width)}px", "max_width": f"{width}px"})
        self._line = ipywidgets.HTML()
        self._line.add_class("oddlab-code")
        buttons = self._make_buttons(waits=seconds > ON_RELEASE)
        left = ipywidgets.VBox([*self.controls.values(), ipywidgets.HBox(buttons)], layout={"margin": "0 12px 0 0"})
        # In a narrow window the picture goes below the controls.
        both = ipywidgets.HBox([left, self.picture], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([both, self._line]).add_class("oddlab-explore")
        self._show(self._start, lambda: picture)

    def _make_buttons(self, waits: bool) -> list[ipywidgets.Widget]:
        reset = ipywidgets.Button(description="Reset", layout={"width": "80px"})
        reset.on_click(self.reset)
        buttons = [reset, ipywidgets.HTML(COPY_BUTTON)]
        if not waits:
            for control in self.controls.values():
                control.observe(self.redraw, "value")
            return buttons
        button = ipywidgets.Button(description="Draw", button_style="primary", layout={"width": "80px"})
        button.on_click(self.redraw)
        return [button, *buttons]

    def redraw(self, *_: Any) -> None:
        """Draw the figure with the present values of the controls."""
        if self._resetting:
            return
        values = {name: value_of(control) for name, control in self.controls.items()}
        self._show(values, lambda: self._layout.png(draw_once(self.draw, values)))

    def reset(self, *_: Any) -> None:
        """Set all controls back to where they started, and draw once."""
        self._resetting = True
        for name, control in self.controls.items():
            control.value = self._start[name]
        self._resetting = False
        self._layout = KeptLayout()  # the first picture comes back exactly
        self.redraw()

    def _show(self, values: Mapping[str, Any], make: Callable[[], bytes]) -> None:
        self.code = as_code(self.draw, values)
        self._line.value = f"<code style='white-space: nowrap'>{escape(self.code)}</code>"
        # The picture is set as state and not printed into the Output: notebook runners lose a cell's reply now and then
        # while they capture what is printed there (nbclient #312), and would wait for it for ever.
        try:
            data = {"image/png": b64encode(make()).decode(), "text/plain": self.code}
            metadata = {"image/png": {"alt": self.code}}
            self.picture.outputs = ({"output_type": "display_data", "data": data, "metadata": metadata},)
        except Exception as error:
            lines = traceback.format_exception(error)
            seen = {"ename": type(error).__name__, "evalue": str(error), "traceback": "".join(lines).splitlines()}
            self.picture.outputs = ({"output_type": "error", **seen},)
            raise

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if stills_wanted():
            return {"text/html": self._stills(), "text/plain": repr(self)}, {}
        data = {**self.box._repr_mimebundle_(**kwargs), "text/plain": repr(self)}
        (shown,) = self.picture.outputs
        if shown["output_type"] == "error":
            return data, {}
        # Where there is no kernel, as on GitHub, the picture is what is seen.
        image = Image.open(BytesIO(b64decode(shown["data"]["image/png"])))
        file, name = encoded(image.convert("RGB"))
        alt = f"The figure at the settings {self.code}"
        return {**data, f"image/{name}": b64encode(file).decode()}, {f"image/{name}": {"alt": alt}}

    def _stills(self) -> str:
        layout = KeptLayout()
        return stills(
            lambda values: layout.png(draw_once(self.draw, values)),
            lambda values: as_code(self.draw, values),
            self.controls,
            self._start,
        )

    def __repr__(self) -> str:
        return f"explore({self.draw.__name__}): run this cell to use the controls"


def as_code(function: Callable, values: Mapping[str, Any]) -> str:
    """The call of `function` with `values`.

    >>> as_code(max, {"default": 2.0, "key": None})
    'max(default=2.0, key=None)'
    """
    return f"{function.__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def draw_once(draw: Callable[..., Figure], values: Mapping[str, Any]) -> Figure:
    """The figure that `draw` returns; one made with pyplot is taken from it, since it would show it a second time."""
    figure = check_figure(f"{draw.__name__}()", draw(**values))
    if figure.canvas.manager is not None:
        from matplotlib import pyplot

        pyplot.close(figure)
    return figure


def timed(draw: Callable[..., Figure], values: Mapping[str, Any]) -> tuple[Figure, float]:
    """The figure and the seconds it took; of two calls if the first was slow, as a call is that loads and caches."""
    start = time.perf_counter()
    figure = draw_once(draw, values)
    seconds = time.perf_counter() - start
    if seconds > CONTINUOUS:
        start = time.perf_counter()
        figure = draw_once(draw, values)
        seconds = min(seconds, time.perf_counter() - start)
    return figure, seconds
