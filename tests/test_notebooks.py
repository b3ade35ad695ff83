"""What every notebook must be, read from its file; nbval shows that it runs, and a browser that its sliders move."""

import ast
import re
import symtable
from pathlib import Path

import nbformat
import pytest

from oddlab.lab.exercises import find_checker, list_checkers

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))
STEMS = {path.stem.partition("_")[2]: path for path in NOTEBOOKS}
SECTIONS = ["opening", "parameters", "predict", "idea", "mathematics", "by_hand", "library", "play", "photographs"]
SECTIONS += ["limits", "exercises", "summary"]
"""The sections of a lesson. Headings say what they are about; a tag `section-<name>` on their cell says which it is."""
WITHOUT_A_PART = {"start_here", "compare", "own_images", "robustness"}


def label(path):
    """What a test of this notebook is called: `03_blur`, and of its solutions `solutions/03_blur`."""
    return str(path.relative_to(ROOT / "notebooks").with_suffix(""))


@pytest.fixture(params=NOTEBOOKS, ids=label)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def sources(notebook, kind):
    return [cell.source for cell in notebook.cells if cell.cell_type == kind and cell.source.strip()]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def exercises(notebook):
    """The names of the exercises that the notebook checks, in their order."""
    return re.findall(r'^check\("([\w.]+)"', "\n".join(sources(notebook, "code")), flags=re.MULTILINE)


def verdicts(notebook):
    """What the notebook shows for each of them."""
    outputs = [output for cell in notebook.cells if 'check("' in cell.source for output in cell.get("outputs", [])]
    return [output.data["text/plain"] for output in outputs if "data" in output]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 7 and (ROOT / "notebooks/00_start_here.ipynb") in NOTEBOOKS


def test_it_is_one_sitting(path, notebook):
    code = [[line for line in source.splitlines() if line.strip()] for source in sources(notebook, "code")]
    words = sum(len(source.split()) for source in sources(notebook, "markdown"))
    assert len(notebook.cells) <= 50
    assert 1200 <= words <= 3000
    assert max(map(len, code)) <= 25
    assert max(len(line) for lines in code for line in lines) <= 120
    assert path.stat().st_size <= 600_000


def test_its_code_reads_well(path, notebook):
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        assert len(lines) == len(set(lines)), f"two statements on one line: {cell.source}"
        for node in ast.walk(tree):
            assert not isinstance(node, ast.NamedExpr), f"an assignment within an expression: {cell.source}"
            assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), cell.source
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):  # Python 3.10 does not read it
                assert not any(isinstance(part, ast.Starred) for part in node.slice.elts), ast.unparse(node)
            if isinstance(node, ast.Expr):
                assert not isinstance(node.value, (ast.Tuple, ast.ListComp, ast.BoolOp)), ast.unparse(node)


def test_what_is_not_the_lesson_is_collapsed(path, notebook):
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        if "check" in cell.metadata.get("tags", []):
            assert hidden, cell.source
        else:
            assert not re.search(r"^(assert|record\(|corners\()", cell.source, flags=re.MULTILINE), cell.source
        if "subplots(" in cell.source and len(cell.source.splitlines()) > 8:
            assert hidden, f"a figure of more than 8 lines: {cell.source}"


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLUTIONS], ids=label)
def test_it_opens_the_same_everywhere(path, notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert not re.search(r"/(home|root|Users|tmp|work)/", path.read_text())


def test_it_carries_the_outputs_of_one_clean_run(notebook):
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any(mime.startswith("image/") for output in outputs for mime in output.get("data", {}))
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_every_row_of_its_tables_has_as_many_cells(notebook):
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = sources(notebook, "markdown") + [data["text/markdown"] for data in outputs if "text/markdown" in data]
    for table in re.findall(r"(?:^\|.*\n?)+", "\n\n".join(shown), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_its_parameters_are_literals_and_only_they_are_in_their_cell(notebook):
    (cell,) = tagged(notebook, "parameters")
    body = ast.parse(cell.source).body
    names = [statement.targets[0].id for statement in body if ast.literal_eval(statement.value) is not ...]
    assert names[:2] == ["seed", "device"] and "fast" in names
    assert len(names) == len(body)


def test_it_has_the_sections_in_their_order(path, notebook):
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", []) if tag.startswith("section-")]
    found = [tag.removeprefix("section-") for tag in tags]
    skipped = {"mathematics", "by_hand", "library"} if path.stem.partition("_")[2] in WITHOUT_A_PART else set()
    assert [name for name in SECTIONS if name in found] == found
    assert set(SECTIONS) - set(found) <= skipped
    assert notebook.cells[0].source.startswith("# ") and "minutes" in notebook.cells[0].source


def names_read(table):
    """The global names that a function reads, functions within it included."""
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return names.union(*map(names_read, table.get_children()))


def test_no_later_cell_changes_what_a_figure_with_controls_draws(notebook):
    """A slider draws with the names as they are at the end, also if a loop further down has used one of them again."""
    cells = sources(notebook, "code")
    tables = [symtable.symtable(cell, "cell", "exec") for cell in cells]
    functions = {table.get_name(): names_read(table) for cell in tables for table in cell.get_children()}
    for at, cell in enumerate(cells):
        for draw in re.findall(r"^explore\((\w+)", cell, flags=re.MULTILINE):
            read, todo = set(), [draw]
            while todo:
                new = functions.get(todo.pop(), set()) - read
                read |= new
                todo += new
            later = {
                symbol.get_name()
                for table in tables[at + 1 :]
                for symbol in table.get_symbols()
                if symbol.is_assigned()
            }
            assert read & later == set()


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLUTIONS], ids=label)
def test_its_links_lead_somewhere(path, notebook):
    for target in re.findall(r"\]\(([^)#]+)\)", "\n".join(sources(notebook, "markdown"))):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_pictures_have_words_and_one_stands_for_the_notebook(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [(output, mime) for output in outputs for mime in output.get("data", {}) if mime.startswith("image/")]
    assert all(len(output.metadata[mime]["alt"]) > 20 for output, mime in pictures)
    assert sum(bool(output.metadata.get("oddlab", {}).get("key_figure")) for output, _ in pictures) == 1
    assert any(output.get("metadata", {}).get("oddlab", {}).get("numbers") for output in outputs)


def test_it_explores_and_tries_the_corners_of_what_it_explores(notebook):
    code = "\n".join(sources(notebook, "code"))
    explored = re.findall(r"^explore\((.*)\)$", code, flags=re.MULTILINE)
    cornered = re.findall(r"^corners\((.*)\)$", code, flags=re.MULTILINE)
    assert explored and explored == cornered
    # Its first picture is stored, for those who read without a kernel, and no view of a widget, which needs one.
    for cell in notebook.cells:
        if re.search(r"^explore\(", cell.source, flags=re.MULTILINE):
            data = cell.outputs[-1].data
            assert {"image/png", "image/jpeg"} & set(data) and not any("widget" in mime for mime in data)
    assert all(
        cell.metadata.get("jupyter", {}).get("source_hidden")
        for cell in notebook.cells
        if "\ncorners(" in "\n" + cell.source
    )


def test_exercises_are_stubs_for_the_learner_and_link_to_their_solutions(path, notebook):
    stem = path.stem.partition("_")[2]
    asked = exercises(notebook)
    assert len(asked) == 2 and sorted(asked) == [f"{stem}.{name}" for name in sorted(list_checkers(stem))]
    assert all(find_checker(name) for name in asked)
    assert not tagged(notebook, "solution")
    assert sum(text.startswith("not attempted") for text in verdicts(notebook)) == 2
    prose = "\n".join(sources(notebook, "markdown"))
    assert f"](solutions/{path.name})" in prose
    assert "<details>" in prose


def test_every_lesson_has_its_solutions():
    assert [path.name for path in SOLUTIONS] == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", SOLUTIONS, ids=label)
def test_solutions_are_short_explained_and_right(path, notebook):
    code, prose = sources(notebook, "code"), sources(notebook, "markdown")
    assert exercises(notebook) == exercises(nbformat.read(ROOT / "notebooks" / path.name, as_version=4))
    assert prose[0].startswith("# Solutions: ") and f"](../{path.name})" in prose[0]
    headings = re.findall(r"^## (.*)$", "\n".join(prose), flags=re.MULTILINE)
    assert [heading.partition(":")[0] for heading in headings] == ["Exercise 1", "Exercise 2"]
    assert max(len(source.splitlines()) for source in code) < 15
    assert not re.search(r"^(from \S+ )?import .*[*,]", "\n".join(code), flags=re.MULTILINE)
    assert path.stat().st_size < 30_000
    # Each check is compared by nbval, and is the only output.
    checked = [cell for cell in notebook.cells if "check(" in cell.source and cell.cell_type == "code"]
    assert checked == tagged(notebook, "nbval-check-output")
    assert verdicts(notebook) == ["right", "right"]
    assert sum(len(cell.get("outputs", [])) for cell in notebook.cells) == 2
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("stem", sorted(STEMS))
def test_a_part_has_its_file_and_test_of_the_same_stem(stem):
    if stem in WITHOUT_A_PART:
        return
    library = ROOT / "lib/oddlab"
    flow = dict.fromkeys(
        ["invertible", "coupling", "permutation", "householder", "global_affine", "all_in_one_block"], "flow"
    )
    homes = {**flow, **dict.fromkeys(["padim", "patchcore", "dfkde", "dfm", "fastflow"], "models")}
    assert (library / homes.get(stem, "") / f"{stem}.py").is_file()
    assert (ROOT / "tests" / f"test_{stem}.py").is_file()
