"""The folder that default data are read from and written to."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """`$ODDLAB_DATA` if it is set, else `data/` of the checkout that oddlab runs from, else `~/.cache/oddlab`."""
    if named := os.environ.get("ODDLAB_DATA"):
        return Path(named).expanduser()
    checkout = Path(__file__).parents[3] / "data"
    return checkout if (checkout / "README.md").is_file() else Path.home() / ".cache" / "oddlab"
