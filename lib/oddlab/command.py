"""The entry of the `oddlab` command, which says what to install where the library is there alone."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or exit with 1 and a word if what it needs is not installed."""
    try:
        from oddlab.cli import main as run
    except ImportError as error:
        sys.exit(f"oddlab: the command needs more than the library ({error}): pip install 'oddlab[lab]'")
    run()
