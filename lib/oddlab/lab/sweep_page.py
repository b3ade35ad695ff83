"""The page of a sweep: its table, sortable, a curve of every number over each swept parameter, and the key figures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from oddlab.lab.index_page import STYLE, figure, number
from oddlab.lab.result import Result

if TYPE_CHECKING:
    import pandas

SEED = "seed"
"""The parameter whose values are repetitions of one setting: there is no curve over it, and the spread is over it."""

SHOWN = 60
"""Runs whose key figures are shown; more would make a page too large to open."""

MORE_STYLE = """
section { max-width: 1280px; margin: 0 auto; padding: 0 24px 24px; overflow-x: auto }
section table { background: var(--card) } section th, section td { padding: 5px 10px; text-align: right }
th button { all: unset; cursor: pointer; color: var(--link) } th button:focus-visible { outline: 2px solid var(--link) }
.curves img { width: auto; max-width: 100% } td.failed { color: var(--failed) }
"""

SORT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const column = button.closest("th").cellIndex, up = button.dataset.up !== "yes";
  button.dataset.up = up ? "yes" : "no";
  const key = row => row.cells[column].dataset.value ?? row.cells[column].innerText;
  const less = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const body = document.querySelector("section tbody");
  body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * less(key(a), key(b))));
};
"""


def sweep_page(
    out: Path, names: Sequence[str], results: Sequence[Result], table: pandas.DataFrame, about: Mapping[str, Any]
) -> str:
    """The page as HTML, in a single file; figures are read from the executed notebooks in `out`."""
    done = sum(result.status == "ok" for result in results)
    versions = " · ".join(f"{name} {version}" for name, version in about["versions"].items())
    title = results[0].title if results else ""
    cards = "\n".join(_card(out, result) for result in results[:SHOWN])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>oddlab sweep of {escape(about["date"])}</title>
<style>{STYLE}{MORE_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}: {done} of {len(results)} runs ok</h1>
<p class="soft">{escape(about["date"])} · {escape(" · ".join(about["devices"]))}</p>
<p class="soft">{escape(versions)} · <a href="table.csv">table.csv</a></p>
</header>
<section class="curves"><h2>Numbers over parameters</h2>{"".join(curves(names, table))}</section>
<section><h2>Runs</h2>{_table(results, table)}</section>
<main>
{cards}
</main>
<script>{SORT}</script>
</body>
</html>
"""


def curves(names: Sequence[str], table: pandas.DataFrame) -> list[str]:
    """For each swept parameter but the seed, one picture with a curve of every number over it, as an `img`."""
    swept = [name for name in names if name != SEED and table[name].astype(str).nunique() > 1]
    whole = table[table["status"] == "ok"]
    recorded = [
        name
        for name in [*table.columns[len(names) + 1 : -3], "seconds", "MB"]
        if whole[name].map(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)).all()
    ]
    return [_curves_over(name, recorded, whole) for name in swept] if len(whole) else []


def _curves_over(parameter: str, recorded: Sequence[str], table: pandas.DataFrame) -> str:
    from matplotlib.figure import Figure

    cols = min(4, len(recorded))
    rows = math.ceil(len(recorded) / cols)
    drawn = Figure(figsize=(3.1 * cols, 2.5 * rows), layout="constrained", dpi=110)
    axes = list(drawn.subplots(rows, cols, squeeze=False).flat)
    groups = table.groupby(table[parameter].map(str), sort=False)
    values = [group[parameter].iloc[0] for _, group in groups]
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    places = values if is_number else range(len(values))
    for ax, name in zip(axes, recorded):
        mean = [group[name].astype(float).mean() for _, group in groups]
        spread = [group[name].astype(float).std(ddof=1) if len(group) > 1 else 0.0 for _, group in groups]
        ax.errorbar(places, mean, yerr=spread, fmt="o-" if is_number else "o", capsize=3)
        ax.set(title=name, xlabel=parameter)
        if is_number and min(values) > 0 and max(values) / min(values) >= 20:
            ax.set_xscale("log")
        if not is_number:
            ax.set_xticks(list(places), [str(value) for value in values])
    for ax in axes[len(recorded) :]:
        ax.set_axis_off()
    stored = io.BytesIO()
    drawn.savefig(stored, format="png")
    picture = base64.b64encode(stored.getvalue()).decode()
    alt = f"{', '.join(recorded)} over {parameter}: mean and standard deviation of the runs with each value"
    return f'<img src="data:image/png;base64,{picture}" alt="{escape(alt)}">\n'


def _table(results: Sequence[Result], table: pandas.DataFrame) -> str:
    heads = "".join(f'<th scope="col"><button>{escape(str(name))}</button></th>' for name in table.columns)
    rows = []
    for result, row in zip(results, table.itertuples(index=False)):
        cells = "".join(_cell(name, value, result) for name, value in zip(table.columns, row))
        rows.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table>"


def _cell(name: str, value: Any, result: Result) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "<td></td>"
    if name == "status":
        shown = escape(str(value))
        linked = f'<a href="{quote(result.output)}">{shown}</a>' if result.output else shown
        return f'<td class="{shown}">{linked}</td>'
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    exact = f' data-value="{value!r}"' if is_number else ""
    return f"<td{exact}>{escape(number(value) if is_number else str(value))}</td>"


def _card(out: Path, result: Result) -> str:
    drawn = figure(out, result)
    return f"<article>{drawn}<div><p>{escape(result.name)}</p></div></article>" if drawn else ""
