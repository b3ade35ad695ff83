"""What became of one notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """One notebook of a run: what it is, how far it came, what it took and what went wrong.

    `status` is waiting, running, ok, failed or interrupted. `parameters` are those it ran with, its own defaults among
    them. `cells` counts those that run code. `peak_memory` is in bytes, of the kernel and the processes below it.
    `output` is the executed notebook's file name in the folder of the run. An error's `cell` is the number in brackets
    beside it in JupyterLab, None if it is not known or none was reached. `kept` says that an earlier run into the same
    folder had already done it.
    """

    name: str
    notebook: str
    title: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    status: str = "waiting"
    cells_done: int = 0
    cells: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    output: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    kept: bool = False

    def add_error(self, cell: int | None, ename: str, evalue: str) -> None:
        """Note an error, once."""
        error = {"cell": cell, "ename": ename, "evalue": evalue}
        if error not in self.errors:
            self.errors.append(error)
