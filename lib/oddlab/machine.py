"""What this machine has: its devices, and the versions of what is installed."""

from __future__ import annotations

import importlib.metadata
import os
import platform

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "papermill", "jupyterlab")

KEEP_FREED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31)}
"""Environment of a process that keeps the memory it frees, up to 2 GiB, to use it again.

By default glibc gives each large tensor back to the system, and the next one is mapped page by page: a quarter of the
processor's time of lessons that extract features. Other systems than Linux do not read these variables.
"""


def version(package: str) -> str | None:
    """The installed version of `package`, or None.

    >>> version("no-such-package") is None
    True
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python, oddlab and the packages that its numbers depend on."""
    import oddlab

    installed = {package: version(package) or "missing" for package in PACKAGES}
    return {"python": platform.python_version(), "oddlab": oddlab.__version__, **installed}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_threads() -> int:
    """How many cores other processes leave, one at least, by the load of the last minute.

    More threads than that wait for each other at every operation, which on a busy machine takes ten times as long.

    >>> 1 <= free_threads() <= cores()
    True
    """
    import psutil

    return max(1, min(cores(), round(cores() - psutil.getloadavg()[0])))


def devices() -> list[str]:
    """One line for the processor and one for each GPU that torch sees, with its memory."""
    import psutil

    gib = 1024**3
    found = [f"cpu: {cores()} cores, {psutil.virtual_memory().total / gib:.0f} GiB"]
    if version("torch") is None:
        return found
    import torch

    for i in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(i)
        found.append(f"cuda:{i}: {gpu.name}, {gpu.total_memory / gib:.0f} GiB")
    return found
