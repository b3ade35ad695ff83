"""What pytest leaves alone, and which tests are quick."""

from pathlib import Path

import pytest

collect_ignore = ["pretended_device.py"]  # makes a device for PyTorch, and is run in a process of its own

SLOW = {
    "test_cli.py",
    "test_detectors.py",
    "test_download.py",
    "test_exercises.py",
    "test_fastflow.py",
    "test_lab_kernel.py",
    "test_pretended_device.py",
    "test_promises.py",
    "test_runner.py",
    "test_sweeping.py",
    "test_several_processes.py",
}
"""Files that start kernels, processes, compilers or trainings."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick what is no notebook and not in a slow file."""
    for item in items:
        path = Path(item.path)
        if path.suffix != ".ipynb" and path.name not in SLOW:
            item.add_marker(pytest.mark.quick)
