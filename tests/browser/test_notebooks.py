"""Every notebook in a real JupyterLab: it runs, its sliders work, nothing is clipped and nothing jumps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from .lab_page import CLIPPED, PICTURE, WATCH_HEIGHT, LabPage, name_of, opened

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request, browser, lab_folder, lab_url, redraws) -> LabPage:
    """A copy of a notebook, opened and run; the tests below follow one another on the same page."""
    copy = lab_folder / request.param.name
    shutil.copy(request.param, copy)
    with opened(browser, f"{lab_url}/lab/tree/{copy.name}") as page:
        yield page
    redraws[request.param.stem] = page.redraws


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_xdist_has_the_method_that_keeps_tests_together():
    assert "_split_scope" in vars(LoadScopeScheduling)


def test_runs_without_errors(notebook):
    assert notebook.errors() == []


def test_nothing_is_clipped(notebook):
    assert [clipped for box in notebook.boxes for clipped in box.evaluate(CLIPPED)] == []


def test_each_slider_changes_its_picture_and_nothing_jumps(notebook):
    for box in notebook.boxes:
        notebook.look_at(box)
        box.evaluate(WATCH_HEIGHT)
        for handle in box.query_selector_all(".noUi-handle"):
            assert notebook.move(box, handle), f"{name_of(handle)} does not change its picture"
            assert notebook.errors() == []
        heights = box.evaluate("box => box.heights")
        assert max(heights) - min(heights) <= 2


def test_each_dropdown_changes_its_picture_and_each_box_to_tick_works(notebook):
    for box, first in zip(notebook.boxes, notebook.first):
        notebook.look_at(box)
        for select in box.query_selector_all("select"):
            # Where another dropdown was left, this one may be without effect: each is tried from the start.
            assert notebook.reset(box, first)
            n = select.evaluate("select => select.options.length")
            # One choice may look like another where the sliders stand now, all of them may not.
            assert any(notebook.choose_another(box, select) for _ in range(n - 1)), (
                f"{box.inner_text()[:80]}: no change"
            )
        for tick in box.query_selector_all("input[type=checkbox]"):
            notebook.change(box, tick.click)  # an outline of what is not there changes nothing
        assert notebook.errors() == []


def test_copy_as_code_shows_and_copies_the_call(notebook):
    for box in notebook.boxes:
        notebook.look_at(box)  # what is far outside of the window has no text
        code = box.query_selector(".oddlab-code").inner_text()
        box.query_selector("button:text-is('Copy as code')").click()
        assert code.endswith(")")
        assert notebook.page.evaluate("navigator.clipboard.readText()") == code


def test_reset_brings_the_first_picture_back(notebook):
    for box, first in zip(notebook.boxes, notebook.first):
        assert box.query_selector(".noUi-handle") is None or box.evaluate(PICTURE) != first
        assert notebook.reset(box, first)


def test_no_errors_after_all_that(notebook):
    assert notebook.errors() == []
