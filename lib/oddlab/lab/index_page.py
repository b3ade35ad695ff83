"""The index page of a run: one card for each notebook, in a single file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oddlab.lab.parameters import read_notebook
from oddlab.lab.result import Result

MARKS = {"ok": "✓", "failed": "✗", "interrupted": "■", "running": "…", "waiting": "·"}

STYLE = """
:root { color-scheme: light dark; --page: #f4f5f7; --card: #fff; --ink: #1c2026; --soft: #5b6470; --line: #dfe3e8;
  --ok: #17703a; --failed: #b3261e; --interrupted: #8a5a00; --running: #5b6470; --waiting: #5b6470; --link: #0b57c2 }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1e2228; --ink: #e8eaed; --soft: #a4adb8;
  --line: #343a42; --ok: #6fd08c; --failed: #ff8a80; --interrupted: #f0b44c; --running: #a4adb8; --waiting: #a4adb8;
  --link: #8ab4f8 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
header, main { max-width: 1280px; margin: 0 auto; padding: 24px }
header { padding-bottom: 0 }
h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 17px; line-height: 1.3; margin: 0 }
p { margin: 0 } .soft { color: var(--soft); font-size: 13px }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 360px), 1fr)); gap: 20px;
  align-items: start }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden }
article > div { padding: 14px 16px; display: grid; gap: 8px }
img { display: block; width: 100%; padding: 8px; background: #fff; border-bottom: 1px solid var(--line) }
.status { font-weight: 600 }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; font-weight: 400; color: var(--soft); padding: 3px 12px 3px 0 }
td { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
tr { border-top: 1px solid var(--line) }
pre { margin: 0; padding: 8px 10px; max-height: 220px; overflow: auto; white-space: pre-wrap; font-size: 12.5px;
  border-left: 3px solid var(--failed); background: var(--page) }
a { color: var(--link) } summary { cursor: pointer; color: var(--soft); font-size: 13px }
"""


def index_page(out: Path, results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """The page as HTML. Figures are read from the executed notebooks in `out`; `about` is what `describe_run` gives."""
    done = sum(result.status == "ok" for result in results)
    versions = " · ".join(f"{name} {version}" for name, version in about["versions"].items())
    cards = "\n".join(card(out, result) for result in results)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>oddlab run of {escape(about["date"])}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>oddlab: {done} of {len(results)} notebooks ok</h1>
<p class="soft">{escape(about["date"])} · {escape(" · ".join(about["devices"]))}</p>
<p class="soft">{escape(versions)}</p>
</header>
<main>
{cards}
</main>
</body>
</html>
"""


def card(out: Path, result: Result) -> str:
    """One notebook's card as HTML."""
    heading = escape(result.title or result.name)
    facts = f"{result.cells_done} of {result.cells} cells · {result.seconds:.1f} s · {megabytes(result.peak_memory)}"
    name = escape(result.name)
    if result.output:
        name = f'<a href="{quote(result.output)}">{escape(result.output)}</a>'
    errors = "".join(f"<pre>{escape(describe_error(error))}</pre>" for error in result.errors)
    parameters = table(result.parameters, repr)
    if parameters:
        parameters = f"<details><summary>Parameters</summary>{parameters}</details>"
    mark = MARKS[result.status]
    return f"""<article>
{figure(out, result)}<div>
<h2>{heading}</h2>
<p><span class="status" style="color: var(--{result.status})">{mark} {result.status}</span>
<span class="soft">{facts}</span></p>
{errors}{table(result.numbers, number)}{parameters}
<p class="soft">{name}</p>
</div>
</article>"""


def figure(out: Path, result: Result) -> str:
    """The key figure of an executed notebook as an `img`, or nothing."""
    from oddlab.lab.figures import key_figure

    if not result.output or not (out / result.output).is_file():
        return ""
    notebook = read_notebook(out / result.output)
    found = key_figure(notebook)
    if found is None:
        return ""
    source, alt = found
    return f'<img src="{source}" alt="{escape(alt or "Key figure of " + result.name)}">\n'


def table(rows: Mapping[str, Any], show: Any) -> str:
    """A table of names and values as HTML, nothing if there are none."""
    cells = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(show(v))}</td></tr>' for k, v in rows.items())
    return f"<table>{cells}</table>" if cells else ""


def number(value: Any) -> str:
    """A number as it is shown.

    >>> number(0.95123456), number(40), number(31000.0)
    ('0.9512', '40', '31000')
    """
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def megabytes(count: int) -> str:
    """Bytes as megabytes, to be read.

    >>> megabytes(431_000_000)
    '431 MB'
    """
    return f"{count / 1e6:.0f} MB"


def describe_error(error: Mapping[str, Any]) -> str:
    """One error as it is reported: where, what, why.

    >>> describe_error({"cell": 3, "ename": "ValueError", "evalue": "no"})
    'In [3]: ValueError: no'
    """
    where = "" if error["cell"] is None else f"In [{error['cell']}]: "
    return f"{where}{error['ename']}: {error['evalue']}"
