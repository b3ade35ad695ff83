"""Sweeps: what several kernels gain, what a run costs beside plain papermill, and that nothing is lost.

    uv run python tests/benchmarks/sweeps.py [--only gain|overhead|kills|disk] [--disk FOLDER]

- gain: PatchCore on solar cells with four sampling ratios and three seeds, with one job, with two, and on a scheduler
  of its own with two workers, each of them a process of its own. The three tables must be equal.
- overhead: 100 notebooks that sleep for a second, by a sweep and by papermill in a loop.
- kills: a sweep whose command, worker, kernel or scheduler is killed at ten random moments, the command each time soon
  after, and which goes on with `--resume`. Its table must be that of an undisturbed one.
- disk: a sweep into FOLDER, which lies on a small file system that fills up, and goes on once there is room.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import click
import nbformat
import pandas as pd
import psutil
from nbformat.v4 import new_code_cell, new_notebook

import readme
from oddlab.lab import subplots, sweep
from oddlab.lab.sweeping import NotStored, read_run

RESULTS = Path(__file__).with_suffix(".json")
PICTURE = Path(__file__).parents[2] / "notebooks/images/sweep.png"
RATIOS, SEEDS = [0.001, 0.003, 0.01, 0.1], [0, 1, 2]
KILLS, SLEEPERS = 10, 100
VICTIMS = {"command": "", "worker": "spawn_main", "kernel": "ipykernel_launcher", "scheduler": "dask_scheduler"}
"""What is killed in turn, and a word of its command line."""

FIT = """
from oddlab import PatchCore
from oddlab.data import ImageData, read_solar
from oddlab.lab import record, trainer

train, _, test = read_solar("mono", random_state=seed)
data = ImageData(train[:100], test, image_size=128, batch_size=32)
model = PatchCore(image_size=128, sampling_ratio=sampling_ratio, random_state=seed)
runs = trainer("cpu")
runs.fit(model, data)
figures = runs.test(model, data, verbose=False)[0]
record(image_AUROC=figures["image_AUROC"], rows=len(model.bank))
"""


def write_notebook(folder: Path, parameters: str, code: str) -> Path:
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]}), new_code_cell(code)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = folder / "01_swept.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def figures_of(table: pd.DataFrame) -> pd.DataFrame:
    """A sweep's table without what differs from run to run."""
    return table.drop(columns=["seconds", "MB"])


@contextmanager
def own_scheduler(workers: int) -> Iterator[str]:
    """The address of a dask scheduler with `workers`, all of them processes of their own."""
    cli = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "scheduler.json")
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        begun = [subprocess.Popen([*cli, "distributed.cli.dask_scheduler", *options], stderr=subprocess.DEVNULL)]
        while not file.exists():
            time.sleep(0.1)
        for _ in range(workers):
            options = ["--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"]
            command = [*cli, "distributed.cli.dask_worker", *options]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            begun.append(subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL))
        time.sleep(10)  # until the workers are there
        try:
            yield json.loads(file.read_text())["address"]
        finally:
            for process in reversed(begun):
                process.kill()
                process.wait()


def timed(notebook: Path, values: dict[str, list], out: Path, **options) -> tuple[float, pd.DataFrame]:
    start = time.perf_counter()
    table = sweep(notebook, values, out=out, **options)
    assert all(table["status"] == "ok"), table
    return time.perf_counter() - start, figures_of(table)


def gain(folder: Path) -> dict:
    notebook = write_notebook(folder, "sampling_ratio = 0.1\nseed = 0", FIT)
    values = {"sampling_ratio": RATIOS, "seed": SEEDS}
    ways = {"1 job": {"jobs": 1}, "2 jobs": {"jobs": 2}}
    rows, tables = [], []
    for name, options in ways.items():
        seconds, table = timed(notebook, values, folder / name.replace(" ", ""), **options)
        rows.append({"way": name, "seconds": round(seconds)})
        tables.append(table)
    with own_scheduler(workers=2) as address:
        seconds, table = timed(notebook, values, folder / "scheduler", scheduler=address)
    rows.append({"way": "a scheduler of its own, 2 workers", "seconds": round(seconds)})
    for other in (*tables[1:], table):
        pd.testing.assert_frame_equal(tables[0], other, rtol=1e-4)
    auroc = table.groupby("sampling_ratio")["image_AUROC"]
    kept = table.groupby("sampling_ratio")["rows"].mean()
    figures = [
        {
            "sampling_ratio": ratio,
            "rows": round(kept[ratio]),
            "image_AUROC": round(auroc.mean()[ratio], 4),
            "sd": round(auroc.std()[ratio], 4),
        }
        for ratio in RATIOS
    ]
    draw(table)
    return {"gain": rows, "patchcore": figures}


def draw(table: pd.DataFrame) -> None:
    figure, ax = subplots(figsize=(6, 3.4))
    for seed, one in table.groupby("seed"):
        ax.plot(one["sampling_ratio"], one["image_AUROC"], "o", label=f"seed {seed}")
    mean = table.groupby("sampling_ratio")["image_AUROC"].mean()
    ax.plot(mean.index, mean, color="black", label="mean")
    ax.set_xscale("log")
    ax.set_xlabel("sampling ratio of PatchCore")
    ax.set_ylabel("image AUROC")
    figure.legend(loc="outside right center")
    figure.savefig(PICTURE, dpi=110)


def overhead(folder: Path) -> dict:
    import papermill

    notebook = write_notebook(folder, "seed = 0", "import time\ntime.sleep(1)")
    numbers = list(range(SLEEPERS))
    rows = []
    start = time.perf_counter()
    for seed in numbers:
        papermill.execute_notebook(
            notebook, folder / f"{seed}.ipynb", {"seed": seed}, progress_bar=False, log_output=False
        )
    rows.append({"way": "papermill in a loop", "seconds": round(time.perf_counter() - start)})
    for jobs in (1, 2):
        seconds, _ = timed(notebook, {"seed": numbers}, folder / f"jobs{jobs}", jobs=jobs)
        rows.append({"way": f"oddlab sweep --jobs {jobs}", "seconds": round(seconds)})
    for row in rows:
        row["each"] = round(row["seconds"] / SLEEPERS, 2)
    return {"overhead": rows}


def kills(folder: Path) -> dict:
    notebook = write_notebook(
        folder, "seed = 0", "import time\nfrom oddlab.lab import record\ntime.sleep(1)\nrecord(score=seed)"
    )
    numbers = list(range(6 * KILLS))
    sweep(notebook, {"seed": numbers}, out=folder / "undisturbed", jobs=2)
    code = "import sys; from oddlab.cli import main; main(sys.argv[1:])"
    values = ",".join(map(str, numbers))
    command = [
        sys.executable,
        "-c",
        code,
        "sweep",
        str(notebook),
        "-p",
        f"seed={values}",
        "--resume",
        "--out",
        "killed",
    ]
    chance, rows = random.Random(0), []
    for victim in itertools.islice(itertools.cycle(VICTIMS), KILLS):
        with own_scheduler(workers=2) if victim == "scheduler" else nullcontext() as address:
            where = ["--scheduler", address] if address else ["--jobs", "2"]
            process = subprocess.Popen(
                [*command, *where], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            before = whole_runs(folder / "killed")
            while whole_runs(folder / "killed") == before:
                time.sleep(0.1)
            seconds = round(chance.uniform(0, 5), 1)
            time.sleep(seconds)
            kill(victim, process)
            time.sleep(3)  # it goes on, or ends by itself
            process.kill()
            assert process.wait() != 0, "the sweep ended before it was killed"
        rows.append({"killed": victim, "after s": seconds, "whole": whole_runs(folder / "killed")})
    subprocess.run([*command, "--jobs", "2"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    killed, undisturbed = (figures_of(pd.read_csv(folder / name / "table.csv")) for name in ("killed", "undisturbed"))
    pd.testing.assert_frame_equal(killed, undisturbed)
    return {"kills": rows}


def whole_runs(folder: Path) -> int:
    """How many runs of a sweep are there and ok; none may be half a run."""
    runs = [read_run(path) for path in folder.glob("seed=*")]
    assert None not in runs, "a folder of half a run"
    return sum(run.status == "ok" for run in runs)


def kill(victim: str, command: subprocess.Popen) -> None:
    """Kill the command, or the first process of a kind that is there from now on."""
    while victim != "command":
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if VICTIMS[victim] in " ".join(process.cmdline()):
                    process.kill()
                    return
        time.sleep(0.05)
    command.kill()


def disk(folder: Path, small: Path) -> dict:
    code = "from oddlab.lab import record\nprint('x' * 400_000)\nrecord(score=seed)"
    notebook = write_notebook(folder, "seed = 0", code)
    filler = small / "filler"
    out = small / "sweep"
    room = shutil.disk_usage(small).free - 1_500_000
    filler.write_bytes(bytes(room))
    try:
        full = sweep(notebook, {"seed": list(range(6))}, out=out)
        said = full[full["status"] != "ok"]["error"].iloc[0]
    except NotStored as error:
        said = str(error)
    finally:
        filler.unlink()
    ran = [read_run(path) for path in out.glob("seed=*")]
    whole = [run.name for run in ran if run is not None and run.status == "ok"]
    assert "No space left" in said and 0 < len(whole) < 6, (said, whole)
    assert not list(out.rglob(".*"))
    again = sweep(notebook, {"seed": list(range(6))}, out=out, resume=True)
    assert list(again["score"]) == list(range(6))
    shutil.rmtree(out)
    return {"disk": {"whole": len(whole), "of": 6, "said": said.replace(str(small), "/small")}}


@click.command()
@click.option("--only", type=click.Choice(["gain", "overhead", "kills", "disk"]))
@click.option("--disk", "small", type=click.Path(path_type=Path, exists=True), help="A folder on a small file system.")
def main(only: str | None, small: Path | None) -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measured = {"gain": gain, "overhead": overhead, "kills": kills}
    if small:
        measured["disk"] = lambda folder: disk(folder, small)
    for name, measure in measured.items():
        if only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                found |= measure(Path(folder))
            print({key: found[key] for key in found})
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    readme.write()


if __name__ == "__main__":
    main()
