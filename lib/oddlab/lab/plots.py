"""Small plots that lessons share: seeds as dots, a training curve, a diagram of boxes and arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from oddlab.lab.figures import COLOURS, WIDTH, subplots


def seed_dots(values: Mapping[str, Sequence[float]], label: str, each: str = "seed") -> Figure:
    """The numbers of several seeds as dots, a row for each name in `values`, with their mean as a line.

    `label` is what the numbers are, with their unit, and `each` what a dot stands for, such as "split". Raises
    `ValueError` for a name without numbers.

    >>> figure = seed_dots({"PaDiM": [0.95, 0.96, 0.94], "DFM": [0.96, 0.95]}, "image AUROC")
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['PaDiM', 'DFM']
    """
    if empty := [name for name, numbers in values.items() if not len(numbers)]:
        raise ValueError(f"values: expected numbers for each name, got none for {empty[0]}")
    figure, ax = subplots(figsize=(min(WIDTH, 7), 1.4 + 0.45 * len(values)))
    for row, numbers in enumerate(values.values()):
        ax.plot(numbers, [row] * len(numbers), "o", color=COLOURS[0], alpha=0.6)
        ax.plot([np.mean(numbers)] * 2, [row - 0.3, row + 0.3], color=COLOURS[3], linewidth=2)
    ax.set_yticks(range(len(values)), list(values))
    ax.set(xlabel=f"{label}\n(a dot for each {each}, a line for their mean)", ylim=(len(values) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
    return figure


def loss_curve(losses: Mapping[str, Sequence[float]], label: str = "loss") -> Figure:
    """Losses over the steps of a training: a curve for each name ("training", "validation").

    A shorter curve is stretched over the same steps, as of a loss that is measured once in an epoch.

    >>> figure = loss_curve({"training": [3.0, 2.0, 1.5, 1.2], "validation": [3.0, 1.4]})
    >>> figure.axes[0].lines[1].get_xdata().tolist()
    [1.0, 4.0]
    """
    figure, ax = subplots(figsize=(6, 3.2))
    steps = max(map(len, losses.values()))
    for name, numbers in losses.items():
        ax.plot(np.linspace(1, steps, len(numbers)), numbers, label=name)
    ax.set(xlabel="step", ylabel=label)
    if len(losses) > 1:
        ax.legend()
    return figure


def diagram(
    boxes: Mapping[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    size: tuple = (),
) -> Figure:
    """Boxes with the names in `boxes` at their places, and arrows from one to the next, each with its word if any.

    A place is (column, row), with row 0 at the top; a line break in a name breaks its line. `size` is that of the
    figure in inches, by default 1.9 for each column and 1.1 for each row. Raises `ValueError` for an arrow to no box.

    >>> figure = diagram({"image": (0, 0), "features": (1, 0)}, [("image", "features", "network")])
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    ['image', 'features', 'network']
    """
    columns, rows = ([place[i] for place in boxes.values()] for i in (0, 1))
    wide, high = max(columns) - min(columns) + 1, max(rows) - min(rows) + 1
    figure, ax = subplots(figsize=size or (min(WIDTH, 1.9 * wide), 1.1 * high))
    ax.set(xlim=(min(columns) - 0.5, max(columns) + 0.5), ylim=(max(rows) + 0.5, min(rows) - 0.5))
    ax.set_axis_off()
    gaps = np.diff(np.unique(columns))
    half_width, half_height = 0.33 * min(gaps, default=1.0), 0.3
    for name, (x, y) in boxes.items():
        corner = (x - half_width, y - half_height)
        ax.add_patch(
            FancyBboxPatch(
                corner,
                2 * half_width,
                2 * half_height,
                boxstyle="round,pad=0,rounding_size=0.06",
                fc="#E8F1F8",
                ec=COLOURS[0],
            )
        )
        ax.text(x, y, name, ha="center", va="center", fontsize=10)
    for start, end, *word in arrows:
        if missing := [name for name in (start, end) if name not in boxes]:
            raise ValueError(f"arrows: expected names among {list(boxes)}, got {missing[0]!r}")
        (x0, y0), (x1, y1) = boxes[start], boxes[end]
        across = abs(x1 - x0) * half_height >= abs(y1 - y0) * half_width  # whether the arrow leaves by a side
        leave = (np.sign(x1 - x0) * half_width, 0) if across else (0, np.sign(y1 - y0) * half_height)
        tail, head = (x0 + leave[0], y0 + leave[1]), (x1 - leave[0], y1 - leave[1])
        ax.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": "#444444", "shrinkA": 0, "shrinkB": 0})
        if word:
            middle = ((tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2)
            offset, alignment = ((0, 4), ("center", "bottom")) if across else ((4, 0), ("left", "center"))
            ax.annotate(
                word[0], middle, offset, textcoords="offset points", ha=alignment[0], va=alignment[1], fontsize=9
            )
    return figure
