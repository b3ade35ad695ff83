"""Sweeps: real kernels of a small notebook, on workers that are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import distributed
import nbformat
import pandas as pd
import psutil
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import oddlab
from oddlab.cli import main
from oddlab.lab import cluster, sweeping
from oddlab.lab.parameters import Refused
from oddlab.lab.result import Result
from oddlab.lab.runner import run_all
from oddlab.lab.sweeping import name_of, read_run, run_whole, split_values, sweep

GRID = {"sigma": [1.0, 2.0, 4.0], "seed": [0, 1]}
WAIT = 600
"""Seconds after which a test gives up, on a busy machine."""


def write_notebook(folder: Path, *cells: str, name: str = "01_small") -> Path:
    tagged = new_code_cell("seed = 0\nsigma = 1.0", metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell("# A small notebook"), tagged, *map(new_code_cell, cells)])
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


RECORD = """
import os
from oddlab.lab import record
record(score=10 * sigma + seed, threads=int(os.environ["OMP_NUM_THREADS"]))
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    path = write_notebook(folder, RECORD, "assert not (sigma == 4 and seed == 1), 'too wide'")
    seen = []
    table = sweep(path, GRID, out=folder / "out", jobs=2, on_progress=lambda rs: seen.append([r.status for r in rs]))
    return folder, path, table, seen


def test_every_combination_is_a_row_with_its_numbers(swept):
    _, _, table, _ = swept
    assert list(table.columns) == ["sigma", "seed", "status", "score", "threads", "seconds", "MB", "error"]
    assert list(zip(table["sigma"], table["seed"])) == [(1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1)]
    assert list(table["status"]) == ["ok"] * 5 + ["failed"]
    assert list(table["score"]) == [10, 11, 20, 21, 40, 41]
    assert set(table["threads"]) == {max(1, len(os.sched_getaffinity(0)) // 2)}
    assert table["error"].iloc[-1] == "AssertionError: too wide" and (table["seconds"] > 0).all()


def test_every_run_is_a_folder_and_nothing_is_left_over(swept):
    folder, _, table, _ = swept
    runs = {f"sigma={sigma},seed={seed}" for sigma, seed in zip(table["sigma"], table["seed"])}
    assert {path.name for path in (folder / "out").iterdir()} == {*runs, "table.csv", "index.html"}
    assert {path.name for path in (folder / "out/sigma=1.0,seed=0").iterdir()} == {"run.json", "01_small.ipynb"}
    assert (folder / "out/sigma=4.0,seed=1/01_small.failed.ipynb").is_file()
    read = pd.read_csv(folder / "out/table.csv", keep_default_na=False)
    assert read["score"].tolist() == table["score"].tolist() and read["error"].tolist() == table["error"].tolist()


def test_progress_is_told_while_runs_go_on(swept):
    *_, seen = swept
    assert seen[0] == ["waiting"] * 6 and seen[-1] == ["ok"] * 5 + ["failed"]
    assert any("running" in statuses for statuses in seen)


def test_the_page_has_curves_and_a_table_that_can_be_sorted(swept):
    folder, *_ = swept
    page = (folder / "out/index.html").read_text()
    assert "5 of 6 runs ok" in page and page.count("<th scope") == 8 and page.count("<tr>") == 7
    assert 'alt="score, threads, seconds, MB over sigma: mean' in page and "over seed" not in page
    assert 'href="sigma%3D1.0%2Cseed%3D0/01_small.ipynb"' in page and "too wide" in page


def test_a_sweep_goes_on_where_it_stood(swept):
    folder, path, table, _ = swept
    out = folder / "out"
    with pytest.raises(Refused, match=r"out: expected a folder without this sweep, or resume"):
        sweep(path, GRID, out=out)
    kept = (out / "sigma=1.0,seed=0/run.json").stat().st_mtime_ns
    write_notebook(folder, RECORD)  # mended
    again = sweep(path, {**GRID, "seed": [0, 1, 2]}, out=out, jobs=2, resume=True)
    assert list(again["status"]) == ["ok"] * 9 and (out / "sigma=1.0,seed=0/run.json").stat().st_mtime_ns == kept
    assert not (out / "sigma=4.0,seed=1/01_small.failed.ipynb").exists()
    assert sorted(set(table["score"]) | {12, 22, 42}) == sorted(again["score"])


def without_times(table: pd.DataFrame) -> list[list]:
    return table.drop(columns=["seconds", "MB"]).to_numpy().tolist()


def processes(*words: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if all(word in " ".join(process.cmdline()) for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_one(words: tuple[str, ...], stop: threading.Event) -> None:
    while not stop.wait(0.05):
        if found := processes(*words):
            found[0].kill()
            return


def test_a_worker_that_is_killed_loses_no_run(tmp_path):
    path = write_notebook(tmp_path, "import time; time.sleep(0.5)", RECORD)
    parameters = {"sigma": [1.0], "seed": [0, 1, 2, 3]}
    expected = [[1.0, seed, "ok", 10 + seed, 1, ""] for seed in range(4)]
    stop, killed = threading.Event(), []

    def kill_a_worker(results):
        if not killed and any(result.status == "running" for result in results):
            killed.append(processes("spawn_main")[-1])
            killed[0].kill()

    cores = len(os.sched_getaffinity(0))
    table = sweep(path, parameters, out=tmp_path / "out", jobs=2, on_progress=kill_a_worker)
    stop.set()
    assert killed and not killed[0].is_running()
    for row in expected:
        row[4] = max(1, cores // 2)
    assert without_times(table) == expected


def test_a_kernel_that_is_killed_is_a_failed_row_and_is_run_again(tmp_path):
    path = write_notebook(tmp_path, "import time; time.sleep(1)", RECORD)
    stop = threading.Event()
    killer = threading.Thread(target=kill_one, args=(("ipykernel_launcher",), stop))
    killer.start()
    table = sweep(path, {"seed": [0, 1]}, out=tmp_path / "out")
    stop.set()
    killer.join()
    assert sorted(table["status"]) == ["failed", "ok"]
    assert "Kernel" in table.loc[table["status"] == "failed", "error"].item()
    again = sweep(path, {"seed": [0, 1]}, out=tmp_path / "out", resume=True)
    assert list(again["score"]) == [10, 11] and list(again["status"]) == ["ok", "ok"]


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and two workers as processes of their own; its address, and the processes."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    started = [
        subprocess.Popen([*command, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"], stderr=subprocess.PIPE)
    ]
    for line in started[0].stderr:
        if found := re.search(r"tcp://127\.0\.0\.1:\d+", line.decode()):
            break
    command = [sys.executable, "-m", "distributed.cli.dask_worker", found[0], "--nthreads", "1", "--no-dashboard"]
    started += [subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=tmp_path) for _ in range(2)]
    yield found[0], started
    for process in started:
        process.kill()
        process.wait()


def test_another_scheduler_does_the_same_and_when_it_goes_away_nothing_is_lost(tmp_path, scheduler):
    address, started = scheduler
    path = write_notebook(tmp_path, "import time; time.sleep(0.3)", RECORD)
    out = tmp_path / "out"
    table = sweep(path, {"seed": [0, 1]}, out=out, scheduler=address)
    assert list(table["score"]) == [10, 11]

    def kill_the_scheduler(results):
        if sum(result.status == "ok" for result in results) == 3:
            started[0].kill()

    with pytest.raises(cluster.SchedulerGone, match="the scheduler went away"):
        sweep(path, {"seed": [*range(8)]}, out=out, scheduler=address, resume=True, on_progress=kill_the_scheduler)
    ended = [seed for seed in range(8) if read_run(out / f"seed={seed}")]
    assert 3 <= len(ended) < 8
    again = sweep(path, {"seed": [*range(8)]}, out=out, jobs=2, resume=True)
    assert list(again["score"]) == [10 + seed for seed in range(8)]


def test_a_scheduler_that_goes_away_before_it_gives_a_result_is_named_too(tmp_path, scheduler, monkeypatch):
    address, started = scheduler
    fetch = distributed.Future.result

    def fetch_from_nobody(future):
        started[0].kill()
        return fetch(future)

    monkeypatch.setattr(distributed.Future, "result", fetch_from_nobody)
    path = write_notebook(tmp_path, RECORD)
    with pytest.raises(cluster.SchedulerGone, match="the scheduler went away"):
        sweep(path, {"seed": [0, 1]}, out=tmp_path / "out", scheduler=address)
    monkeypatch.undo()
    again = sweep(path, {"seed": [0, 1]}, out=tmp_path / "out", resume=True)
    assert list(again["score"]) == [10, 11]


def test_a_worker_of_another_version_is_refused_before_anything_runs(tmp_path, scheduler, monkeypatch):
    address, _ = scheduler
    path = write_notebook(tmp_path, RECORD)
    monkeypatch.setattr(oddlab, "__version__", "9.9")
    with pytest.raises(Refused, match=rf"scheduler: expected oddlab 9\.9 on tcp://.*, got {re.escape('0.')}"):
        sweep(path, {"seed": [0]}, out=tmp_path / "out", scheduler=address)
    assert not list((tmp_path / "out").glob("seed*"))


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 1)
    with pytest.raises(Refused, match=r"scheduler: expected one with workers that answers at tcp://127\.0\.0\.1:9,"):
        sweep(write_notebook(tmp_path, RECORD), {"seed": [0]}, out=tmp_path / "out", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sgima": [1]}, "parameter sgima: no selected notebook has it; did you mean sigma?"),
        ({"seed": [0, "x"]}, "parameter seed of 01_small: expected int, got 'x'"),
        ({"seed": []}, "parameter seed: expected at least one value, got none"),
        ({"seed": [*range(101)]}, "parameters: expected at most 100 runs unless more are asked for, got 101"),
        ({"seed": [1, 1]}, "parameters: expected each combination once"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(tmp_path, parameters, message):
    with pytest.raises(Refused, match=re.escape(message)):
        sweep(write_notebook(tmp_path, RECORD), parameters, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_cannot_be_stored_is_absent_and_says_so(tmp_path, monkeypatch):
    path = write_notebook(tmp_path, RECORD)
    monkeypatch.setattr(
        sweeping, "write_whole", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    result = Result("seed=0", str(path))
    ended = run_whole(result, {"seed": 0}, tmp_path, timeout=60, on_progress=lambda result: None)
    assert ended.status == "failed" and "cannot be stored: [Errno 28] No space left" in ended.errors[0]["evalue"]
    assert not (tmp_path / "seed=0").exists() and not list((tmp_path / ".unfinished").iterdir())


def test_a_full_disk_is_said_and_the_sweep_goes_on_once_there_is_room(tmp_path, monkeypatch):
    path = write_notebook(tmp_path, RECORD)
    write = os.replace

    def full(source, target):
        if Path(target).name == "table.csv":
            raise OSError(28, "No space left on device")
        write(source, target)

    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", full)
        said = CliRunner().invoke(main, ["sweep", str(path), "-p", "seed=0,1", "--out", str(tmp_path / "out")])
    assert said.exit_code == 1
    assert "No space left on device: 2 of 2 runs are in" in said.output and "--resume" in said.output
    assert not (tmp_path / "out/table.csv").exists() and not list((tmp_path / "out").glob(".*.new"))
    assert list(sweep(path, {"seed": [0, 1]}, out=tmp_path / "out", resume=True)["score"]) == [10, 11]


def test_an_error_outside_of_the_notebook_is_a_failed_row():
    result = Result("a", "a.ipynb", status="running")
    cluster._fill(result, Result("a", "a.ipynb", errors=()))  # as a worker's message is read
    result.add_error(None, "KilledWorker", "died four times")
    assert result.errors == [{"cell": None, "ename": "KilledWorker", "evalue": "died four times"}]


def test_names_of_runs_are_names_of_folders():
    assert name_of({"a": 0.5, "b": "x"}) == "a=0.5,b=x" and name_of({}) == "defaults"
    odd = [name_of({"root": value}) for value in ("/a/b", "a/b", "../a", "a" * 300, "a" * 301, "CON: |?*")]
    assert len(set(odd)) == len(odd) and all(re.fullmatch(r"[\w.=,+-]{1,140}", name) for name in odd)
    assert not any(name.startswith(".") for name in odd)


def test_values_are_parted_by_commas_that_are_not_quoted():
    assert split_values({"layers": '"[1, 2]",[3]', "category": ""}) == {"layers": ["[1, 2]", "[3]"], "category": [""]}


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_command_that_is_ended_goes_on_from_its_folder(tmp_path, ending):
    go = tmp_path / "go"  # which the last two runs wait for, so that they have not ended however slow this machine is
    wait = f"import pathlib, time\nwhile seed > 1 and not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.05)"
    path = write_notebook(tmp_path, wait, RECORD)
    arguments = ["sweep", str(path), "-p", "seed=0,1,2,3", "--jobs", "2", "--out", "out"]
    # A process that was begun in the background, as by a script, ignores SIGINT unless it is told otherwise.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; import sys; from oddlab.cli import main; main(sys.argv[1:])"
    begun = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    give_up = time.monotonic() + WAIT
    while not list((tmp_path / "out").glob("seed=*")) and time.monotonic() < give_up:
        time.sleep(0.05)
    begun.send_signal(ending)
    _, said = begun.communicate(timeout=WAIT)
    ended = [folder.name for folder in (tmp_path / "out").glob("seed=*")]
    assert ended and all(read_run(tmp_path / "out" / name).status == "ok" for name in ended)
    if ending == signal.SIGINT:
        assert begun.returncode == 130, said
        assert f"oddlab sweep {path} -p seed=0,1,2,3 --jobs 2 --resume --out out" in said
    go.touch()
    done = CliRunner().invoke(main, [*arguments[:-1], str(tmp_path / "out"), "--resume"])
    assert done.exit_code == 0, done.output
    assert "4 of 4 runs ok" in done.output
    assert pd.read_csv(tmp_path / "out/table.csv")["score"].tolist() == [10, 11, 12, 13]


def test_the_table_needs_nothing_that_an_interruption_could_leave_half_imported(tmp_path):
    # An import of pandas that is broken off can't be repeated in the same process, and the table is written after it.
    path = write_notebook(tmp_path, RECORD)
    code = (
        "import sys\nfrom oddlab.lab import sweeping\n"
        "def show(results):\n    assert 'pandas' in sys.modules\n    raise KeyboardInterrupt\n"
        f"try:\n    sweeping.sweep({str(path)!r}, {{'seed': [0]}}, out='out', on_progress=show)\n"
        "except KeyboardInterrupt:\n    print('interrupted')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "interrupted\n", ran.stderr


def test_run_takes_jobs(tmp_path):
    held = "import time, pathlib; pathlib.Path(f'{name}.begun').touch(); time.sleep(0.2)"
    paths = []
    for name, other in (("01_one", "02_two"), ("02_two", "01_one")):
        # Each waits for the other to have begun, which one after the other would never do.
        wait = f"while not pathlib.Path('{other}.begun').exists(): time.sleep(0.05)"
        paths.append(write_notebook(tmp_path, f"name = {name!r}\n{held}", wait, RECORD, name=name))
    seen = []
    results = run_all(paths, tmp_path / "out", jobs=2, timeout=WAIT, on_progress=lambda r: seen.append(r.status))
    assert [result.status for result in results] == ["ok", "ok"] and "running" in seen
    assert [result.numbers["score"] for result in results] == [10, 10]
    assert (tmp_path / "out/01_one.ipynb").is_file() and "2 of 2 notebooks ok" in (
        tmp_path / "out/index.html"
    ).read_text()
