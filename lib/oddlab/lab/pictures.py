"""Pictures side by side: with one scale of colours for all, as heat maps over images, or as a strip of settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from oddlab.lab.figures import WIDTH, array, check_figure, heat_map, pixels, subplots
from oddlab.lab.widgets import draw_once

SIDE = 2.4
"""Inches: the largest side of one picture among several."""


def picture_grid(
    pictures: Sequence[torch.Tensor | np.ndarray],
    titles: Sequence[str] = (),
    *,
    cols: int = 4,
    limits: tuple[float, float] | None = None,
    label: str = "",
    cmap: str = "gray",
) -> Figure:
    """Pictures (H, W), or (3, H, W) in colours, in rows of `cols`, all with one scale of values.

    `limits` are the values at the ends of the scale, by default the smallest and largest of all pictures; with `label`
    a colour bar says what the values are. Raises `ValueError` for other shapes and for more titles than pictures.

    >>> figure = picture_grid([np.zeros((4, 4)), np.ones((4, 4))], ["zero", "one"], label="value")
    >>> [ax.get_title() for ax in figure.axes[:2]], figure.axes[0].images[0].get_clim()
    (['zero', 'one'], (0.0, 1.0))
    """
    arrays = [array(picture) for picture in pictures]
    if bad := [one.shape for one in arrays if one.ndim != 2 and not (one.ndim == 3 and len(one) == 3)]:
        raise ValueError(f"pictures: expected shapes (H, W) or (3, H, W), got {bad[0]}")
    figure, axes = _axes_for(len(arrays), titles, cols)
    low, high = limits or (min(one.min() for one in arrays), max(one.max() for one in arrays))
    for ax, one in zip(axes, arrays):
        drawn = ax.imshow(one if one.ndim == 2 else one.transpose(1, 2, 0), cmap=cmap, vmin=low, vmax=high)
    if label:
        figure.colorbar(drawn, ax=axes, label=label)
    return figure


def heat_map_grid(
    images: Sequence[torch.Tensor],
    anomaly_maps: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor | None] = (),
    titles: Sequence[str] = (),
    *,
    cols: int = 4,
    limits: tuple[float, float] | None = None,
    label: str = "anomaly score",
) -> Figure:
    """Heat maps over their images, in rows of `cols`, with one scale and its colour bar, and the outlines of `masks`.

    Shapes are those of :func:`oddlab.lab.heat_map`; `limits` are as for :func:`picture_grid`.

    >>> figure = heat_map_grid([np.zeros((3, 8, 8))] * 2, [np.zeros((4, 4)), np.ones((4, 4))])
    >>> [ax.images[1].get_clim() for ax in figure.axes[:2]]
    [(0.0, 1.0), (0.0, 1.0)]
    """
    if len(images) != len(anomaly_maps):
        raise ValueError(f"anomaly_maps: expected one for each of {len(images)} images, got {len(anomaly_maps)}")
    arrays = [array(one) for one in anomaly_maps]
    low, high = limits or (min(one.min() for one in arrays), max(one.max() for one in arrays))
    figure, axes = _axes_for(len(images), titles, cols)
    outlines = [*masks, *[None] * (len(images) - len(masks))]
    for ax, image, one, mask in zip(axes, images, arrays, outlines):
        drawn = heat_map(ax, image, one, mask, vmin=low, vmax=high)
    bar = figure.colorbar(drawn, ax=axes, label=label)
    bar.solids.set_alpha(1)
    return figure


def _axes_for(n: int, titles: Sequence[str], cols: int) -> tuple[Figure, list]:
    if not n:
        raise ValueError("pictures: expected at least one, got none")
    if len(titles) > n:
        raise ValueError(f"titles: expected at most one for each of {n} pictures, got {len(titles)}")
    cols = min(cols, n)
    rows = math.ceil(n / cols)
    side = min(SIDE, (WIDTH - 1) / cols)
    figure, axes = subplots(rows, cols, figsize=(side * cols + 1, (side + 0.3) * rows), squeeze=False)
    flat = list(axes.flat)
    for ax in flat:
        ax.set_axis_off()
    for ax, title in zip(flat, titles):
        ax.set_title(title)
    return figure, flat[:n]


def strip(draw: Callable[..., Figure], settings: Sequence[Mapping[str, Any]]) -> Figure:
    """The figures that `draw` makes with each of `settings`, side by side, each under its settings.

    It stands below :func:`oddlab.lab.explore`, for those who read where nothing can be moved.

    >>> def draw(sigma=1.0):
    ...     figure, ax = subplots()
    ...     return figure
    >>> figure = strip(draw, [{"sigma": 0.5}, {"sigma": 4.0}])
    >>> [ax.get_title() for ax in figure.axes]
    ['sigma = 0.5', 'sigma = 4.0']
    """
    if not settings:
        raise ValueError("settings: expected at least one, got none")
    drawn = [np.asarray(pixels(check_figure("draw()", draw_once(draw, values)))) for values in settings]
    cols = min(len(drawn), 2 if drawn[0].shape[1] > 1.5 * drawn[0].shape[0] else 3)
    rows = math.ceil(len(drawn) / cols)
    width = WIDTH / cols
    height = width * drawn[0].shape[0] / drawn[0].shape[1] + 0.3
    figure, axes = subplots(rows, cols, figsize=(WIDTH, height * rows), squeeze=False)
    figure.set_dpi(110)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture, values in zip(axes.flat, drawn, settings):
        ax.imshow(picture)
        ax.set_title(", ".join(f"{name} = {value}" for name, value in values.items()))
    return figure
