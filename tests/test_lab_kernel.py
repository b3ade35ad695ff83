"""What a notebook keeps of figures, numbers and widgets, seen in one that a kernel has run."""

from __future__ import annotations

import base64
import io

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from oddlab.lab.figures import key_figure
from oddlab.lab.recording import recorded

CELLS = {
    "start": """
from oddlab.lab import corners, explore, record, show, show_source, subplots
from oddlab.lab.figures import png, use_defaults
use_defaults()""",
    "draw": """
def draw(k=1, wide=False):
    figure, ax = subplots(figsize=(4, 3))
    ax.plot([0, 1 / (k - 3)])
    ax.set_ylabel("a label " * 3 * k)
    return figure
draw()""",
    "pyplot": """
from matplotlib import pyplot
def with_pyplot(k=1):
    return pyplot.subplots()[0]
explore(with_pyplot, k=(1, 2))""",
    "show": """
figure, ax = subplots()
ax.imshow([[i * j % 255 for i in range(300)] for j in range(300)], cmap="turbo")
show(figure, "A pattern of many colours.")
size = len(png(figure))""",
    "key": "show(draw(), 'A line that falls <from> left to right.', key=True)",
    "record": "record(image_auroc=0.123456789, seconds=3.1)",
    "record again": "record(seconds=2, device='cpu')",
    "explore": "explorer = explore(draw, k=(1, 9), wide=False)\nexplorer",
    "source": "show_source(show)",
    "move": "explorer.controls['k'].value = 2",
    "size": "print(size)",
    "fails": """
try:
    explorer.controls['k'].value = 3
except ZeroDivisionError:
    print("raised")""",
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The cells above, executed, written and read again."""
    executed = new_notebook(cells=[new_code_cell(source.strip()) for source in CELLS.values()])
    NotebookClient(executed, kernel_name="python3", timeout=120).execute()
    path = tmp_path_factory.mktemp("kernel") / "executed.ipynb"
    nbformat.write(executed, path)
    return nbformat.read(path, 4)


def outputs(notebook, name: str) -> list:
    return notebook.cells[list(CELLS).index(name)].outputs


def picture(output) -> Image.Image:
    [data] = (data for mime, data in output.data.items() if mime.startswith("image/"))
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_figure_as_last_expression_is_shown_once_in_its_own_size(notebook):
    [output] = outputs(notebook, "draw")
    # A tight box would have made room for the label.
    assert picture(output).size == (320, 240)


def test_a_figure_of_pyplot_is_not_shown_beside_the_widget(notebook):
    [output] = outputs(notebook, "pyplot")
    assert "application/vnd.jupyter.widget-view+json" in output.data


def test_a_picture_of_many_colours_is_a_small_jpeg_and_keeps_its_words(notebook):
    [output] = outputs(notebook, "show")
    assert picture(output).format == "JPEG"
    assert len(base64.b64decode(output.data["image/jpeg"])) < int(outputs(notebook, "size")[0].text) / 2
    assert output.data["text/plain"] == output.metadata["image/jpeg"]["alt"] == "A pattern of many colours."
    assert "oddlab" not in output.metadata


def test_the_key_figure_is_found_and_a_plot_is_a_png_with_a_palette(notebook):
    [output] = outputs(notebook, "key")
    assert output.metadata["oddlab"] == {"key_figure": True}
    alt = "A line that falls <from> left to right."
    assert output.metadata["image/png"]["alt"] == alt and picture(output).mode == "P"
    assert key_figure(notebook) == ("data:image/png;base64," + output.data["image/png"].strip(), alt)


def test_numbers_are_recorded_exactly_and_shown_rounded(notebook):
    [output] = outputs(notebook, "record")
    assert output.data == {"text/plain": "image_auroc 0.1235, seconds 3.1"}
    assert recorded(notebook) == {"image_auroc": 0.123456789, "seconds": 2, "device": "cpu"}


def test_source_is_rendered(notebook):
    [output] = outputs(notebook, "source")
    assert output.data["text/markdown"].startswith("`oddlab/lab/figures.py`, line ")


def test_moving_a_control_says_nothing_in_the_cell(notebook):
    assert outputs(notebook, "move") == []


def test_a_callback_that_fails_raises_in_the_cell_and_leaves_its_error_in_the_widget(notebook):
    assert outputs(notebook, "fails")[0].text == "raised\n"
    models = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    shown = [model["state"]["outputs"] for model in models.values() if model["model_name"] == "OutputModel"]
    assert sorted([output["output_type"] for output in each] for each in shown) == [["display_data"], ["error"]]
    [error] = next(each for each in shown if each[0]["output_type"] == "error")
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    [last] = next(each for each in shown if each[0]["output_type"] == "display_data")
    assert last["metadata"]["image/png"]["alt"] == "with_pyplot(k=1)"
