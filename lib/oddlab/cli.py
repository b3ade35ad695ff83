"""The `oddlab` command."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from pathlib import Path

import click


@click.group()
def main() -> None:
    """The parts of visual anomaly detection, in notebooks."""


@main.command()
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="The parameter `device` where there is one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results  [default: runs/<date-time>]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out: what is ok there is not run again.")
@click.option("--timeout", default=600, show_default=True, type=click.IntRange(min=1), help="Seconds a cell may take.")
def run(
    notebooks: tuple[str, ...],
    assignments: tuple[str, ...],
    device: str | None,
    out: Path | None,
    resume: bool,
    timeout: int,
) -> None:
    """Run notebooks, all of them by default.

    The executed notebooks and an index page go to --out. NOTEBOOK is a path, a name (13_blur) or the part it is about
    (blur). The exit code is 0 if all are ok, 1 if one failed, 2 if something was refused before any ran, 130 if they
    were interrupted.
    """
    from oddlab.lab import progress, runner
    from oddlab.lab.parameters import Refused, split_assignments

    if resume and out is None:
        raise click.UsageError("--resume: expected --out with the folder to go on with, got none")
    # What papermill would log is in the results, and would tear the live table.
    logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)
    out = out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H%M%S")
    try:
        with progress.shown() as show:
            results = runner.run_all(
                runner.find_notebooks(notebooks),
                out,
                split_assignments(assignments),
                device=device,
                timeout=timeout,
                resume=resume,
                on_progress=show,
            )
    except Refused as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        kept = f" What is finished is in {out}; go on with: oddlab run --resume --out {out}" if out.exists() else ""
        click.echo(f"Interrupted.{kept}", err=True)
        sys.exit(130)
    progress.report(results, out)
    sys.exit(any(result.status != "ok" for result in results))


@main.command()
def doctor() -> None:
    """Say what this machine has and what is missing."""
    from oddlab.doctor import examine, show

    findings = examine()
    show(findings)
    sys.exit(any(finding.state == "missing" for finding in findings))
