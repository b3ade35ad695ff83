"""Figures that one function draws again and again: their layout is made once, and kept while the text fits."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from oddlab.lab.figures import png


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
        self._lengths: list[int] = []

    def png(self, figure: Figure) -> bytes:
        """The figure as a PNG, its axes where those of the last one stood if it has as many and no longer text."""
        engine = figure.get_layout_engine()
        if not isinstance(engine, ConstrainedLayoutEngine) or figure.legends or figure.subfigs:
            return png(figure)
        laid_out, labels = [ax for ax in figure.axes if ax.get_in_layout()], labels_of_all(figure)
        if (len(laid_out), len(labels)) == (len(self._places), len(self._label_places)):
            figure.set_layout_engine("none")
            for thing, place in zip((*laid_out, *labels), (*self._places, *self._label_places)):
                thing.set_position(place)
            picture = png(figure)
            if all(now <= then for now, then in zip(text_lengths(figure), self._lengths)):
                return picture
            figure.set_layout_engine(engine)
            for ax in laid_out:
                ax.set_in_layout(True)  # which `set_position` has ended
        picture = png(figure)
        self._places = [ax.get_position(original=True) for ax in laid_out]
        self._label_places = [label.get_position() for label in labels]
        self._lengths = text_lengths(figure)
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


def text_lengths(figure: Figure) -> list[int]:
    """What decides how much room the axes of a drawn figure need: characters of tick labels, lines of all else.

    >>> from oddlab.lab import subplots
    >>> figure, ax = subplots()
    >>> _ = ax.set(title="two\\nlines", xlabel="x", ylim=(0, 1000))
    >>> _ = png(figure)
    >>> text_lengths(figure)  # of titles; of the x-axis's label, offset and ticks; of the y-axis's
    [0, 2, 0, 1, 0, 3, 0, 0, 4]
    """
    lengths = [lines(label.get_text()) for label in labels_of_all(figure)]
    for ax in figure.axes:
        lengths += [lines(ax.get_title(loc)) for loc in ("left", "center", "right")]
        for axis in (ax.xaxis, ax.yaxis):
            longest = max((len(tick.label1.get_text()) for tick in axis.majorTicks), default=0)
            lengths += [lines(axis.label.get_text()), lines(axis.get_offset_text().get_text()), longest]
    return lengths


def lines(text: str) -> int:
    return len(text.splitlines())
