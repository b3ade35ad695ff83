"""Controls, and the figures they belong to, without a kernel."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import ipywidgets
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from oddlab.lab import corners, explore, subplots, widgets
from oddlab.lab.controls import make_control


def draw(sigma=2.0, k=3, border="reflect", outline=True):
    draw.calls.append((sigma, k, border, outline))
    return subplots()[0]


CONTROLS = {"sigma": (0.5, 8.0, 0.5, "pixels"), "k": (1, 9), "border": ["reflect", "constant"], "outline": True}
START = (2.0, 3, "reflect", True)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    # A first draw that takes long is timed once more; on a busy machine any draw may.
    set_clock(monkeypatch, (0.0,) * 9)
    draw.calls = []
    return draw.calls


class TestControls:
    def test_each_kind_has_its_widget(self):
        controls = explore(draw, **CONTROLS).controls
        kinds = [ipywidgets.FloatSlider, ipywidgets.IntSlider, ipywidgets.Dropdown, ipywidgets.Checkbox]
        assert [type(control) for control in controls.values()] == kinds
        assert tuple(control.value for control in controls.values()) == START
        assert [control.description for control in controls.values()] == ["sigma (pixels)", "k", "border", "outline"]
        assert {control.style.description_width for control in controls.values()} == {"initial"}
        assert (controls["sigma"].min, controls["sigma"].max, controls["sigma"].step) == (0.5, 8.0, 0.5)

    @pytest.mark.parametrize(
        ("control", "start", "step", "shown"),
        [
            ((0.0, 1.0), 0.5, 0.01, ".2f"),
            ((0.5, 8.0), 2.0, 0.1, ".1f"),
            ((0, 200.0), 50.0, 10.0, ".0f"),
            ((0.0, 1e-3, 1e-5), 1e-4, 1e-5, ".5f"),
            ((0.25, 4.0, 0.5), 0.75, 0.5, ".2f"),
        ],
    )
    def test_steps_of_floats(self, control, start, step, shown):
        slider = make_control("x", control, start, width=200, continuous=True)
        assert slider.step == pytest.approx(step)
        assert slider.readout_format == shown

    def test_a_float_has_the_digits_that_are_shown(self, calls):
        explorer = explore(draw, sigma=(0.5, 8.0, 0.1))
        explorer.controls["sigma"].value = 5.500000000000001
        assert calls[-1][0] == 5.5
        assert explorer.code == "draw(sigma=5.5)"

    @pytest.mark.parametrize(
        ("controls", "message"),
        [
            ({}, "controls: expected 1 to 4, got 0"),
            ({"sgima": (1.0, 2.0)}, r"sgima: expected a parameter of draw .* default \(sigma, k, border, outline\)"),
            ({"sigma": (3.0, 8.0)}, "sigma: expected a default that is a number from 3.0 to 8.0, got 2.0"),
            ({"sigma": (8.0, 0.5)}, "sigma: expected .*low < high .*got"),
            ({"sigma": (0.5, 8.0, 0)}, "sigma: expected .*0 < step"),
            ({"sigma": (0.5, 8.0, 9.0)}, "sigma: expected .*step <= high - low"),
            ({"sigma": (0.5, 8.0, "pixels")}, "sigma: expected .*'unit'"),
            ({"sigma": (0.5, float("inf"))}, "sigma: expected .*got"),
            ({"sigma": (0.5,)}, "sigma: expected .*got"),
            ({"sigma": (0.5, 8.0, 0.5, "pixels", 3)}, "sigma: expected .*got"),
            ({"border": (1, 9)}, "border: expected a default that is an int from 1 to 9, got 'reflect'"),
            ({"border": ["constant", "wrap"]}, r"border: expected choices with its default, 'reflect', got"),
            ({"outline": False}, "outline: expected True as its default is, got False"),
            ({"k": True}, "k: expected 3 as its default is, got True"),
        ],
    )
    @pytest.mark.parametrize("function", [explore, corners])
    def test_what_does_not_fit_is_refused_before_anything_is_drawn(self, calls, function, controls, message):
        with pytest.raises(ValueError, match=message):
            function(draw, **controls)
        assert calls == []

    def test_more_refusals(self):
        with pytest.raises(ValueError, match="controls: expected 1 to 4, got 5: a, b, c, d, e"):
            explore(draw, **dict.fromkeys("abcde", (0, 1)))
        with pytest.raises(TypeError, match="sigma: expected a tuple for a slider, a list of choices or a bool, got 3"):
            explore(draw, sigma=3)
        with pytest.raises(TypeError, match="draw: expected a function with a name, got <function"):
            explore(lambda k=1: Figure(), k=(1, 2))
        with pytest.raises(ValueError, match=r"k: expected a parameter of needs that has a default \(none\)"):
            explore(needs, k=(1, 2))


def needs(k):
    return Figure()


class TestExplore:
    def test_draws_once_at_the_start(self, calls):
        explore(draw, **CONTROLS)
        assert calls == [START]

    def test_a_moved_control_draws_with_all_values(self, calls):
        controls = explore(draw, **CONTROLS).controls
        controls["border"].value = "constant"
        controls["k"].value = 9
        assert calls[1:] == [(2.0, 3, "constant", True), (2.0, 9, "constant", True)]

    def test_reset_restores_everything_and_draws_once(self, calls):
        explorer = explore(draw, **CONTROLS)
        for name, value in {"sigma": 8.0, "k": 1, "border": "constant", "outline": False}.items():
            explorer.controls[name].value = value
        explorer.reset()
        assert tuple(control.value for control in explorer.controls.values()) == START
        assert len(calls) == 6
        assert calls[-1] == START

    def test_reset_brings_the_first_picture_back_where_the_axes_had_to_move(self):
        def plot(top=1):
            figure, ax = subplots()
            ax.set_ylim(0, top)
            return figure

        explorer = explore(plot, top=(1, 100_000))
        first = explorer.picture.outputs
        explorer.controls["top"].value = 100_000
        explorer.controls["top"].value = 1
        assert explorer.picture.outputs != first
        explorer.reset()
        assert explorer.picture.outputs == first

    def test_the_code_draws_the_same(self, calls):
        explorer = explore(draw, **CONTROLS)
        explorer.controls["border"].value = "constant"
        assert explorer.code == "draw(sigma=2.0, k=3, border='constant', outline=True)"
        eval(explorer.code, {"draw": draw})
        assert calls[-1] == calls[-2]

    @pytest.mark.parametrize(("seconds", "follows"), [((0.1,), True), ((0.2, 0.1), True), ((0.2, 0.3), False)])
    def test_the_better_of_two_draws_decides_whether_it_follows(self, monkeypatch, seconds, follows):
        set_clock(monkeypatch, seconds)
        explorer = explore(draw, **CONTROLS)
        assert explorer.controls["sigma"].continuous_update is follows
        assert "Draw" not in descriptions(explorer)

    def test_a_very_slow_draw_waits_for_a_button(self, monkeypatch, calls):
        set_clock(monkeypatch, (9.0, 2.5))
        explorer = explore(draw, **CONTROLS)
        explorer.controls["k"].value = 9
        assert calls == [START, START]
        button = next(w for w in buttons(explorer) if w.description == "Draw")
        button.click()
        assert calls[2:] == [(2.0, 9, "reflect", True)]
        assert explorer.code == "draw(sigma=2.0, k=9, border='reflect', outline=True)"
        explorer.reset()
        assert calls[3:] == [START]

    def test_a_draw_that_fails_at_the_start_raises_here(self):
        def fails(k=1):
            raise KeyError("no such thing")

        def returns_nothing(k=1):
            subplots()

        def cannot_be_rendered(k=1):
            figure, ax = subplots()
            ax.set_title(r"$\frac{$")
            return figure

        with pytest.raises(KeyError, match="no such thing"):
            explore(fails, k=(1, 2))
        with pytest.raises(TypeError, match=r"returns_nothing\(\): expected a matplotlib Figure, got NoneType"):
            explore(returns_nothing, k=(1, 2))
        with pytest.raises(ValueError, match="frac"):
            explore(cannot_be_rendered, k=(1, 2))

    def test_pyplot_does_not_keep_its_figures(self):
        def with_pyplot(k=1):
            return pyplot.subplots()[0]

        kept = pyplot.figure()
        explore(with_pyplot, k=(1, 2)).controls["k"].value = 2
        corners(with_pyplot, k=(1, 2))
        assert pyplot.get_fignums() == [kept.number]
        pyplot.close(kept)

    def test_a_saved_notebook_says_what_to_do(self):
        bundle, metadata = explore(draw, k=(1, 9))._repr_mimebundle_()
        assert bundle["text/plain"] == "explore(draw): run this cell to use the controls"
        assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json", "image/png"}
        picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
        assert picture.size == tuple(subplots()[0].get_size_inches() * subplots()[0].dpi)
        assert metadata["image/png"]["alt"] == "The figure at the settings draw(k=3)"

    def test_what_cannot_be_drawn_is_not_stored(self):
        def fails(k=1):
            if k > 1:
                raise ValueError("too large")
            return subplots()[0]

        explorer = explore(fails, k=(1, 9))
        with pytest.raises(ValueError):
            explorer.controls["k"].value = 5
        assert "image/png" not in explorer._repr_mimebundle_()[0]


def set_clock(monkeypatch, seconds: tuple[float, ...]) -> None:
    """Let the draws that are timed seem to take so many seconds."""
    ticks = iter([tick for duration in seconds for tick in (0.0, duration)])
    monkeypatch.setattr(widgets, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


def buttons(explorer) -> list[ipywidgets.Button]:
    def below(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from below(child)

    return [widget for widget in below(explorer.box) if isinstance(widget, ipywidgets.Button)]


def descriptions(explorer) -> list[str]:
    return [button.description for button in buttons(explorer)]


class TestCorners:
    def test_every_combination_is_drawn(self, calls, capsys):
        corners(draw, **CONTROLS)
        assert capsys.readouterr().out == "16 corners drawn\n"
        assert len(set(calls)) == len(calls) == 16
        assert {call[0] for call in calls} == {0.5, 8.0}
        assert {call[1] for call in calls} == {1, 9}

    def test_all_choices_of_a_list_are(self, capsys):
        corners(draw, border=["reflect", "a", "b"], k=(1, 9))
        assert capsys.readouterr().out == "6 corners drawn\n"

    def test_the_corner_that_fails_is_named(self):
        def fails(sigma=2.0, k=3):
            if sigma == 8.0 and k == 1:
                raise ZeroDivisionError("k is too small")
            return Figure()

        message = r"fails\(sigma=8.0, k=1\) raised ZeroDivisionError: k is too small"
        with pytest.raises(RuntimeError, match=message) as error:
            corners(fails, sigma=(0.5, 8.0), k=(1, 9))
        assert isinstance(error.value.__cause__, ZeroDivisionError)

    def test_so_is_one_without_a_figure(self):
        def draws_nothing_at_9(k=3):
            return Figure() if k < 9 else None

        with pytest.raises(RuntimeError, match=r"draws_nothing_at_9\(k=9\) raised TypeError: .* got NoneType"):
            corners(draws_nothing_at_9, k=(1, 9))
