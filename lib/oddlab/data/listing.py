"""What can be fetched, as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from oddlab.data.catalogue import CATALOGUE, DataSet


def facts(data_set: DataSet) -> dict[str, str]:
    """What one should know before fetching a data set.

    >>> from oddlab.data.catalogue import find
    >>> facts(find("cookies"))["size"]
    '36 MB in 109 files'
    """
    return {
        "images": f"{data_set.images:,}: {data_set.split}",
        "licence": data_set.licence,
        "size": f"{data_set.size / 1e6:.0f} MB in {len(data_set.files):,} files",
        "source": data_set.source,
        "cite": data_set.cite,
        "folder": f"{data_set.folder} ({'there' if data_set.folder.is_dir() else 'not fetched yet'})",
    }


def show(data_set: DataSet, console: Console | None = None) -> None:
    """Print a data set's name, what it is, and its facts below."""
    console = console or Console()
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts(data_set).items():
        table.add_row(name, fact)
    console.print(f"{data_set.name}: {data_set.about}", style="bold", markup=False, highlight=False)
    console.print(table, markup=False, highlight=False)


def show_all(console: Console | None = None) -> None:
    """Print every data set of the catalogue, and the command that fetches one."""
    console = console or Console()
    for data_set in CATALOGUE.values():
        show(data_set, console)
        console.print()
    hint = "oddlab data get NAME fetches one; ODDLAB_DATA names another folder for all."
    console.print(hint, highlight=False, soft_wrap=True)
