"""A small table of named numbers, each with its unit in the heading and, where there are several, its spread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

Cell = Any


class NumberTable:
    """A table that a notebook renders, and that prints as aligned text elsewhere.

    Args:
        rows: for each name its cells by their headings: a number, a text, or the numbers of several seeds, which are
            shown as mean ± standard deviation.
        digits: significant digits of a number, or decimals of a mean with its spread.

    Raises `ValueError` for rows with different headings.

    >>> NumberTable({"PaDiM": {"image AUROC": [0.95, 0.97], "fit (s)": 3.14}}, digits=3)
            image AUROC    fit (s)
    PaDiM   0.960 ± 0.014  3.14
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Cell]], digits: int = 3) -> None:
        headings = list(next(iter(rows.values()), {}))
        if other := [name for name, cells in rows.items() if list(cells) != headings]:
            raise ValueError(
                f"rows: expected the headings {headings} in each, got {list(rows[other[0]])} in {other[0]!r}"
            )
        self.lines = [["", *headings]]
        self.lines += [[name, *(shown(cells[heading], digits) for heading in headings)] for name, cells in rows.items()]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.lines)]
        widths[0] += 1
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in self.lines
        )

    def _repr_markdown_(self) -> str:
        # A bar would begin a new cell, as in |z|, and the other marks would be read as Markdown or HTML.
        heading, *lines = [[re.sub(r"([\\|*<`])", r"\\\1", cell) for cell in line] for line in self.lines]
        rule = ["---", *["---:"] * (len(heading) - 1)]
        return "\n".join("| " + " | ".join(line) + " |" for line in (heading, rule, *lines))


def shown(cell: Cell, digits: int) -> str:
    """A cell as text.

    >>> shown(1234.5, 3), shown(0.98765, 3), shown([0.5, 0.7], 2), shown(None, 3), shown(12, 3)
    ('1,234', '0.988', '0.60 ± 0.14', '', '12')
    """
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, Sequence) or getattr(cell, "ndim", 0) == 1:
        numbers = [float(number) for number in cell]
        spread = f" ± {stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
        return f"{mean(numbers):.{digits}f}{spread}"
    number = cell.item() if hasattr(cell, "item") else cell
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.0f}" if abs(number) >= 10**digits else f"{number:.{digits}g}"
