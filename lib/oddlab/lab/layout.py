"""Figures that one function draws again and again: their layout is made once, and kept while the text fits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from oddlab.lab.figures import png

PIXEL = 1.0
"""By how much text may outgrow the room that was kept for it."""


class KeptLayout:
    """Where the axes stand in the figures that one function draws.

    To lay a figure out takes matplotlib about as long as to draw it. And axes whose place is kept stand still while a
    slider moves, where they would else make room for every other tick label.

    >>> from oddlab.lab import subplots
    >>> layout = KeptLayout()
    >>> layout.png(subplots()[0]) == layout.png(subplots()[0])
    True
    """

    def __init__(self) -> None:
        self._places: list = []
        self._label_places: list = []
        self._room = np.zeros(0)

    def png(self, figure: Figure) -> bytes:
        """The figure as a PNG, its axes where those of the last one stood if it has as many and its text fits there."""
        engine = figure.get_layout_engine()
        if not isinstance(engine, ConstrainedLayoutEngine) or figure.legends or figure.subfigs:
            return png(figure)
        laid_out, labels = [ax for ax in figure.axes if ax.get_in_layout()], labels_of_all(figure)
        if (len(laid_out), len(labels)) == (len(self._places), len(self._label_places)):
            figure.set_layout_engine("none")
            for thing, place in zip((*laid_out, *labels), (*self._places, *self._label_places)):
                thing.set_position(place)
            picture = png(figure)
            if (room_of_text(figure) <= self._room + PIXEL).all():
                return picture
            figure.set_layout_engine(engine)
            for ax in laid_out:
                ax.set_in_layout(True)  # which `set_position` has ended
        picture = png(figure)
        self._places = [ax.get_position(original=True) for ax in laid_out]
        self._label_places = [label.get_position() for label in labels]
        self._room = room_of_text(figure)
        return picture


def labels_of_all(figure: Figure) -> list[Text]:
    """The title and labels of the whole figure, which are laid out with its axes.

    >>> from oddlab.lab import subplots
    >>> figure, ax = subplots()
    >>> title = figure.suptitle("over all")
    >>> labels_of_all(figure) == [title]
    True
    """
    written = {figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()} - {""}
    return [text for text in figure.texts if text.get_text() in written]


def room_of_text(figure: Figure) -> np.ndarray:
    """How far text reaches beyond the axes of a figure, in pixels to the left, below, to the right and above.

    For each of its axes, and then the heights of the labels of the whole figure.

    >>> from oddlab.lab import subplots
    >>> figure, ax = subplots()
    >>> before = room_of_text(figure)
    >>> _ = ax.set_ylabel("height")
    >>> (room_of_text(figure) > before).tolist()
    [True, False, False, False]
    """
    room = []
    for ax in figure.axes:
        inner = ax.get_window_extent()
        across, along = (extents(texts_of(axis)) for axis in (ax.yaxis, ax.xaxis))
        titles = extents(titles_of(ax))
        room += [
            max(0.0, inner.x0 - min((box.x0 for box in across), default=inner.x0)),
            max(0.0, inner.y0 - min((box.y0 for box in along), default=inner.y0)),
            max(0.0, max((box.x1 for box in across), default=inner.x1) - inner.x1),
            max(0.0, max((box.y1 for box in [*along, *titles]), default=inner.y1) - inner.y1),
        ]
    return np.array([*room, *(label.get_window_extent().height for label in labels_of_all(figure))])


def titles_of(ax: Axes) -> list[Text]:
    """Its titles on the left, in the middle and on the right."""
    written = {ax.get_title(loc) for loc in ("left", "center", "right")} - {""}
    return [child for child in ax.get_children() if isinstance(child, Text) and child.get_text() in written]


def texts_of(axis: Axis) -> list[Text]:
    """The label of an axis, what it writes at its end, and the labels of its ticks."""
    return [axis.label, axis.offsetText, *(label for tick in axis.majorTicks for label in (tick.label1, tick.label2))]


def extents(texts: list[Text]) -> list[Bbox]:
    """Where those of `texts` are that a drawn figure shows."""
    return [text.get_window_extent() for text in texts if text.get_visible() and text.get_text()]
