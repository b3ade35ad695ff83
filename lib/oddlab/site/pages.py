"""The sources that Sphinx turns into the site: lessons as they ran, an overview, glossary, benchmarks, reference."""

from __future__ import annotations

import ast
import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from oddlab.lab.parameters import read_notebook
from oddlab.lab.runner import title

TRACKS = {
    "Begin": range(0, 1),
    "Track A: from pixels to a decision": range(1, 6),
    "Track B: remember less, compare less": range(6, 13),
    "Track C: normalizing flows": range(13, 20),
    "Track D: the workshop": range(20, 100),
}
"""The numbers of the lessons in each track of the course."""

BENCHMARKS = {"README": "benchmarks.md", "fastflow": "fastflow.md"}
"""The pages of the benchmarks, by the names of their files."""

WELCOME = """# oddlab

{about}

Every page of a lesson is the notebook as it ran. Its sliders move here too: each setting that they stop at was drawn
beforehand. To change the code, open the notebook in JupyterLab. One command installs everything and opens the first:

```bash
pip install uv && uv run jupyter lab notebooks/00_start_here.ipynb
```
"""

OPEN = """:::{{admonition}} In JupyterLab
:class: tip
In a clone of the repository, this command installs what is needed and opens the lesson:
```bash
pip install uv && uv run jupyter lab notebooks/{name}.ipynb
```
:::"""


def write_sources(source: Path, lessons: Sequence[Path], executed: Callable[[Path], Any]) -> None:
    """Write into the folder `source` what Sphinx reads; `executed(lesson)` is the notebook of a lesson as it ran."""
    folder = lessons[0].parent
    repository = folder.parent
    for name in ("lib", "tests", "data"):  # what lessons link to
        if (repository / name).is_dir():
            link(source / name, repository / name)
    if (folder / "images").is_dir():
        link(source / "notebooks" / "images", folder / "images")
    terms = read_terms(folder / "glossary.md")
    openings = {}
    for lesson in lessons:
        notebook = executed(lesson)
        openings[lesson.stem] = notebook.cells[0].source
        write_lesson(source, lesson.stem, notebook, terms)
    for solution in sorted((folder / "solutions").glob("*.ipynb")):
        write_solution(source, solution)
    if (folder / "glossary.md").is_file():
        text = (folder / "glossary.md").read_text(encoding="utf-8")
        write(source / "notebooks/glossary.md", with_anchors(on_the_site(text, "../")))
    if (folder / "teaching.md").is_file():
        text = (folder / "teaching.md").read_text(encoding="utf-8")
        write(source / "notebooks/teaching.md", on_the_site(text, "../"))
    for name in ("README", "fastflow"):
        page = repository / f"tests/benchmarks/{name}.md"
        if page.is_file():
            write(source / BENCHMARKS[name], moved(page.read_text(encoding="utf-8")))
    pages = write_reference(source)
    write(source / "index.md", overview(repository, openings, source, pages))


def link(place: Path, target: Path) -> None:
    """Make `place` a link to the folder `target`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(target.resolve(), target_is_directory=True)


def write(path: Path, text: str) -> None:
    """Write a page, but leave it alone if it is the same, so that Sphinx does not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def moved(text: str) -> str:
    """A page of the benchmarks with its links as they are from the first page's folder."""
    text = re.sub(r"\]\((?!https?:|#|\.\./\.\./)", "](tests/benchmarks/", text).replace("](../../", "](")
    return on_the_site(text, "")


def write_lesson(source: Path, name: str, notebook: Any, terms: dict[str, str]) -> None:
    """The page of a lesson: code that is collapsed in JupyterLab is folded, and pictures carry their words."""
    notebook = nbformat.from_dict(notebook)
    todo = dict(terms)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_terms(on_the_site(cell.source, "../"), todo)
            continue
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata.setdefault("tags", []).append("hide-input")
        for output in cell.outputs:
            with_words(output, source / "_static" / "figures" / name, f"../_static/figures/{name}")
    notebook.cells[0].source += f"\n\n{OPEN.format(name=name)}"
    notebook.metadata.pop("widgets", None)
    write(source / "notebooks" / f"{name}.ipynb", nbformat.writes(notebook))


def write_solution(source: Path, path: Path) -> None:
    """The page of a lesson's solutions, each of them folded."""
    notebook = read_notebook(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.setdefault("tags", []).append("hide-cell")
        else:
            cell.source = on_the_site(cell.source, "../../")
    write(source / "notebooks/solutions" / path.name, nbformat.writes(notebook))


def on_the_site(text: str, top: str) -> str:
    """Links to files and headings that have other names here; `top` leads to the folder of the first page.

    >>> on_the_site("[below](#A-lens-cap,-and-noise)", "../")
    '[below](#a-lens-cap-and-noise)'
    """
    for name, page in BENCHMARKS.items():
        text = text.replace(f"({top}tests/benchmarks/{name}.md", f"({top}{page}")
    text = text.replace(f"({top}README.md", f"({top}index.md")
    # JupyterLab keeps a heading's capitals and commas in its anchor, and MyST does not.
    return re.sub(
        r"\]\(([^)\s:#]*)#([^)\s]+)\)", lambda at: f"]({at[1]}#{re.sub('[^a-z0-9_-]', '', at[2].lower())})", text
    )


def with_words(output: Any, folder: Path, address: str) -> None:
    """Store the picture of an output in `folder`, and put in its place a tag with the words that go with it."""
    data = output.get("data", {})
    kinds = [kind for kind in ("image/png", "image/jpeg") if kind in data]
    if not kinds or "text/html" in data:
        return
    picture = b64decode(data[kinds[0]])
    words = output.metadata.get(kinds[0], {}).get("alt", "")
    width, height = Image.open(BytesIO(picture)).size
    name = f"{hashlib.sha256(picture).hexdigest()[:16]}.{kinds[0].removeprefix('image/')}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(picture)
    tag = (
        f'<img class="oddlab-figure" src="{address}/{name}" alt="{escape(words)}" width="{width}" '
        f'height="{height}" loading="lazy">'
    )
    output.data = {"text/html": tag, "text/plain": words}


def read_terms(glossary: Path) -> dict[str, str]:
    """The terms of the glossary, in small letters, with the names of their anchors."""
    if not glossary.is_file():
        return {}
    rows = re.findall(r"^\| ([^|]+?) \|.*\[\d\d\]", glossary.read_text(encoding="utf-8"), re.MULTILINE)
    return {term.lower(): anchor(term) for term in rows}


def anchor(term: str) -> str:
    """The name of a term's place in the glossary.

    >>> anchor("Kullback-Leibler divergence")
    'term-kullback-leibler-divergence'
    """
    return "term-" + re.sub(r"\W+", "-", term.lower()).strip("-")


def with_anchors(glossary: str) -> str:
    """The glossary with an anchor at each of its terms."""

    def anchored(match: re.Match) -> str:
        return f'| <span id="{anchor(match[1])}">{match[1]}</span> |{match[2]}'

    return re.sub(r"^\| ([^|]+?) \|(.*\[\d\d\])", anchored, glossary, flags=re.MULTILINE)


def with_terms(text: str, todo: dict[str, str]) -> str:
    """Bold terms of the glossary lead to it where they stand first; those that do are taken out of `todo`.

    >>> with_terms("A **ridge** is added; the **ridge** is small.", {"ridge": "term-ridge"})
    'A <a href="glossary.html#term-ridge"><strong>ridge</strong></a> is added; the **ridge** is small.'
    """

    def linked(match: re.Match) -> str:
        term = match[1].lower()
        name = todo.pop(term, None) or todo.pop(term.removesuffix("s"), None)
        return f'<a href="glossary.html#{name}"><strong>{match[1]}</strong></a>' if name else match[0]

    return re.sub(r"(?<!\[)\*\*([\w -]+)\*\*(?!\])", linked, text)


def overview(repository: Path, openings: dict[str, str], source: Path, pages: Sequence[str]) -> str:
    """The first page: what this is, and each lesson by track, with its time and what one learns."""
    readme = (repository / "README.md").read_text(encoding="utf-8") if (repository / "README.md").is_file() else ""
    about = readme.split("\n\n")[1] if "\n\n" in readme else ""
    text = [WELCOME.format(about=about)]
    trees = []
    for track, numbers in TRACKS.items():
        names = [name for name in openings if int(name[:2]) in numbers]
        if not names:
            continue
        text.append(f"## {track}")
        for name in names:
            text.append(summary(name, openings[name]))
        trees.append(toctree(track, [f"{name[:2]} {heading(openings[name])} <notebooks/{name}>" for name in names]))
    more = [f"notebooks/{name}" for name in ("glossary", "teaching") if (source / f"notebooks/{name}.md").is_file()]
    more += [Path(page).stem for page in BENCHMARKS.values() if (source / page).is_file()]
    solutions = [
        f"notebooks/solutions/{path.stem}" for path in sorted((source / "notebooks/solutions").glob("*.ipynb"))
    ]
    trees.append(toctree("More", more))
    trees.append(toctree("Solutions", solutions))
    trees.append(toctree("Reference", pages))
    return "\n\n".join([*text, *trees]) + "\n"


def heading(opening: str) -> str:
    """The title of a lesson."""
    return title(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(opening)]))


def summary(name: str, opening: str) -> str:
    """A lesson on the overview: its title, its time and its outcomes."""
    time = re.search(r"\*\*Time:\*\*.*?(about \d+ minutes?)", opening)
    outcomes = re.findall(r"^\d\. .*(?:\n(?!\n|\d\. ).*)*", opening, re.MULTILINE)
    parts = [f"### [{name[:2]} {heading(opening)}](notebooks/{name}.ipynb)"]
    if time:
        parts.append(time[1].capitalize() + ".")
    if outcomes:
        parts.append("You will be able to\n\n" + "\n".join(outcomes))
    return "\n\n".join(parts)


def toctree(caption: str, pages: Sequence[str]) -> str:
    """Pages in the side bar, under a caption."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])


def write_reference(source: Path) -> list[str]:
    """A page for each module of the public face, made from its docstrings; their names."""
    pages = []
    for package in ("oddlab", "oddlab.flow", "oddlab.data", "oddlab.lab"):
        for module, names in public(package).items():
            if any(page.endswith(f"/{module}") for page in pages):
                continue
            head = ", ".join(names)
            lines = [
                head,
                "=" * len(head),
                "",
                f".. automodule:: {module}",
                f"   :members: {head}",
                "   :show-inheritance:",
            ]
            write(source / "reference" / f"{module}.rst", "\n".join(lines) + "\n")
            pages.append(f"reference/{module}")
    return pages


def public(package: str) -> dict[str, list[str]]:
    """The modules that the stub of `package` imports from, with the names of each.

    >>> public("oddlab.flow")["oddlab.flow.invertible"]
    ['InvertibleModule', 'SequenceINN']
    """
    stub = Path(__file__).parents[1] / Path(*package.split(".")[1:]) / "__init__.pyi"
    found: dict[str, list[str]] = {}
    for line in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom) and line.module:
            found.setdefault(f"{package}.{line.module}", []).extend(alias.name for alias in line.names)
    return found
