"""How a run is shown while it goes on: a live table in a terminal, else one line for each finished notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from oddlab.lab.index_page import MARKS, describe_error, megabytes
from oddlab.lab.result import Result

if TYPE_CHECKING:
    import pandas

COLOURS = {"ok": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "waiting": "dim"}


@contextmanager
def shown(console: Console | None = None) -> Iterator[Callable[[Result], None]]:
    """Show the results that the function it yields is called with, as `run_all` does by `on_progress`."""
    console = console or Console()
    results: dict[str, Result] = {}
    if not console.is_terminal:

        def print_once(result: Result) -> None:
            if result.status in ("ok", "failed") and result.name not in results:
                results[result.name] = result
                console.print(line(result), highlight=False, markup=False, soft_wrap=True)

        yield print_once
        return

    # The table is drawn from the results themselves, so seconds and memory move while a cell runs.
    live = Live(console=console, get_renderable=lambda: table(list(results.values())))

    def update(result: Result) -> None:
        results[result.name] = result
        live.start()

    try:
        yield update
    finally:
        live.stop()


@contextmanager
def counted(jobs: int, console: Console | None = None) -> Iterator[Callable[[Sequence[Result]], None]]:
    """Show how many of the results that the function it yields is called with have ended, and the time that is left."""
    console = console or Console()
    if not console.is_terminal:
        said: set[str] = set()

        def print_once(results: Sequence[Result]) -> None:
            for result in results:
                if result.status in ("ok", "failed") and result.name not in said:
                    said.add(result.name)
                    console.print(line(result), highlight=False, markup=False, soft_wrap=True)

        yield print_once
        return

    current: list[Result] = []
    live = Live(console=console, get_renderable=lambda: Text(count(current, jobs)))

    def update(results: Sequence[Result]) -> None:
        current[:] = results
        live.start()

    try:
        yield update
    finally:
        live.stop()


def count(results: Sequence[Result], jobs: int) -> str:
    """How many runs are done, running and failed, and about how long the others take.

    >>> count([Result("a", "a", status="ok", seconds=60), Result("b", "b")], jobs=1)
    '2 runs: 1 done, 0 running, 0 failed, about 1:00 min left'
    """
    states = [result.status for result in results]
    ended = [result.seconds for result in results if result.status in ("ok", "failed") and not result.kept]
    text = f"{len(results)} runs: {states.count('ok')} done, {states.count('running')} running, "
    text += f"{states.count('failed')} failed"
    if not ended:
        return text
    each = sum(ended) / len(ended)
    left = sum(max(0.0, each - result.seconds) for result in results if result.status in ("waiting", "running")) / jobs
    return f"{text}, about {left // 60:.0f}:{left % 60:02.0f} min left"


def report_sweep(table: pandas.DataFrame, out: Path, console: Console | None = None) -> None:
    """Say which runs failed and why, and where the index page is."""
    console = console or Console()
    names = list(table.columns[: list(table.columns).index("status")])
    for _, row in table[table["status"] != "ok"].iterrows():
        setting = ",".join(f"{name}={row[name]}" for name in names)
        console.print(f"{setting}: {row['error']}", style="red", highlight=False, markup=False, soft_wrap=True)
    ok = int((table["status"] == "ok").sum())
    text = f"{ok} of {len(table)} runs ok: {out / 'index.html'}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def line(result: Result) -> str:
    """A finished notebook in one line.

    >>> line(Result("03_blur", "03_blur.ipynb", status="ok", cells_done=9, cells=9, seconds=4.2, peak_memory=10**8))
    'ok      03_blur                      9/9 cells      4.2 s    100 MB'
    """
    cells = f"{result.cells_done}/{result.cells} cells"
    kept = "  (kept)" if result.kept else ""
    memory = megabytes(result.peak_memory)
    return f"{result.status:<6}  {result.name:<24}  {cells:>12}  {result.seconds:7.1f} s  {memory:>8}{kept}"


def table(results: Sequence[Result]) -> Table:
    """The results as a table of rich, one row each."""
    drawn = Table()
    drawn.add_column("notebook", overflow="fold")
    for heading in ("cells", "seconds", "peak memory"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("status", no_wrap=True, min_width=13)
    for result in results:
        begun = result.status != "waiting"
        drawn.add_row(
            result.name,
            f"{result.cells_done}/{result.cells}" if begun else "",
            f"{result.seconds:.1f}" if begun else "",
            megabytes(result.peak_memory) if begun else "",
            Text(f"{MARKS[result.status]} {result.status}{', kept' if result.kept else ''}", COLOURS[result.status]),
        )
    return drawn


def report(results: Sequence[Result], out: Path, console: Console | None = None) -> None:
    """Say what failed, where and why, and where the index page is."""
    console = console or Console()

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for result in results:
        for error in result.errors:
            # The rest of a long message is in the notebook.
            say(f"{result.name}: {describe_error(error).splitlines()[0]}", "red")
        if result.errors and result.output:
            say(f"    {out / result.output}")
    ok = sum(result.status == "ok" for result in results)
    say(f"{ok} of {len(results)} notebooks ok: {out / 'index.html'}")
