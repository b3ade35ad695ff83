"""The runner: real notebooks through real kernels, small ones."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from oddlab.lab.index_page import index_page
from oddlab.lab.parameters import Refused, check_parameters, read_parameters
from oddlab.lab.result import Result
from oddlab.lab.runner import find_notebooks, plan, read_summary, run_all, title, widget_errors

SHOW = """
from oddlab.lab import record, show, subplots
figure, ax = subplots()
show(figure, 'Axes < 1 & "empty"', key=True)
record(auroc=0.951234, n=40)
"""
SLIDER = """
import ipywidgets
def draw(x):
    if x == 3:
        raise ValueError("three is bad")
    print(x)
slider = ipywidgets.IntSlider(0, 0, 5)
display(slider, ipywidgets.interactive_output(draw, {"x": slider}))
"""
BUTTON = "import ipywidgets\nb = ipywidgets.Button()\nb.on_click(lambda _: 1 / 0)\nb.click()"


def write_notebook(path: Path, *cells: str, parameters: str = "seed = 0") -> Path:
    path.parent.mkdir(exist_ok=True)
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    heading = new_markdown_cell(f"# {path.stem}: a *claim* & `code`")
    # Another name of kernel than python3 must not matter.
    kernel = {"kernelspec": {"name": "somebody", "display_name": "Somebody's"}}
    nbformat.write(new_notebook(cells=[heading, tagged, *map(new_code_cell, cells)], metadata=kernel), path)
    return path


def texts(path: Path) -> list[str]:
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]
    return [output.text.strip() for output in outputs if output.output_type == "stream"]


def kernels() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of notebooks that end in each way."""
    folder = tmp_path_factory.mktemp("{braces} and é")
    notebooks = [
        write_notebook(
            folder / "notebooks" / "01_ok.ipynb",
            "import os; print(seed, lr, os.getcwd())",
            "import time; held = bytearray(200_000_000); time.sleep(1)",
            SHOW,
            SLIDER,
            "slider.value = 2",
            parameters="seed = 0\nlr = 0.1",
        ),
        write_notebook(folder / "notebooks" / "02_raises.ipynb", "print(seed)", "1 / 0", "print('not reached')"),
        # The second value clears the error from the widget.
        write_notebook(folder / "notebooks" / "03_slider.ipynb", SLIDER, "slider.value = 3", "slider.value = 4"),
        write_notebook(folder / "notebooks" / "04_button.ipynb", BUTTON, "print('reached')"),
        write_notebook(folder / "notebooks" / "05_dies.ipynb", "import os; os.kill(os.getpid(), 9)"),
        write_notebook(folder / "notebooks" / "06_exits.ipynb", "import sys; sys.exit(0)", "print('not reached')"),
    ]
    seen: list[tuple[str, str, int]] = []
    out = folder / "out"
    results = run_all(
        notebooks,
        out,
        {"seed": "7", "lr": "1e-3"},
        on_progress=lambda result: seen.append((result.name, result.status, result.cells_done)),
    )
    return out, {result.name: result for result in results}, seen, folder


def test_ok(run):
    out, results, _, folder = run
    result = results["01_ok"]
    assert (result.status, result.errors, result.output) == ("ok", [], "01_ok.ipynb")
    assert texts(out / "01_ok.ipynb")[0] == f"7 0.001 {(folder / 'notebooks').resolve()}"
    assert result.parameters == {"seed": 7, "lr": 0.001}
    assert result.numbers == {"auroc": 0.951234, "n": 40}
    assert result.cells_done == result.cells == 7  # with the cell that papermill adds
    assert 1 < result.seconds < 60
    assert 200e6 < result.peak_memory < 2e9
    assert "application/vnd.jupyter.widget-state+json" in nbformat.read(out / "01_ok.ipynb", 4).metadata.widgets


@pytest.mark.parametrize(
    ("name", "cell", "ename", "evalue"),
    [
        ("02_raises", 4, "ZeroDivisionError", "division by zero"),
        ("03_slider", 4, "ValueError", "three is bad"),
        ("04_button", 3, "ZeroDivisionError", "division by zero"),
        ("05_dies", 3, "DeadKernelError", "the kernel died by SIGKILL, as it does when memory runs out"),
        ("06_exits", 3, "SystemExit", "0"),
    ],
)
def test_failed(run, name, cell, ename, evalue):
    out, results, _, _ = run
    assert results[name].status == "failed"
    [error] = results[name].errors
    assert error == {"cell": cell, "ename": ename, "evalue": evalue}
    assert results[name].output == f"{name}.failed.ipynb"
    assert not (out / f"{name}.ipynb").exists()
    shown = texts(out / f"{name}.failed.ipynb")
    assert "not reached" not in shown
    assert (name == "02_raises") == ("7" in shown)  # what was done before is kept


def test_progress(run):
    _, results, seen, _ = run
    names = list(results)
    assert seen[: len(names)] == [(name, "waiting", 0) for name in names]
    assert [entry[1:] for entry in seen if entry[0] == "02_raises"] == [
        *[("waiting", 0), ("running", 0), ("running", 0), ("running", 1), ("running", 2), ("running", 3)],
        ("failed", 3),
    ]


def test_nothing_is_left(run):
    out, results, _, _ = run
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [result.output for result in results.values()] + ["index.html", "summary.json"]
    )
    assert not kernels()


def test_summary(run):
    out, results, _, _ = run
    summary = json.loads((out / "summary.json").read_text())
    assert read_summary(out) == list(results.values())
    assert summary["devices"] and summary["versions"]["torch"]


def test_index(run):
    out, _, _, _ = run
    page = (out / "index.html").read_text()
    assert "1 of 6 notebooks ok" in page
    assert page.count("<article>") == 6
    [picture] = re.findall('<img src="data:image/png;base64,([^"]+)" alt="Axes &lt; 1 &amp; &quot;empty&quot;">', page)
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert '<th scope="row">auroc</th><td>0.9512</td>' in page
    assert '<a href="02_raises.failed.ipynb">' in page
    assert "In [4]: ZeroDivisionError: division by zero" in page
    assert "<h2>01_ok: a claim &amp; code</h2>" in page
    assert 'src="http' not in page and "<script" not in page


def test_index_has_no_figure_of_a_file_that_is_gone(tmp_path):
    gone = Result("01_gone", "01_gone.ipynb", status="ok", output="01_gone.ipynb")
    page = index_page(tmp_path, [gone], {"date": "now", "devices": [], "versions": {}})
    assert "<img" not in page and "<h2>01_gone</h2>" in page


def test_timeout(tmp_path):
    notebook = write_notebook(tmp_path / "01_slow.ipynb", "import time; time.sleep(60)")
    [result] = run_all([notebook], tmp_path / "out", timeout=1)
    [error] = result.errors
    assert (result.status, error["cell"], error["ename"]) == ("failed", 2, "CellTimeoutError")
    assert "after 1 seconds" in error["evalue"]
    assert result.seconds < 30
    assert not kernels()


def test_output_widgets_do_not_stall_the_run(tmp_path):
    # Without the engine's second look about one in forty of these cells waits for its time-out.
    prints = "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)"
    moves = "for i in range(3):\n    with out:\n        out.clear_output(wait=True)\n        display(i)"
    notebook = write_notebook(tmp_path / "01_widgets.ipynb", prints, *[moves] * 100)
    [result] = run_all([notebook], tmp_path / "out", timeout=40)
    assert result.status == "ok" and result.seconds < 40


def test_interrupt_and_resume(tmp_path):
    done = write_notebook(tmp_path / "01_done.ipynb", "print(seed)")
    long = write_notebook(tmp_path / "02_long.ipynb", "print('begun')", "print('ended')")
    last = write_notebook(tmp_path / "03_last.ipynb", "print(seed)")
    out = tmp_path / "out"

    def interrupt(result: Result) -> None:
        if result.name == "02_long" and result.cells_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([done, long, last], out, on_progress=interrupt)
    assert [result.status for result in read_summary(out)] == ["ok", "interrupted", "waiting"]
    assert sorted(path.name for path in out.iterdir()) == ["01_done.ipynb", "index.html", "summary.json"]
    assert not kernels()

    with pytest.raises(Refused, match="resume"):
        run_all([done], out)

    before = (out / "01_done.ipynb").stat().st_mtime_ns
    results = run_all([done, long], out, resume=True)
    assert [(result.status, result.kept) for result in results] == [("ok", True), ("ok", False)]
    assert (out / "01_done.ipynb").stat().st_mtime_ns == before
    assert [result.status for result in read_summary(out)] == ["ok", "ok", "waiting"]

    [again] = run_all([done], out, {"seed": 1}, resume=True)
    assert not again.kept and texts(out / "01_done.ipynb") == ["1"]


def test_a_failed_notebook_is_replaced_when_it_is_mended(tmp_path):
    notebook = write_notebook(tmp_path / "01_mended.ipynb", "1 / 0")
    out = tmp_path / "out"
    assert run_all([notebook], out)[0].status == "failed"
    write_notebook(notebook, "print(1)")
    assert run_all([notebook], out, resume=True)[0].status == "ok"
    assert sorted(path.name for path in out.glob("*.ipynb")) == ["01_mended.ipynb"]


@pytest.mark.parametrize(
    ("parameters", "device", "message"),
    [
        ({"sede": "1"}, None, "parameter sede: no selected notebook has it; did you mean seed?"),
        ({"seed": "1.5"}, None, "parameter seed of 01_a: expected int, got '1.5'"),
        ({"device": "cpu"}, "cpu", "parameter device: expected it once, got cpu and cpu"),
        ({}, "cuda", "device: expected .* torch sees no GPU; got 'cuda'"),
        ({"device": "cuda:0"}, None, "device: expected .* torch sees no GPU; got 'cuda:0'"),
        ({"device": "gpu"}, None, "device: expected .* got 'gpu'"),
    ],
)
def test_refused_before_anything_is_written(tmp_path, monkeypatch, parameters, device, message):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    notebook = write_notebook(tmp_path / "01_a.ipynb", parameters="seed = 0\ndevice = 'auto'")
    with pytest.raises(Refused, match=f"^{message}".replace("?", r"\?")):
        run_all([notebook], tmp_path / "out", parameters, device=device)
    assert not (tmp_path / "out").exists()


def test_out_must_be_a_folder_with_nothing_or_a_run_in_it(tmp_path):
    notebook = write_notebook(tmp_path / "01_a.ipynb")
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="out: expected a folder, got the file"):
        run_all([notebook], tmp_path / "file")
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(Refused, match="expected the summary of a run"):
        run_all([notebook], tmp_path, resume=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    notebook = write_notebook(tmp_path / "01_a.ipynb")
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="out: expected a folder that can be written, got .*file/out"):
        run_all([notebook], tmp_path / "file" / "out")


def test_of_two_runs_that_begin_together_one_is_refused(tmp_path):
    out = tmp_path / "out"
    notebook = write_notebook(tmp_path / "01_a.ipynb")
    # The second begins when the first has looked whether the folder is free, and has not written anything yet.
    with pytest.raises(
        Refused, match="out: expected a folder without a run, got .*out, in which another has just begun"
    ):
        run_all([notebook], out, on_progress=lambda result: out.exists() or run_all([notebook], out))
    assert [result.status for result in read_summary(out)] == ["ok"]


def test_what_cannot_be_stored_fails_alone(tmp_path, monkeypatch):
    notebooks = [write_notebook(tmp_path / f"0{i}_{name}.ipynb") for i, name in enumerate("abc")]
    replace = os.replace

    def full(source, target):
        if Path(target).name == "01_b.ipynb":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("oddlab.lab.runner.os.replace", full)
    results = run_all(notebooks, tmp_path / "out")
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert "No space left on device" in results[1].errors[0]["evalue"]
    assert [result.status for result in read_summary(tmp_path / "out")] == ["ok", "failed", "ok"]


def test_a_summary_that_cannot_be_stored_fails_alone(tmp_path, monkeypatch):
    notebooks = [write_notebook(tmp_path / f"0{i}_{name}.ipynb") for i, name in enumerate("ab")]
    replace, left = os.replace, [False, True, False]

    def full(source, target):
        if Path(target).name == "summary.json" and left and left.pop(0):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("oddlab.lab.runner.os.replace", full)
    assert [result.status for result in run_all(notebooks, tmp_path / "out")] == ["failed", "ok"]


def test_a_disk_that_is_full_at_once_is_refused_and_leaves_no_run(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "01_a.ipynb")
    replace = os.replace

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oddlab.lab.runner.os.replace", full)
    with pytest.raises(Refused, match="out: expected a folder that can be written, got .*No space left"):
        run_all([notebook], tmp_path / "out")
    monkeypatch.setattr("oddlab.lab.runner.os.replace", replace)
    assert run_all([notebook], tmp_path / "out")[0].status == "ok"


def test_a_cell_that_says_so_may_raise(tmp_path):
    notebook = write_notebook(tmp_path / "01_raises.ipynb", "1 / 0", "print('reached')", "raise KeyError('other')")
    stored = nbformat.read(notebook, 4)
    stored.cells[2].metadata["tags"] = ["raises-exception"]
    nbformat.write(stored, notebook)
    [result] = run_all([notebook], tmp_path / "both")
    assert [error["ename"] for error in result.errors] == ["KeyError"]

    stored.cells.pop()
    nbformat.write(stored, notebook)
    [result] = run_all([notebook], tmp_path / "one")
    assert (result.status, result.errors) == ("ok", [])
    executed = nbformat.read(tmp_path / "one" / result.output, 4)
    assert "reached" in texts(tmp_path / "one" / result.output)
    assert not [cell for cell in executed.cells if "An Exception was encountered" in cell.source]
    assert any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", ()))


def test_a_kernel_takes_the_cores_that_are_free_unless_it_is_told(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "01_a.ipynb", "import os; print(os.environ['OMP_NUM_THREADS'])")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("oddlab.machine.cores", lambda: 8)
    for load, threads in ((5.2, "3"), (20.0, "1")):
        monkeypatch.setattr("psutil.getloadavg", lambda load=load: (load, load, load))
        run_all([notebook], tmp_path / f"load {load}")
        assert texts(tmp_path / f"load {load}" / "01_a.ipynb") == [threads]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    run_all([notebook], tmp_path / "told")
    assert texts(tmp_path / "told" / "01_a.ipynb") == ["5"]


def test_a_kernel_keeps_the_memory_that_it_frees_unless_it_is_told(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "01_a.ipynb", "import os; print(os.environ['MALLOC_MMAP_MAX_'])")
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)
    run_all([notebook], tmp_path / "keeps")
    assert texts(tmp_path / "keeps" / "01_a.ipynb") == ["0"]
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "9")
    run_all([notebook], tmp_path / "told")
    assert texts(tmp_path / "told" / "01_a.ipynb") == ["9"]


@pytest.mark.skipif(os.name != "posix", reason="kernels are reached by ports")
def test_kernels_are_reached_by_files_so_that_none_takes_the_port_of_another(tmp_path):
    cell = "from ipykernel.connect import get_connection_info as get\nprint(get(unpack=True)['transport'])"
    [result] = run_all([write_notebook(tmp_path / "01_a.ipynb", cell)], tmp_path / "out")
    assert result.status == "ok" and texts(tmp_path / "out" / "01_a.ipynb") == ["ipc"]


def test_a_dictionary_arrives_as_one(tmp_path):
    notebook = write_notebook(
        tmp_path / "01_a.ipynb", "print(sorted(options.items()))", parameters="options = {'k': 1}"
    )
    [result] = run_all([notebook], tmp_path / "out", {"options": "{'a': 2, 'b': [1.5, None]}"})
    assert texts(tmp_path / "out" / "01_a.ipynb") == ["[('a', 2), ('b', [1.5, None])]"] and result.status == "ok"


def test_device_goes_where_there_is_one(tmp_path):
    has = write_notebook(tmp_path / "01_has.ipynb", parameters="device = 'auto'")
    has_not = write_notebook(tmp_path / "02_has_not.ipynb")
    planned = plan([has, has_not], {}, "cpu")
    assert [inject for _, inject in planned] == [{"device": "cpu"}, {}]
    assert [result.parameters for result, _ in planned] == [{"device": "cpu"}, {"seed": 0}]


@pytest.mark.parametrize(
    ("default", "given", "value"),
    [
        (0, "-1", -1),
        (0, -1, -1),
        (0.5, "1e-3", 1e-3),
        (0.5, "-1", -1.0),
        (0.5, 2, 2.0),
        (True, "false", False),
        (False, "True", True),
        ("x", "3", "3"),
        ("x", "a,b", "a,b"),
        ("x", "", ""),
        (None, "/data/a=b", "/data/a=b"),
        (None, "3", 3),
        (None, "None", None),
        (None, "1,2", "1,2"),
        ([1.0, 2.0], "[1, 2.5]", [1.0, 2.5]),
        (["a"], "['b', 'c']", ["b", "c"]),
        ([], "[1, 'a']", [1, "a"]),
        ({"k": 1}, "{'a': [2]}", {"a": [2]}),
        (None, "{'a': 2}", {"a": 2}),
    ],
)
def test_values(default, given, value):
    [taken] = check_parameters({"n": {"p": default}}, {"p": given}).values()
    assert taken == {"p": value} and type(taken["p"]) is type(value)


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        (0, "1.0", "int"),
        (0, "abc", "int"),
        (0, "true", "int"),
        (0, True, "int"),
        (0, "", "int"),
        (0.5, "abc", "a finite float"),
        (0.5, "nan", "a finite float"),
        (0.5, "1e999", "a finite float"),
        (0.5, "true", "a finite float"),
        (True, "1", "bool"),
        (True, "yes", "bool"),
        ("x", 3, "str"),
        ("x", None, "str"),
        ([1], "1", "list of int"),
        ([1], "['a']", "list of int"),
        ([1], "[1.5]", "list of int"),
        ((1,), "(2,)", "tuple"),
        ({"k": 1}, "{1: 2}", "dict"),
        ({"k": 1}, "[1]", "dict"),
    ],
)
def test_values_of_another_type(default, given, expected):
    with pytest.raises(Refused, match="^parameter p of n: expected ") as caught:
        check_parameters({"n": {"p": default}}, {"p": given})
    assert f"expected {expected}" in str(caught.value) and str(caught.value).endswith(f"got {given!r}")


def test_each_notebook_takes_the_type_of_its_own_default():
    taken = check_parameters({"a": {"p": 1.0}, "b": {"p": "x"}, "c": {}}, {"p": "2"})
    assert taken == {"a": {"p": 2.0}, "b": {"p": "2"}, "c": {}}


def test_read_parameters(tmp_path):
    lines = "# knobs\nseed: int = -3  # any\nlayers = ['a', 'b']\nroot = None\nhint: str\n'said'"
    assert read_parameters(write_notebook(tmp_path / "01_a.ipynb", parameters=lines)) == {
        "seed": -3,
        "layers": ["a", "b"],
        "root": None,
    }
    with pytest.raises(Refused, match="expected a literal as parameter, got `n = 2 [*] 3`"):
        read_parameters(write_notebook(tmp_path / "01_a.ipynb", parameters="n = 2 * 3"))
    with pytest.raises(Refused, match="not Python"):
        read_parameters(write_notebook(tmp_path / "01_a.ipynb", parameters="n ="))
    (tmp_path / "02_not.ipynb").write_text("{}")
    with pytest.raises(Refused, match="expected a notebook"):
        read_parameters(tmp_path / "02_not.ipynb")


def test_find_notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    padim, blur = (write_notebook(folder / f"{stem}.ipynb") for stem in ("05_padim", "03_blur"))
    write_notebook(folder / "_look_at_me.ipynb")
    monkeypatch.chdir(tmp_path)
    names = [Path("notebooks") / path.name for path in (blur, padim)]
    assert find_notebooks() == names
    assert find_notebooks(["padim", "03_blur", "notebooks/03_blur.ipynb"]) == names[::-1]
    assert find_notebooks([str(padim)]) == [padim]
    with pytest.raises(Refused, match="one of 03_blur, 05_padim; got blurr$"):
        find_notebooks(["blurr"])
    with pytest.raises(Refused, match="got two of 03_blur"):
        find_notebooks(["blur", str(blur)])
    with pytest.raises(Refused, match="got none"):
        find_notebooks(folder=tmp_path)


def test_widget_errors_in_the_saved_state():
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    state = {"a": {"state": {"outputs": [{"output_type": "stream"}, error]}}, "b": {"state": {"value": 3}}}
    saved = {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": state}}}
    assert widget_errors(new_notebook(metadata=saved)) == [("ValueError", "no")]
    assert widget_errors(new_notebook()) == []


def test_title():
    assert title(new_notebook(cells=[new_code_cell("# no"), new_markdown_cell("\n## **PCA**: `n`\n# two")])) == "PCA: n"
    assert title(new_notebook()) == ""
