"""Figures, and numbers that are recorded."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from oddlab.lab import figures, heat_map, record, show, subplots
from oddlab.lab.figures import WIDTH, key_figure, of_256_colours, png, use_defaults


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)


class TestSubplots:
    def test_pyplot_does_not_hold_them(self):
        figure, ax = subplots()
        assert type(figure) is Figure
        assert ax.figure is figure
        assert pyplot.get_fignums() == []

    @pytest.mark.parametrize("rows", [1, 3])
    @pytest.mark.parametrize("cols", [1, 2, 3, 6])
    def test_size_follows_from_rows_and_columns(self, rows, cols):
        figure, axes = subplots(rows, cols, squeeze=False)
        assert axes.shape == (rows, cols)
        width, height = figure.get_size_inches()
        assert width <= WIDTH
        assert 0.7 <= (height / rows) / (width / cols) <= 1

    def test_takes_what_pyplot_takes(self):
        figure, axes = subplots(1, 2, figsize=(5, 2), sharey=True, width_ratios=[1, 3])
        assert tuple(figure.get_size_inches()) == (5, 2)
        axes[0].set_ylim(0, 7)
        assert axes[1].get_ylim() == (0, 7)

    def test_defaults(self):
        with matplotlib.rc_context():
            use_defaults()
            assert pixels(subplots(figsize=(4, 3))[0]).shape == (240, 320, 3)
            assert not subplots()[1].spines["top"].get_visible()


class TestShow:
    def test_prints_the_sentence_where_there_are_no_pictures(self, capsys):
        show(subplots()[0], "An empty pair of axes.")
        assert capsys.readouterr().out == "An empty pair of axes.\n"

    @pytest.mark.parametrize("alt", ["", "  ", "plot", "a plot", None])
    def test_refuses_what_is_no_sentence(self, alt):
        with pytest.raises(ValueError, match="alt: expected a sentence that says what the figure shows, got"):
            show(subplots()[0], alt)

    def test_refuses_what_is_no_figure(self):
        with pytest.raises(TypeError, match="figure: expected a matplotlib Figure, got tuple"):
            show(subplots(), "A figure and its axes.")

    def test_there_may_be_no_key_figure(self):
        cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [{"output_type": "stream", "text": ""}]}]
        assert key_figure({"cells": cells}) is None


class TestHeatMap:
    @pytest.mark.parametrize("shape", [(3, 20, 30), (20, 30)])
    def test_what_is_anomalous_is_covered_and_the_rest_is_clear(self, shape):
        figure, ax = subplots(figsize=(3, 2))
        scores = torch.zeros(20, 30)
        scores[5:10, 20:25] = 9
        heat_map(ax, torch.full(shape, 0.5), scores)
        image = pixels(figure)
        grey = (image.max(axis=2) - image.min(axis=2)) <= 2
        assert np.isin(image[grey], [127, 128]).any()
        colourful = np.argwhere(~grey).mean(axis=0) / image.shape[:2]
        # Its middle is at row 7.5 of 20 and column 22.5 of 30; constrained layout leaves thin margins.
        assert colourful == pytest.approx([7.5 / 20, 22.5 / 30], abs=0.05)

    def test_a_small_map_covers_the_whole_image(self):
        _, ax = subplots()
        drawn = heat_map(ax, np.zeros((3, 64, 48)), np.eye(4))
        assert drawn.get_extent() == [-0.5, 47.5, 63.5, -0.5]
        assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 47.5), (63.5, -0.5))

    def test_limits(self):
        _, ax = subplots()
        assert heat_map(ax, np.zeros((4, 4)), np.arange(16.0).reshape(4, 4), vmin=2, vmax=5).get_clim() == (2, 5)
        figure, ax = subplots()
        figure.colorbar(heat_map(ax, np.zeros((4, 4)), np.full((4, 4), 3.0)))
        png(figure)

    def test_the_outline_closes_where_the_mask_touches_the_border(self):
        _, ax = subplots()
        mask = torch.zeros(8, 8, dtype=torch.bool)
        mask[:4, :4] = True
        heat_map(ax, torch.zeros(3, 16, 16), torch.rand(8, 8), mask)
        [outline] = ax.collections[0].get_paths()
        assert outline.get_extents().get_points() == pytest.approx(np.array([[-0.5, -0.5], [7.5, 7.5]]))
        assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 15.5), (15.5, -0.5))

    def test_an_empty_mask_has_no_outline(self):
        _, ax = subplots()
        heat_map(ax, torch.zeros(3, 8, 8), torch.rand(8, 8), torch.zeros(8, 8))
        assert len(ax.collections) == 0

    def test_half_precision_and_gradients(self):
        image = torch.rand(3, 8, 8, dtype=torch.bfloat16, requires_grad=True)
        heat_map(subplots()[1], image, image[0] * 2)

    @pytest.mark.parametrize(
        ("image", "scores", "mask", "message"),
        [
            (np.zeros((4, 8, 8)), np.zeros((8, 8)), None, r"image: expected .* or \(H, W\), got \(4, 8, 8\)"),
            (np.zeros((1, 3, 8, 8)), np.zeros((8, 8)), None, "image: expected shape"),
            (np.full((8, 8), 255), np.zeros((8, 8)), None, r"image: expected values in \[0, 1\], got 255 to 255"),
            (np.full((8, 8), np.nan), np.zeros((8, 8)), None, "image: expected values in"),
            (np.zeros((8, 8)), np.zeros((1, 8, 8)), None, r"anomaly_map: expected finite values of shape \(h, w\)"),
            (np.zeros((8, 8)), np.full((8, 8), np.nan), None, r"got \(8, 8\), 64 not finite"),
            (np.zeros((8, 8)), np.zeros((8, 8)), np.ones((1, 8, 8)), r"mask: expected shape \(h, w\), got \(1, 8, 8\)"),
        ],
    )
    def test_refuses(self, image, scores, mask, message):
        with pytest.raises(ValueError, match=message):
            heat_map(subplots()[1], image, scores, mask)


class TestRecord:
    @pytest.mark.parametrize(
        ("value", "line"),
        [
            (0.97125, "x 0.9712"),
            (3.1, "x 3.1"),
            (123456.0, "x 123500"),
            (1234567, "x 1234567"),
            (2.0, "x 2"),
            (1e-5, "x 1e-05"),
            (True, "x True"),
            ("cpu", "x cpu"),
            (torch.tensor(0.5, dtype=torch.bfloat16), "x 0.5"),
            (torch.tensor(7), "x 7"),
            (np.float32(0.25), "x 0.25"),
            (np.bool_(False), "x False"),
        ],
    )
    def test_shows_a_plain_line(self, capsys, value, line):
        record(x=value)
        assert capsys.readouterr().out == f"{line}\n"

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (torch.ones(1), r"auroc: expected a number, bool or str, got Tensor of shape \(1,\)"),
            (np.ones(2), r"auroc: expected a number, bool or str, got ndarray of shape \(2,\)"),
            ([0.9], "auroc: expected a number, bool or str, got list"),
            (None, "auroc: expected a number, bool or str, got NoneType"),
            (1j, "auroc: expected a number, bool or str, got complex"),
        ],
    )
    def test_refuses_what_is_no_number(self, value, message):
        with pytest.raises(TypeError, match=message):
            record(seconds=1.0, auroc=value)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("nan")), np.float64("-inf")])
    def test_refuses_nan_by_name(self, capsys, value):
        with pytest.raises(ValueError, match="auroc: expected a finite number, got"):
            record(seconds=1.0, auroc=value)
        assert capsys.readouterr().out == ""


def test_256_colours_keep_a_colour_bar_and_pale_areas():
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.6))
    generator = torch.Generator().manual_seed(0)
    heat = torch.nn.functional.interpolate(80 * torch.rand(1, 1, 8, 8, generator=generator), size=128, mode="bicubic")
    grey = torch.rand(1, 128, 128, generator=generator).expand(3, -1, -1)
    bar = figure.colorbar(heat_map(left, grey, heat[0, 0], vmin=30, vmax=80), ax=left)
    for k in range(6):
        right.fill_between([0, 1], -k, k, alpha=0.2)
    image = figures.pixels(figure)
    difference = np.abs(np.asarray(image, dtype=int) - np.asarray(of_256_colours(image).convert("RGB"), dtype=int))
    difference = difference.max(axis=2)
    for ax, most in ((bar.ax, 20), (right, 6)):
        first, bottom, last, top = map(int, ax.get_window_extent().extents)
        inside = difference[image.height - top + 2 : image.height - bottom - 2, first + 2 : last - 2]
        assert np.percentile(inside, 99) <= most, (ax, inside.max())
    assert difference[0, 0] == 0
