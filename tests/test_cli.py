"""The command: what it accepts, prints and exits with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console

from oddlab import doctor
from oddlab.cli import main
from oddlab.lab.progress import shown
from oddlab.lab.result import Result

# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C; the command must not.
SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
ODDLAB = [sys.executable, "-c", SIGINT + "from oddlab.cli import main; main()"]


@pytest.fixture
def notebooks(tmp_path, monkeypatch) -> Path:
    def write(name: str, *cells: str) -> None:
        parameters = new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
        nbformat.write(new_notebook(cells=[parameters, *map(new_code_cell, cells)]), tmp_path / "notebooks" / name)

    (tmp_path / "notebooks").mkdir()
    write("01_good.ipynb", "assert seed in (0, 3)")
    write("02_bad.ipynb", "raise ValueError('first line\\nsecond line')")
    write("03_long.ipynb", "import time\nfor _ in range(600): time.sleep(.1)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def oddlab(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_ok(notebooks):
    result = oddlab("run", "good", "-p", "seed=3")
    assert result.exit_code == 0, result.output
    [out] = Path("runs").iterdir()
    first, last = result.output.splitlines()
    assert first.startswith("ok      01_good") and "2/3" not in first and "3/3 cells" in first
    assert last == f"1 of 1 notebooks ok: {out / 'index.html'}"
    assert (out / "01_good.ipynb").is_file() and (out / "index.html").is_file()


def test_failed(notebooks):
    result = oddlab("run", "02_bad", "good", "--out", "out")
    assert result.exit_code == 1
    assert "02_bad: In [2]: ValueError: first line\n    out/02_bad.failed.ipynb\n" in result.output
    assert "second line" not in result.output
    assert result.output.endswith("1 of 2 notebooks ok: out/index.html\n")

    result = oddlab("run", "good", "--out", "out", "--resume")
    assert result.exit_code == 0 and "(kept)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["blurr"], "one of 01_good, 02_bad, 03_long; got blurr"),
        (["-p", "sed=1"], "did you mean seed?"),
        (["-p", "seed=a"], "expected int, got 'a'"),
        (["-p", "seed"], "expected name=value, got 'seed'"),
        (["-p", "seed=1", "-p", "seed=2"], "expected it once"),
        (["--resume"], "expected --out"),
        (["--device", "tpu"], "'tpu' is not one of"),
        (["--timeout", "0"], "--timeout"),
        (["--out", "notebooks/01_good.ipynb/out"], "out: expected a folder that can be written"),
    ],
)
def test_refused(notebooks, arguments, message):
    result = oddlab("run", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not Path("runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_interrupted(notebooks):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = subprocess.Popen([*ODDLAB, "run", "good", "long", "bad", "-p", "seed=3", "--out", "out"], **pipes)
    assert "01_good" in command.stdout.readline()
    time.sleep(2)
    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate(timeout=120)
    assert command.returncode == 130
    # Older kernels' debuggers say something of their own first.
    assert stderr.splitlines()[-1] == (
        "Interrupted. What is finished is in out; go on with: oddlab run good long bad -p seed=3 --resume --out out"
    )
    summary = json.loads(Path("out/summary.json").read_text())
    assert [result["status"] for result in summary["notebooks"]] == ["ok", "interrupted", "waiting"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["01_good.ipynb", "index.html", "summary.json"]


def test_paths_are_relative_to_the_shell(notebooks):
    parameters = new_code_cell("data_root = ''\ncategory = ''", metadata={"tags": ["parameters"]})
    cell = new_code_cell("import os; print(os.path.isdir(data_root), category)")
    nbformat.write(new_notebook(cells=[parameters, cell]), "notebooks/04_paths.ipynb")
    Path("bolts").mkdir()
    result = oddlab("run", "paths", "-p", "data_root=bolts", "-p", "category=bolts", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "True bolts" in Path("out/04_paths.ipynb").read_text()


def test_starts_fast():
    loaded = "import sys, oddlab.cli; print([m for m in ('torch', 'papermill', 'rich', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "[]\n"


def test_live_table():
    console = Console(file=StringIO(), force_terminal=True, width=100)
    with shown(console) as show:
        assert console.file.getvalue() == ""  # what is refused is told without a table
        result = Result("03_blur", "03_blur.ipynb")
        show(result)
        result.status, result.cells_done, result.cells, result.peak_memory = "ok", 9, 9, 10**8
    drawn = console.file.getvalue().splitlines()
    assert any("03_blur" in line and "9/9" in line and "100 MB" in line and "✓ ok" in line for line in drawn)


def test_doctor():
    result = oddlab("doctor")
    assert result.exit_code == 0, result.output
    for name in ("torch", "papermill", "kernel python3", "cpu:", "efficientnet_lite0", "disk"):
        assert name in result.output


def test_doctor_says_how_to_get_what_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda package: None if package == "papermill" else "1.0")
    result = oddlab("doctor")
    assert result.exit_code == 1
    assert "papermill (needed):\n    " in result.output and "pip install papermill\n" in result.output


def test_doctor_sees_a_kernel_of_another_python(tmp_path, monkeypatch):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    elsewhere = {"argv": ["/elsewhere/bin/python"], "display_name": "", "language": ""}
    (spec / "kernel.json").write_text(json.dumps(elsewhere))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    finding = doctor.kernel()
    assert (finding.state, finding.found) == ("missing", "starts /elsewhere/bin/python")
    assert finding.get.startswith(sys.executable)
