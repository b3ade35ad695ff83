"""A notebook over a grid of parameters: every run a folder, all their numbers one table."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas  # not later: an import that an interruption breaks off cannot be repeated, and the table needs it

from oddlab.lab.parameters import Refused, from_here
from oddlab.lab.result import Result
from oddlab.lab.runner import TIMEOUT, describe_run, find_notebooks, plan, run_notebook, write_whole
from oddlab.lab.sweep_page import sweep_page

LIMIT = 100
"""Runs that are begun without being asked for."""

UNFINISHED = ".unfinished"


class NotStored(RuntimeError):
    """What came of a sweep could not be written; the runs that ended before are whole in their folders."""


def split_values(assignments: Mapping[str, str]) -> dict[str, list[str]]:
    """The values of each parameter, which commas part; a value that holds one is quoted.

    >>> split_values({"seed": "0,1,2", "category": '"a, b",c'})
    {'seed': ['0', '1', '2'], 'category': ['a, b', 'c']}
    """
    return {name: next(csv.reader([text], skipinitialspace=True)) or [""] for name, text in assignments.items()}


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last parameter changing fastest.

    >>> grid({"sigma": [1, 2], "seed": [0, 1]})[:3]
    [{'sigma': 1, 'seed': 0}, {'sigma': 1, 'seed': 1}, {'sigma': 2, 'seed': 0}]
    """
    if empty := [name for name, several in values.items() if not len(several)]:
        raise Refused(f"parameter {empty[0]}: expected at least one value, got none")
    return [dict(zip(values, combination)) for combination in itertools.product(*values.values())]


def name_of(parameters: Mapping[str, Any]) -> str:
    """The name of a run's folder, by its parameters; what a file system may not like is left out, and a mark is added.

    >>> name_of({"sampling_ratio": 0.01, "seed": 0}), name_of({"data_root": "/data/a b"})
    ('sampling_ratio=0.01,seed=0', 'data_root=data-a-b_8322ee4e')
    """
    text = ",".join(f"{name}={value}" for name, value in parameters.items()) or "defaults"
    plain = re.sub(r"=-", "=", re.sub(r"[^\w.=,+-]+", "-", text))[:120]
    return plain if plain == text else f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def sweep(
    notebook: str | Path,
    parameters: Mapping[str, Sequence[Any]],
    *,
    out: str | Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    device: str | None = None,
    timeout: int = TIMEOUT,
    limit: int | None = LIMIT,
    on_progress: Callable[[Sequence[Result]], None] = lambda results: None,
) -> pandas.DataFrame:
    """Run `notebook` with every combination of `parameters`; return a table with a row for each run.

    Args:
        notebook: its path, or a name that :func:`oddlab.lab.runner.find_notebooks` knows, such as "patchcore".
        parameters: for each name the values it takes; a seed is a parameter like any other.
        out: the folder for the results; a temporary one, which goes when the table is made, if None.
        jobs: how many kernels run at once on this machine.
        scheduler: the address of a dask scheduler whose workers run them instead.
        resume: go on with the sweep in `out`: runs that are ok there with the same parameters are kept.
        device: for the parameter `device` where the notebook has one.
        timeout: seconds a cell may take.
        limit: a larger grid is refused; None for none.
        on_progress: called with the results of all runs whenever one of them changes.

    The table has the swept parameters, `status`, the numbers that the notebook recorded, `seconds`, `MB` and `error`.
    `out` gets a folder for each run, which is there only when the run has ended, `table.csv` and `index.html`. Raises
    `Refused` before anything runs for what cannot be run, :class:`oddlab.lab.cluster.SchedulerGone`, and
    :class:`NotStored` if the table cannot be written, as on a full disk.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="oddlab-sweep-") as folder:
            return sweep(
                notebook,
                parameters,
                out=folder,
                jobs=jobs,
                scheduler=scheduler,
                device=device,
                timeout=timeout,
                limit=limit,
                on_progress=on_progress,
            )
    planned = plan_sweep(notebook, parameters, device, limit)
    out = Path(out)
    results, todo = [], []
    for result, inject in planned:
        before = read_run(out / result.name)
        if before and not resume:
            raise Refused(f"out: expected a folder without this sweep, or resume; got {out}, which holds {result.name}")
        if before and before.status == "ok" and before.parameters == result.parameters:
            before.kept = True
            results.append(before)
        else:
            results.append(result)
            todo.append((result, inject))
    try:
        (out / UNFINISHED).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"out: expected a folder that can be written, got {out}: {error}") from None
    on_progress(results)
    names = list(parameters)
    try:
        if todo:
            _run(todo, results, names, out, jobs, scheduler, timeout, on_progress)
    finally:
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
        try:
            write_results(out, names, results)
        except OSError as error:
            ended = sum(result.status == "ok" for result in results)
            raise NotStored(f"{error}: {ended} of {len(results)} runs are in {out}, its table is not") from None
    return table_of(names, results)


def _run(
    todo: Sequence[tuple[Result, dict[str, Any]]],
    results: Sequence[Result],
    names: Sequence[str],
    out: Path,
    jobs: int,
    scheduler: str | None,
    timeout: int,
    on_progress: Callable[[Sequence[Result]], None],
) -> None:
    from oddlab.lab.cluster import connected, run_many

    with connected(min(jobs, len(todo)), scheduler, out) as client:

        def tell(result: Result) -> None:
            on_progress(results)

        for _ in run_many(client, run_whole, todo, out.absolute(), timeout=timeout, on_progress=tell):
            with suppress(OSError):  # such as a full disk, which is said when all runs have ended
                write_table(out, names, results)


def plan_sweep(
    notebook: str | Path, parameters: Mapping[str, Sequence[Any]], device: str | None, limit: int | None
) -> list[tuple[Result, dict[str, Any]]]:
    """A `Result` to fill and the parameters to inject, for each run of the grid. Raises `Refused`."""
    combinations = grid(parameters)
    if limit is not None and len(combinations) > limit:
        raise Refused(f"parameters: expected at most {limit} runs unless more are asked for, got {len(combinations)}")
    [path] = find_notebooks([str(notebook)])
    planned = []
    for combination in combinations:
        [(result, inject)] = plan([path], combination, device)
        chosen = {name: inject[name] for name in combination}
        result.name = name_of(chosen)
        result.notebook = str(path.absolute())
        planned.append((result, inject))
    twice = {result.name for result, _ in planned}
    if len(twice) < len(planned):
        raise Refused("parameters: expected each combination once, got one of them several times")
    return planned


def run_whole(
    result: Result,
    inject: Mapping[str, Any],
    out: Path,
    *,
    timeout: int,
    on_progress: Callable[[Result], None],
) -> Result:
    """Run one notebook of a sweep; its folder in `out` appears when it has ended, with what came of it beside it."""
    name, stem = result.name, Path(result.notebook).stem
    folder = out / UNFINISHED / f"{name}-{uuid4().hex}"

    def tell(inner: Result) -> None:
        on_progress(dataclasses.replace(inner, name=name))

    try:
        folder.mkdir(parents=True)
        ended = run_notebook(dataclasses.replace(result, name=stem), inject, folder, timeout=timeout, on_progress=tell)
        output = f"{name}/{ended.output}" if ended.output else None
        ended = dataclasses.replace(ended, name=name, output=output)
        write_whole(folder / "run.json", json.dumps(dataclasses.asdict(ended), indent=2) + "\n")
        if (out / name).exists():  # an earlier one that failed: moved, since a kill may leave half of what is deleted
            os.replace(out / name, folder.with_name(f"{folder.name}-before"))
        os.replace(folder, out / name)
    except OSError as error:  # such as a full disk
        ended = dataclasses.replace(result, status="failed", output=None)
        ended.add_error(None, type(error).__name__, f"the run cannot be stored: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ended


def read_run(folder: Path) -> Result | None:
    """What came of the run in `folder`, None if it holds none that is whole."""
    try:
        return Result(**json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def table_of(names: Sequence[str], results: Sequence[Result]) -> pandas.DataFrame:
    """A row for each run: its parameters `names`, how it ended, what it recorded and what it took.

    >>> table_of(["k"], [Result("k=1", "a.ipynb", parameters={"k": 1}, status="ok", numbers={"auroc": 0.9})])
       k status  auroc  seconds   MB error
    0  1     ok    0.9      0.0  0.0
    """
    rows = []
    for result in results:
        error = result.errors[0] if result.errors else None
        row = {name: result.parameters[name] for name in names}
        row |= {"status": result.status}
        row |= {name: value for name, value in result.numbers.items() if name not in row}
        row |= {"seconds": round(result.seconds, 2), "MB": round(result.peak_memory / 1e6, 1)}
        row |= {"error": f"{error['ename']}: {error['evalue']}".splitlines()[0] if error else ""}
        rows.append(row)
    frame = pandas.DataFrame(rows)
    last = ["seconds", "MB", "error"]
    return frame[[*(name for name in frame.columns if name not in last), *last]]


def write_table(out: Path, names: Sequence[str], results: Sequence[Result]) -> None:
    """Write `table.csv` into `out`."""
    write_whole(out / "table.csv", table_of(names, results).to_csv(index=False))


def write_results(out: Path, names: Sequence[str], results: Sequence[Result]) -> None:
    """Write `table.csv` and `index.html` into `out`."""
    write_table(out, names, results)
    write_whole(out / "index.html", sweep_page(out, names, results, table_of(names, results), describe_run()))


def values_from_here(assignments: Mapping[str, str]) -> dict[str, list[str]]:
    """The values of each parameter as typed in a shell, its paths made absolute."""
    split = split_values(assignments)
    return {name: [from_here({name: value})[name] for value in several] for name, several in split.items()}
