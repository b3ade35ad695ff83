"""The pictures under the sliders of pages without a kernel: which settings, how many, and what the page says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from oddlab.lab import explore, stills, subplots
from oddlab.lab.stills import BUDGET, FOLDER, choose, positions, spread

CONTROLS = {"n": (1, 40, 1, "steps"), "shift": (0.0, 1.0, 0.1), "kind": ["sin", "cos"], "grid": True}


def draw(n=3, shift=0.2, kind="sin", grid=True):
    figure, ax = subplots(figsize=(3, 2))
    x = np.linspace(0, 6, 50)
    ax.plot(x, getattr(np, kind)(n * x + shift))
    ax.grid(grid)
    ax.set_ylim(-1.2, 1.2)
    return figure


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The HTML of an explorer, and its folder of pictures of 400 KB at most."""
    folder = tmp_path_factory.mktemp("stills") / "13_a"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(FOLDER, str(folder))
        environment.setenv(BUDGET, "400000")
        data, _ = explore(draw, **CONTROLS)._repr_mimebundle_()
    return data["text/html"], folder


def data_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*)</script>', html)[1])


def test_every_setting_of_the_grid_has_its_picture(page):
    html, folder = page
    data = data_of(html)
    n_settings = len(data["codes"])
    lengths = [int(found) + 1 for found in re.findall(r' max="(\d+)"', html)]
    assert np.prod(lengths) * 2 * 2 == n_settings == len(data["pictures"])
    assert {path.name for path in folder.iterdir()} == set(data["names"])
    assert len(set(data["pictures"])) == n_settings  # no two settings look alike here
    assert 'src="../_static/stills/13_a/' in html


def test_the_pictures_stay_within_their_bytes(page):
    _, folder = page
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert len(sizes) > 36  # more than ends and starts alone
    assert sum(sizes) <= 400_000


def test_a_picture_is_that_of_its_setting(page):
    from oddlab.lab.layout import KeptLayout

    html, folder = page
    data = data_of(html)
    at = data["codes"].index("draw(n=40, shift=1.0, kind='cos', grid=False)")
    picture = KeptLayout().png(draw(40, 1.0, "cos", False))
    expected = [stills.encode(picture, options) for options in (stills.LOSSY, stills.LOSSLESS)]
    assert (folder / data["names"][data["pictures"][at]]).read_bytes() in expected


def test_start_is_among_the_settings_and_shown(page):
    html, _ = page
    data = data_of(html)
    at = data["codes"].index("draw(n=3, shift=0.2, kind='sin', grid=True)")
    assert f"/{data['names'][data['pictures'][at]]}" in re.search(r"<img[^>]*>", html)[0]
    assert "<output>0.2</output>" in html and "checked" in html and "<option selected>sin</option>" in html


def test_words_that_end_a_script_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "a"))

    def draw(text="</script>"):
        return subplots(figsize=(1, 1))[0]

    data, _ = explore(draw, text=["</script>", "<b>"])._repr_mimebundle_()
    assert data["text/html"].count("</script>") == 1
    assert data_of(data["text/html"])["codes"] == ["draw(text='</script>')", "draw(text='<b>')"]


def test_without_the_folder_an_explorer_is_a_widget():
    data, _ = explore(draw, **CONTROLS)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data


def test_positions_are_those_of_the_widgets():
    explorer = explore(draw, **CONTROLS)
    values = {name: positions(control) for name, control in explorer.controls.items()}
    assert values["n"] == list(range(1, 41))
    assert values["shift"] == [round(0.1 * i, 1) for i in range(11)]
    assert values["kind"] == ["sin", "cos"] and values["grid"] == [False, True]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("start", [0, 1, 6])
def test_spread_keeps_the_start_and_has_no_value_twice(n, start):
    chosen = spread(range(7), start, n)
    assert start in chosen and len(set(chosen)) == len(chosen) <= n
    if n >= 3:
        assert chosen[0] == 0 and chosen[-1] == 6


def test_choose_fills_its_grid():
    chosen = choose({"a": range(100), "b": range(100), "c": [False, True]}, {"a": 5, "b": 50, "c": True}, most=100)
    sizes = [len(those) for those in chosen.values()]
    assert 80 < np.prod(sizes) <= 100 and abs(sizes[0] - sizes[1]) <= 1
