"""The folder that default data are read from and written to."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """`$ODDLAB_DATA` if it is set, else `data/` of the checkout that oddlab runs from, else `~/.cache/oddlab`.

    A checkout that cannot be written to (a course's shared copy, a container) does not count.
    """
    if named := os.environ.get("ODDLAB_DATA"):
        return Path(named).expanduser()
    checkout = checkout_data()
    return checkout if checkout and os.access(checkout, os.W_OK) else Path.home() / ".cache" / "oddlab"


def checkout_data() -> Path | None:
    """`data/` of the checkout that oddlab runs from; None where it is installed without one."""
    folder = Path(__file__).parents[3] / "data"
    return folder if (folder / "README.md").is_file() else None


def find_data(name: str) -> Path:
    """Where the data set `name` is, or is to be written: in `data_home()`, unless it is in the checkout already."""
    checkout = checkout_data()
    if not os.environ.get("ODDLAB_DATA") and checkout and (checkout / name).is_dir():
        return checkout / name
    return data_home() / name
