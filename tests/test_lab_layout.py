"""Layouts that are kept from one figure to the next."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from oddlab.lab import subplots
from oddlab.lab.figures import png
from oddlab.lab.layout import KeptLayout


def figure(top=1.0, axes=2, title="left", colorbar=False):
    made, drawn = subplots(1, axes, squeeze=False)
    image = drawn[0, 0].imshow(np.arange(4).reshape(2, 2), aspect="auto")
    drawn[0, 0].set_title(title)
    drawn[0, -1].set(ylabel="height", ylim=(0, top))
    if colorbar:
        made.colorbar(image, ax=drawn[0, 0])
    return made


def places(made):
    return [ax.get_position().bounds for ax in made.axes]


@pytest.mark.parametrize("colorbar", [False, True])
def test_the_same_figure_looks_the_same_without_a_layout(colorbar, monkeypatch):
    layout = KeptLayout()
    first = layout.png(figure(colorbar=colorbar))
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", None)
    assert layout.png(figure(colorbar=colorbar)) == first


def test_axes_stand_still_while_their_text_fits():
    layout, first, second = KeptLayout(), figure(1000.0), figure(1.0)
    layout.png(first)
    layout.png(second)
    assert places(second) == places(first)
    alone = figure(1.0)
    png(alone)
    assert places(alone) != places(first)


@pytest.mark.parametrize(
    "other", [dict(top=1e5), dict(top=1e8), dict(axes=3), dict(title="two\nlines"), dict(colorbar=True)]
)
def test_what_needs_more_room_gets_it_and_keeps_it(other):
    layout, wanted, got, later = KeptLayout(), figure(**other), figure(**other), figure(**other)
    png(wanted)
    layout.png(figure())
    layout.png(got)
    assert np.allclose(places(got), places(wanted), atol=2e-3)
    layout.png(later)
    assert np.allclose(places(later), places(got))


def test_axes_that_are_in_no_layout_stay_where_they_were_put():
    layout = KeptLayout()
    for top, corner in [(1.0, 0.3), (1.0, 0.4), (1e5, 0.5)]:
        made = figure(top)
        inset = made.add_axes((corner, 0.5, 0.1, 0.1))
        inset.set_in_layout(False)
        layout.png(made)
        assert inset.get_position().x0 == pytest.approx(corner)


@pytest.mark.parametrize(("title", "fits"), [("one line", True), ("two\nlines", False)])
def test_a_title_over_all_axes_keeps_its_place_while_it_fits(title, fits):
    layout, alone = KeptLayout(), figure()
    for words in ("a line", title):
        made = figure()
        shown = made.suptitle(words)
        picture = layout.png(made)
        if words == "a line":
            first = shown.get_position(), places(made)
    alone.suptitle(title)
    assert picture == png(alone)
    assert ((shown.get_position(), places(made)) == first) == fits


def test_a_figure_with_a_layout_of_its_own_keeps_it():
    layout, made = KeptLayout(), [Figure(), Figure()]
    for number, one in enumerate(made):
        one.add_axes((0.1 * (number + 1), 0.1, 0.5, 0.5))
        layout.png(one)
    assert places(made[0]) != places(made[1])
