"""The site, opened from the disk without a server: sliders move, nothing is missing, everybody can use it.

A small course is built for these tests; `--site DIR` tries the site that `oddlab site --out DIR` has built instead.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from oddlab.cli import main
from oddlab.site import building
from oddlab.site.building import SiteError, build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:sphinx.*", "ignore:.*Sphinx 11.*")

LAPTOP = {"viewport": {"width": 1366, "height": 768}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LESSON_BYTES = 3_000_000

DRAW = """from oddlab.lab import explore, subplots


def draw(n=2, kind="o", grid=True):
    figure, ax = subplots(figsize=(4, 3))
    ax.plot(range(n), range(n), kind)
    ax.set_xlim(0, 9)
    ax.set_ylim(0, 9)
    ax.grid(grid)
    return figure


explore(draw, n=(1, 9), kind=["o", "-"], grid=True)"""

OPENING = """# Sets of points

After this lesson you will be able to

1. count points;
2. join them.

**Time:** about 5 minutes. Code: [`pca.py`](../lib/oddlab/pca.py). A **ridge** is in the [glossary](glossary.md)."""


def write_course(root: Path, *cells, second: str = "# Lines\n\n**Time:** about 1 minute.") -> Path:
    """A course of two lessons in `root`; `cells` are those of the first."""
    folder = root / "notebooks"
    (folder / "solutions").mkdir(parents=True, exist_ok=True)
    if not (root / "lib").is_dir():
        (root / "lib").symlink_to(Path(__file__).parents[2] / "lib")
    (root / "README.md").write_text("# oddlab\n\nA kit.\n")
    (folder / "glossary.md").write_text(
        "# Glossary\n\n| term | meaning | lesson |\n|---|---|---|\n| ridge | A bit. | [01](01_points.ipynb) |\n"
    )
    (folder / "teaching.md").write_text("# For teachers\n\nAsk.\n")
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    first = new_notebook(cells=list(cells) or [new_markdown_cell(OPENING), new_code_cell(DRAW)], metadata=kernel)
    nbformat.write(first, folder / "01_points.ipynb")
    figure = 'from oddlab.lab import show, subplots\nshow(subplots()[0], "Two empty axes.")'
    last = new_notebook(cells=[new_markdown_cell(second), new_code_cell(figure)], metadata=kernel)
    nbformat.write(last, folder / "02_lines.ipynb")
    answers = new_notebook(cells=[new_markdown_cell("# Solutions: points"), new_code_cell("1 + 1")], metadata=kernel)
    nbformat.write(answers, folder / "solutions" / "01_points.ipynb")
    return folder


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> tuple[Path, Path]:
    """A small course, and the folder of its site."""
    root = tmp_path_factory.mktemp("course")
    folder, out = write_course(root), root / "site"
    build(out, folder)
    return folder, out


@pytest.fixture(scope="session")
def html(request) -> Path:
    """The pages of the site: those of `--site`, or of a small course."""
    if chosen := request.config.getoption("--site"):
        return Path(chosen).resolve() / "html"
    return request.getfixturevalue("course")[1] / "html"


@pytest.fixture(scope="session")
def lessons(html) -> list[Path]:
    """The pages of all lessons."""
    found = sorted((html / "notebooks").glob("[0-9]*.html"))
    assert found
    return found


@pytest.fixture
def opened(browser):
    """A function that opens a page in a window of its own; none may complain or ask the network."""
    contexts, complaints = [], []

    def open_page(path: Path, **window):
        context = browser.new_context(**window)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: complaints.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None,
        )
        if window.get("java_script_enabled", True):
            page.on("requestfailed", lambda failed: complaints.append(f"not there: {failed.url}"))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def picture(figure) -> str:
    """The picture that a figure with controls shows, once it is there."""
    image = figure.query_selector("img")
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.naturalWidth") > 50
    return image.get_attribute("src")


@pytest.mark.parametrize("window", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_each_control_of_each_lesson_changes_its_picture(opened, lessons, window):
    figures = 0
    for lesson in lessons:
        page = opened(lesson, **window)
        assert page.evaluate("document.documentElement.scrollWidth") <= window["viewport"]["width"]
        for figure in page.query_selector_all(".oddlab-stills"):
            figures += 1
            first = picture(figure)
            for control in figure.query_selector_all("input[type=range]"):
                control.focus()
                end = "Home" if control.evaluate("control => control.value === control.max") else "End"
                page.keyboard.press(end)
                assert picture(figure) != first, f"{lesson.stem}: {control.evaluate('c => c.parentElement.innerText')}"
                said = control.evaluate("control => control.parentElement.querySelector('output').innerText")
                assert said == control.get_attribute("aria-valuetext")
                figure.query_selector(".oddlab-reset").click()
                assert picture(figure) == first
            for control in figure.query_selector_all("select"):
                seen = set()
                for i in range(control.evaluate("control => control.options.length")):
                    control.select_option(index=i)
                    seen.add(picture(figure))
                assert len(seen) > 1
                figure.query_selector(".oddlab-reset").click()
            for control in figure.query_selector_all("input[type=checkbox]"):
                control.click()
                assert figure.query_selector("code").inner_text() in figure.query_selector("img").get_attribute("alt")
                figure.query_selector(".oddlab-reset").click()
            assert picture(figure) == first
        page.context.close()
    assert figures


def test_a_slider_moves_by_mouse_and_by_touch(opened, lessons):
    lesson = next(lesson for lesson in lessons if "oddlab-stills" in lesson.read_text())
    for window in (LAPTOP, PHONE):
        page = opened(lesson, **window)
        figure = page.query_selector(".oddlab-stills")
        slider = figure.query_selector("input[type=range]")
        slider.scroll_into_view_if_needed()
        first = picture(figure)
        box = slider.bounding_box()
        far = box["width"] - 4 if float(slider.get_attribute("value")) < 1 else 4
        point = (box["x"] + far, box["y"] + box["height"] / 2)
        page.touchscreen.tap(*point) if window is PHONE else page.mouse.click(*point)
        assert picture(figure) != first


def test_the_call_is_copied(opened, lessons):
    lesson = next(lesson for lesson in lessons if "oddlab-stills" in lesson.read_text())
    page = opened(lesson, **LAPTOP, permissions=["clipboard-read", "clipboard-write"])
    figure = page.query_selector(".oddlab-stills")
    figure.query_selector(".oddlab-copy").click()
    assert page.evaluate("getSelection().toString()") == figure.query_selector("code").inner_text()


def test_without_scripts_the_first_pictures_are_seen(opened, lessons):
    lesson = next(lesson for lesson in lessons if "oddlab-stills" in lesson.read_text())
    page = opened(lesson, **LAPTOP, java_script_enabled=False)
    for figure in page.query_selector_all(".oddlab-stills"):
        assert figure.query_selector("img").is_visible()
        assert not figure.query_selector(".oddlab-controls").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, html, lessons, scheme):
    from axe_playwright_python.sync_playwright import Axe

    for path in (html / "index.html", lessons[0], html / "reference" / "oddlab.gaussian.html"):
        page = opened(path, **LAPTOP, color_scheme=scheme)
        # The theme fades its colours in, and axe would measure the contrast of a colour on its way.
        page.wait_for_function("document.getAnimations().every(animation => animation.playState !== 'running')")
        # What axe would load on its own it cannot load from a disk.
        found = Axe().run(page, options={"preload": False}).response["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path.name


def test_search_finds_from_the_disk(opened, html):
    page = opened(html / "search.html", **LAPTOP)
    page.goto((html / "search.html").as_uri() + "?q=MultiVariateGaussian")
    page.wait_for_selector("#search-results li")
    assert "MultiVariateGaussian" in page.inner_text("#search-results")


def test_formulas_are_set(opened, html):
    page = opened(html / "reference" / "oddlab.gaussian.html", **LAPTOP)
    page.wait_for_selector("mjx-container svg")


def test_a_lesson_stays_within_its_bytes(html, lessons):
    for lesson in lessons:
        pictures = [
            *(html / "_static/stills" / lesson.stem).glob("*"),
            *(html / "_static/figures" / lesson.stem).glob("*"),
        ]
        assert sum(path.stat().st_size for path in [lesson, *pictures]) <= LESSON_BYTES, lesson.stem


def test_pictures_have_words(html, lessons):
    for lesson in lessons:
        for tag in re.findall(r"<img[^>]*>", lesson.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]+"', tag), f"{lesson.stem}: {tag[:200]}"


def test_the_overview_has_time_and_outcomes(course):
    page = (course[1] / "html" / "index.html").read_text(encoding="utf-8")
    assert "01 Sets of points" in page and "About 5 minutes." in page and "<p>join them.</p>" in page
    lesson = (course[1] / "html" / "notebooks" / "01_points.html").read_text(encoding="utf-8")
    assert "glossary.html#term-ridge" in lesson and "notebooks/01_points.ipynb" in lesson


def test_only_what_changed_runs_again(course):
    folder, out = course
    ran = []
    write_course(folder.parent, second="# Lines, with other words\n\n**Time:** about 1 minute.")
    build(out, folder, on_progress=lambda result: ran.append(result.name))
    assert ran == []
    assert "Lines, with other words" in (out / "html/notebooks/02_lines.html").read_text(encoding="utf-8")


def test_a_lesson_that_fails_is_named(tmp_path):
    folder = write_course(tmp_path, new_markdown_cell("# Points"), new_code_cell("1 / 0"))
    with pytest.raises(SiteError, match="01_points: ZeroDivisionError"):
        build(tmp_path / "site", folder)
    assert not (tmp_path / "site/html").exists()


def test_a_link_that_leads_nowhere_is_named_by_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(write_course(tmp_path, new_markdown_cell("# Points\n\n[gone](03_gone.ipynb)")).parent)
    done = CliRunner().invoke(main, ["site", "--out", "site"])
    assert done.exit_code == 1 and "03_gone.ipynb" in done.output and "01_points" in done.output


def test_what_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "find_spec", lambda name: None)
    with pytest.raises(SiteError, match="sphinx is not installed: run `uv run --group site oddlab site`"):
        build(tmp_path, write_course(tmp_path / "course"))
