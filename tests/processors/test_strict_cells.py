"""Cells whose output is compared print the same on another processor and with another number of threads.

Every notebook, solutions too, runs under nbval once with the instruction sets of PyTorch, MKL and oneDNN lowered and
two threads. It takes as long as all notebooks, so it is not part of the other tests:

    uv run pytest tests/processors
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted([*FOLDER.glob("[0-9]*.ipynb"), *FOLDER.glob("solutions/[0-9]*.ipynb")])
LOWERED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_compared_cells_do_not_depend_on_the_processor(path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-cell-timeout=900", str(path)]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, **LOWERED}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]
