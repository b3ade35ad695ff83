"""Run notebooks through papermill, so that a failure is seen, and nothing that is finished is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from oddlab.lab.parameters import Refused, check_parameters, read_notebook, read_parameters
from oddlab.lab.result import Result

TIMEOUT = 900
"""Seconds a cell may take."""

Progress = Callable[[Result], None]


def find_notebooks(names: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """The notebooks that `names` mean, all numbered ones of `folder` if there are none.

    A name is the path of an .ipynb file, a stem in `folder` (`03_blur`) or the part it is about (`blur`). `folder` is
    by default `notebooks` here, else that of the checkout which oddlab is imported from. Raises `Refused` for an
    unknown name, with the list of those there are.
    """
    if names and all(_is_path(name) for name in names):
        found = [Path(name) for name in names]
    else:
        by_stem = {path.stem: path for path in _numbered(folder)}
        by_part = {stem.partition("_")[2]: path for stem, path in by_stem.items()}
        found = []
        for name in names or by_stem:
            path = Path(name) if _is_path(name) else by_stem.get(name.removesuffix(".ipynb")) or by_part.get(name)
            if path is None:
                raise Refused(f"notebook: expected a path to an .ipynb file or one of {', '.join(by_stem)}; got {name}")
            found.append(path)
    found = list(dict.fromkeys(found))
    stems = [path.stem for path in found]
    twice = next((path for path in found if stems.count(path.stem) > 1), None)
    if twice:
        raise Refused(f"notebook: expected each name once, since results are stored by it; got two of {twice.stem}")
    return found


def _is_path(name: str) -> bool:
    return name.endswith(".ipynb") and Path(name).is_file()


def _numbered(folder: Path | None) -> list[Path]:
    folders = [folder] if folder else [Path("notebooks"), Path(__file__).parents[3] / "notebooks"]
    for candidate in folders:
        if found := sorted(candidate.glob("[0-9]*.ipynb")):
            return found
    raise Refused(f"notebook: expected files NN_name.ipynb in {' or '.join(str(f) for f in folders)}, got none")


def plan(
    notebooks: Sequence[Path], parameters: Mapping[str, Any], device: str | None = None
) -> list[tuple[Result, dict[str, Any]]]:
    """For each notebook the `Result` to fill and the parameters to inject.

    `device` ("auto", "cpu" or "cuda") goes to those notebooks that have a parameter of that name. Raises `Refused` for
    a parameter that no notebook has or of another type, and for a device that is not there.
    """
    defaults = {path.stem: read_parameters(path) for path in notebooks}
    if device and "device" in parameters:
        raise Refused(f"parameter device: expected it once, got {parameters['device']} and {device}")
    injected = check_parameters(defaults, parameters)
    planned = []
    for path in notebooks:
        inject = injected[path.stem]
        if device and "device" in defaults[path.stem]:
            inject["device"] = device
        if "device" in inject:
            _check_device(inject["device"])
        # As they will be read back from the summary, to be compared with it.
        ran_with = json.loads(json.dumps({**defaults[path.stem], **inject}, default=repr))
        planned.append((Result(path.stem, str(path), title(read_notebook(path)), ran_with), inject))
    return planned


def _check_device(device: str) -> None:
    from oddlab.lab.session import choose_device

    try:
        choose_device(device)
    except ValueError as error:
        raise Refused(str(error)) from None


def title(notebook: Any) -> str:
    """The first heading of a notebook, without its marks."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (heading := re.search(r"^#+\s+(.+)$", cell.source, re.MULTILINE)):
            return re.sub(r"[*`]", "", heading[1]).strip()
    return ""


def run_all(
    notebooks: Sequence[Path],
    out: Path,
    parameters: Mapping[str, Any] = {},
    *,
    device: str | None = None,
    timeout: int = TIMEOUT,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress = lambda result: None,
) -> list[Result]:
    """Run `notebooks` into the folder `out`, `jobs` of them at once; one that fails does not stop the others.

    `out` gets each executed notebook, `summary.json` and `index.html`, both written anew after each notebook.
    `on_progress(result)` is called for every notebook before the first one starts, after each cell and at each end.
    `resume` goes on with the run that `out` holds: what is ok there and had the same parameters is not run again.
    On `KeyboardInterrupt` the kernel is stopped, the summary says which notebook was interrupted, and it is raised
    again. Raises `Refused`, with nothing written, for what :func:`plan` refuses and if `out` holds a run and `resume`
    is not set.
    """
    planned = plan(notebooks, parameters, device)
    if out.exists() and not out.is_dir():
        raise Refused(f"out: expected a folder, got the file {out}")
    earlier = read_summary(out)
    if earlier and not resume:
        raise Refused(f"out: expected a folder without a run, or resume; got {out}, which holds one")
    results = {result.name: result for result in earlier}
    todo = []
    for result, inject in planned:
        before = results.get(result.name)
        if before and before.status == "ok" and before.parameters == result.parameters and _output(out, before):
            before.kept = True
        else:
            results[result.name] = result
            todo.append((result, inject))
    selected = [results[path.stem] for path in notebooks]
    for result in selected:
        on_progress(result)

    _claim(out, again=bool(earlier))
    about = describe_run()
    try:
        write_summary(out, list(results.values()), about)
    except OSError as error:
        if not earlier:
            (out / "summary.json").unlink(missing_ok=True)
        raise Refused(f"out: expected a folder that can be written, got {out}: {error}") from None

    def store(result: Result) -> None:
        try:
            write_summary(out, list(results.values()), about)
        except OSError as error:  # such as a full disk; what can still be stored of the others is
            result.status = "failed"
            result.add_error(None, type(error).__name__, f"the summary cannot be stored: {error}")

    if jobs > 1 and len(todo) > 1:
        _run_at_once(todo, out, jobs, timeout, on_progress, store)
        return selected
    for result, inject in todo:
        try:
            run_notebook(result, inject, out, timeout=timeout, on_progress=on_progress)
        finally:
            store(result)
    return selected


def _run_at_once(
    todo: Sequence[tuple[Result, dict[str, Any]]],
    out: Path,
    jobs: int,
    timeout: int,
    on_progress: Progress,
    store: Progress,
) -> None:
    from oddlab.lab.cluster import connected, run_many

    with connected(min(jobs, len(todo)), None, out) as client:
        try:
            for result in run_many(
                client, run_notebook, todo, out.absolute(), timeout=timeout, on_progress=on_progress
            ):
                store(result)
        except KeyboardInterrupt:
            for result, _ in todo:
                if result.status == "running":
                    result.status = "interrupted"
                    (out / f".{result.name}.running.ipynb").unlink(missing_ok=True)
            store(todo[0][0])
            raise


def _claim(out: Path, again: bool) -> None:
    """Make the folder `out`, and let no second run that begins at the same time have it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not again:
            (out / "summary.json").touch(exist_ok=False)
    except FileExistsError:
        raise Refused(f"out: expected a folder without a run, got {out}, in which another has just begun") from None
    except OSError as error:
        raise Refused(f"out: expected a folder that can be written, got {out}: {error}") from None


def run_notebook(
    result: Result,
    inject: Mapping[str, Any],
    out: Path,
    *,
    timeout: int = TIMEOUT,
    on_progress: Progress = lambda result: None,
) -> Result:
    """Run the notebook `result.notebook` with the parameters `inject`, in its own folder as JupyterLab does.

    The executed notebook appears in `out` when it is whole: as `<name>.ipynb`, or as `<name>.failed.ipynb` if a cell
    or a widget's callback raised, a cell took more than `timeout` seconds or the kernel died. `result.errors` says so.
    """
    started = time.monotonic()
    source, out = Path(result.notebook).resolve(), out.resolve()
    unfinished = out / f".{result.name}.running.ipynb"
    try:
        result.status = "running"
        on_progress(result)
        _execute(result, inject, source, unfinished, timeout, on_progress)
        if unfinished.exists():
            try:
                _collect(result, unfinished)
            except Refused as error:  # half of a file, on a full disk
                unfinished.unlink()
                raise OSError(str(error)) from None
            name = f"{result.name}.failed.ipynb" if result.errors else f"{result.name}.ipynb"
            os.replace(unfinished, out / name)
            result.output = name
        result.status = "failed" if result.errors else "ok"
    except OSError as error:
        result.status = "failed"
        result.add_error(None, type(error).__name__, f"the executed notebook cannot be stored: {error}")
    except KeyboardInterrupt:
        result.status = "interrupted"
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        result.seconds = time.monotonic() - started
    if result.status == "ok":
        (out / f"{result.name}.failed.ipynb").unlink(missing_ok=True)
    on_progress(result)
    return result


def _execute(
    result: Result, inject: Mapping[str, Any], source: Path, executed: Path, timeout: int, on_progress: Progress
) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import remove_error_markers

    from oddlab.lab.engine import ENGINE, may_raise

    try:
        papermill.execute_notebook(
            _plain(source),
            _plain(executed),
            dict(inject),
            engine_name=ENGINE,
            kernel_name="python3",
            language="python",
            cwd=source.parent,
            progress_bar=False,
            execution_timeout=timeout,
            result=result,
            on_progress=on_progress,
        )
    except PapermillExecutionError as error:
        notebook = remove_error_markers(read_notebook(executed))
        expected = any(cell.get("execution_count") == error.exec_count and may_raise(cell) for cell in notebook.cells)
        if not result.errors and expected:
            nbformat.write(notebook, executed)  # papermill's marks would say that it failed
        elif not result.errors:
            result.add_error(error.exec_count, error.ename, error.evalue)
    except Exception as error:
        # Whatever stops one notebook is that notebook's result, and the next one runs.
        result.add_error(result.cells_done + 1 if result.cells else None, type(error).__name__, str(error))


def _plain(path: Path) -> str:
    # papermill fills in braces in a path as in a format string.
    return str(path).replace("{", "{{").replace("}", "}}")


def _collect(result: Result, executed: Path) -> None:
    from oddlab.lab.recording import recorded

    notebook = read_notebook(executed)
    for ename, evalue in widget_errors(notebook):
        if (ename, evalue) not in [(error["ename"], error["evalue"]) for error in result.errors]:
            result.add_error(None, ename, evalue)
    result.numbers = recorded(notebook)


def widget_errors(notebook: Any) -> list[tuple[str, str]]:
    """Name and message of each error that an Output widget of an executed notebook shows."""
    models = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    outputs = [output for model in models.values() for output in model["state"].get("outputs", ())]
    return [(output["ename"], output["evalue"]) for output in outputs if output["output_type"] == "error"]


def describe_run() -> dict[str, Any]:
    """When and where a run takes place."""
    from oddlab.machine import devices, versions

    return {"date": datetime.now().isoformat(" ", "seconds"), "devices": devices(), "versions": versions()}


def read_summary(out: Path) -> list[Result]:
    """The results of the run in `out`, none if it holds none. Raises `Refused` if they cannot be read."""
    path = out / "summary.json"
    if not path.exists():
        return []
    try:
        return [Result(**result) for result in json.loads(path.read_text(encoding="utf-8"))["notebooks"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path}: expected the summary of a run, got {error!r}") from None


def write_summary(out: Path, results: Sequence[Result], about: Mapping[str, Any]) -> None:
    """Write `summary.json` and `index.html` into `out`."""
    from oddlab.lab.index_page import index_page

    summary = {**about, "notebooks": [dataclasses.asdict(result) for result in results]}
    write_whole(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_whole(out / "index.html", index_page(out, results, about))


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.new")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)  # half of a file on a full disk
        raise


def _output(out: Path, result: Result) -> bool:
    return result.output is not None and (out / result.output).is_file()
