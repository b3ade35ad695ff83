"""Build the site: run the lessons that changed, write what Sphinx reads, build, and follow the links."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from oddlab.lab import stills
from oddlab.lab.parameters import read_notebook
from oddlab.lab.runner import TIMEOUT, Progress, find_notebooks, plan, run_notebook, write_whole
from oddlab.site.links import check_links
from oddlab.site.pages import write_sources

MATHJAX = "sphinx-mathjax-offline"
"""The package that carries MathJax, so that formulas are there without a network."""


class SiteError(Exception):
    """The site could not be built; the message says why."""


def build(out: Path, folder: Path | None = None, on_progress: Progress = lambda result: None) -> tuple[Path, list[str]]:
    """Build the site of the lessons in `folder` into `out/html`; its first page, and the addresses it links to outside.

    A lesson runs again if its code or the library changed since it was last run for this `out`. Raises
    :class:`SiteError` if a lesson fails, if Sphinx warns, or if a link leads nowhere.
    """
    for module in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_copybutton", MATHJAX):
        if find_spec(module) is None:
            raise SiteError(f"{module} is not installed: run `uv run --group site oddlab site`")
    lessons = find_notebooks((), folder)
    work = out.absolute() / "work"
    source, html = work / "source", out.absolute() / "html"
    run_stale(lessons, work, on_progress)
    shutil.rmtree(source / "notebooks", ignore_errors=True)
    write_static(source, work)
    write_sources(source, lessons, lambda lesson: as_it_ran(lesson, work))
    run_sphinx(source, html, work / "doctrees")
    wrong, outer = check_links(html)
    if wrong:
        raise SiteError("links that lead nowhere:\n" + "\n".join(wrong))
    return html / "index.html", outer


def run_stale(lessons: list[Path], work: Path, on_progress: Progress) -> None:
    """Run the lessons that have not run as they are; their sliders leave pictures in `work/stills`."""
    runs = work / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    library = library_key()
    keys = {lesson.stem: lesson_key(read_notebook(lesson), library) for lesson in lessons}
    stale = [lesson for lesson in lessons if not has_run(runs, lesson.stem, keys[lesson.stem])]
    todo = plan(stale, {})
    results = [result for result, _ in todo]
    for result, inject in todo:
        stored, pictures = runs / f"{result.name}.key", work / "stills" / result.name
        stored.unlink(missing_ok=True)
        shutil.rmtree(pictures, ignore_errors=True)
        os.environ[stills.FOLDER] = str(pictures)
        figures = max(count_figures(read_notebook(Path(result.notebook))), 1)
        os.environ[stills.BUDGET] = str(stills.LESSON_BYTES // figures)
        try:
            run_notebook(result, inject, runs, timeout=TIMEOUT, on_progress=on_progress)
        finally:
            del os.environ[stills.FOLDER], os.environ[stills.BUDGET]
        if result.status == "ok":
            write_whole(stored, keys[result.name])
    failed = [result for result in results if result.status != "ok"]
    if failed:
        lines = [f"{result.name}: {result.errors[0]['ename']}: {result.errors[0]['evalue']}" for result in failed]
        raise SiteError("lessons that failed:\n" + "\n".join(lines))


def has_run(runs: Path, name: str, key: str) -> bool:
    """Whether the lesson `name` has run with the code that `key` stands for."""
    stored = runs / f"{name}.key"
    return stored.is_file() and stored.read_text(encoding="utf-8") == key and (runs / f"{name}.ipynb").is_file()


def count_figures(notebook: Any) -> int:
    """The figures with controls in a notebook."""
    return sum(cell.source.count("explore(") for cell in notebook.cells if cell.cell_type == "code")


def library_key() -> str:
    """A hash of all code of the library."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def lesson_key(notebook: Any, library: str) -> str:
    """A hash of a lesson's code, with that of the library; its prose may change without a run."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join([library, *code]).encode()).hexdigest()


def as_it_ran(lesson: Path, work: Path) -> Any:
    """The lesson with today's prose and the outputs of its run."""
    notebook = read_notebook(lesson)
    ran = [
        cell
        for cell in read_notebook(work / "runs" / f"{lesson.stem}.ipynb").cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", ())
    ]
    for cell, with_outputs in zip([cell for cell in notebook.cells if cell.cell_type == "code"], ran):
        cell.outputs, cell.execution_count = with_outputs.outputs, with_outputs.execution_count
    return notebook


def write_static(source: Path, work: Path) -> None:
    """What the pages load: script and style, the pictures under the sliders, MathJax."""
    static = source / "_static"
    shutil.rmtree(static, ignore_errors=True)
    shutil.copytree(Path(__file__).parent / "static", static)
    (work / "stills").mkdir(exist_ok=True)
    shutil.copytree(work / "stills", static / "stills")
    mathjax = find_spec(MATHJAX)
    assert mathjax is not None and mathjax.origin is not None  # seen to before anything runs
    (static / "mathjax").mkdir()
    name = "tex-svg-full.js"
    shutil.copy(Path(mathjax.origin).parent / "static" / "mathjax" / name, static / "mathjax" / name)


def run_sphinx(source: Path, html: Path, doctrees: Path) -> None:
    """Build the pages. Raises `SiteError` with what Sphinx says if it warns."""
    from sphinx.cmd.build import build_main

    shutil.rmtree(html, ignore_errors=True)
    said = io.StringIO()
    shutil.copy(Path(__file__).parent / "conf.py", source)
    arguments = ["-q", "-W", "--keep-going", "-d", str(doctrees), str(source), str(html)]
    with redirect_stdout(said), redirect_stderr(said):
        code = build_main(arguments)
    if code:
        raise SiteError(f"Sphinx:\n{said.getvalue()}")
