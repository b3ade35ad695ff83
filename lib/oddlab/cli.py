"""The `oddlab` command."""

from __future__ import annotations

import logging
import shlex
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
@click.option("--timeout", default=900, show_default=True, type=click.IntRange(min=1), help="Seconds a cell may take.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Notebooks that run at once.")
def run(
    notebooks: tuple[str, ...],
    assignments: tuple[str, ...],
    device: str | None,
    out: Path | None,
    resume: bool,
    timeout: int,
    jobs: int,
) -> None:
    """Run notebooks, all of them by default.

    The executed notebooks and an index page go to --out. NOTEBOOK is a path, a name (03_blur) or the part it is about
    (blur). The exit code is 0 if all are ok, 1 if one failed, 2 if something was refused before any ran, 130 if they
    were interrupted.
    """
    from oddlab.lab import progress, runner
    from oddlab.lab.parameters import Refused, from_here, split_assignments

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
                from_here(split_assignments(assignments)),
                device=device,
                timeout=timeout,
                resume=resume,
                jobs=jobs,
                on_progress=show,
            )
    except Refused as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        chosen = {"--device": device, "--timeout": timeout if timeout != runner.TIMEOUT else None}
        chosen |= {"--jobs": jobs if jobs > 1 else None}
        _say_how_to_go_on("Interrupted.", ["run", *notebooks], assignments, chosen, out)
        sys.exit(130)
    progress.report(results, out)
    sys.exit(any(result.status != "ok" for result in results))


def _say_how_to_go_on(
    what: str, begun: list[str], assignments: tuple[str, ...], options: dict[str, object], out: Path
) -> None:
    again = ["oddlab", *begun, *(part for text in assignments for part in ("-p", text))]
    again += [part for name, value in options.items() if value is not None for part in (name, str(value))]
    again += ["--resume", "--out", str(out)]
    kept = f" What is finished is in {out}; go on with: {shlex.join(again)}" if out.exists() else ""
    click.echo(f"{what}{kept}", err=True)


@main.command()
@click.argument("notebook")
@click.option(
    "-p", "assignments", multiple=True, metavar="NAME=V1,V2,...", help="Values of a parameter; may be repeated."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="The parameter `device` where there is one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results  [default: runs/<date-time>]")
@click.option("--resume", is_flag=True, help="Go on with the sweep in --out: what is ok there is not run again.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Runs at once on this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler whose workers do the runs instead.")
@click.option("--timeout", default=900, show_default=True, type=click.IntRange(min=1), help="Seconds a cell may take.")
@click.option("--yes", is_flag=True, help="Begin also more than 100 runs.")
def sweep(
    notebook: str,
    assignments: tuple[str, ...],
    device: str | None,
    out: Path | None,
    resume: bool,
    jobs: int,
    scheduler: str | None,
    timeout: int,
    yes: bool,
) -> None:
    """Run NOTEBOOK with every combination of the values of its parameters.

    Commas part values; one that holds a comma is quoted: -p 'category="a, b",c'. Every run gets a folder in --out, and
    all of them a table.csv and an index page. The exit code is 0 if all runs are ok, 1 if one failed, the scheduler
    went away or the disk is full, 2 if something was refused before any ran, 130 if they were interrupted.
    """
    from oddlab.lab import progress, sweeping
    from oddlab.lab.cluster import SchedulerGone
    from oddlab.lab.parameters import Refused, split_assignments
    from oddlab.lab.sweeping import NotStored

    if resume and out is None:
        raise click.UsageError("--resume: expected --out with the folder to go on with, got none")
    logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)
    out = out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H%M%S")
    chosen = {"--device": device, "--timeout": timeout if timeout != sweeping.TIMEOUT else None}
    chosen |= {"--jobs": jobs if jobs > 1 else None, "--scheduler": scheduler}
    try:
        with progress.counted(jobs) as show:
            table = sweeping.sweep(
                notebook,
                sweeping.values_from_here(split_assignments(assignments)),
                out=out,
                jobs=jobs,
                scheduler=scheduler,
                resume=resume,
                device=device,
                timeout=timeout,
                limit=None if yes else sweeping.LIMIT,
                on_progress=show,
            )
    except Refused as error:
        raise click.UsageError(
            f"{error}; --yes begins them all" if "unless more" in str(error) else str(error)
        ) from None
    except (SchedulerGone, NotStored) as error:
        _say_how_to_go_on(f"{error}.", ["sweep", notebook], assignments, chosen, out)
        sys.exit(1)
    except KeyboardInterrupt:
        _say_how_to_go_on("Interrupted.", ["sweep", notebook], assignments, chosen, out)
        sys.exit(130)
    progress.report_sweep(table, out)
    sys.exit(any(table["status"] != "ok"))


@main.command()
@click.option("--out", default="site", show_default=True, type=click.Path(path_type=Path), help="Folder for the site.")
def site(out: Path) -> None:
    """Build the course as static pages, whose sliders move without a kernel.

    Lessons whose code changed since the last time run first. The exit code is 0 if the site is there, 1 if a lesson
    failed, a page is wrong or a link leads nowhere, 2 if something was refused before anything ran.
    """
    from oddlab.lab import progress
    from oddlab.lab.parameters import Refused
    from oddlab.site.building import SiteError, build

    logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)
    try:
        with progress.shown() as show:
            page, outer = build(out, on_progress=show)
    except Refused as error:
        raise click.UsageError(str(error)) from None
    except SiteError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Lessons that have run are kept; go on with: oddlab site --out {out}", err=True)
        sys.exit(130)
    click.echo("Addresses outside, which were not tried:\n" + "\n".join(f"  {address}" for address in outer))
    click.echo(f"The site is there: {page}")


@main.command()
def doctor() -> None:
    """Say what this machine has and what is missing."""
    from oddlab.doctor import examine, show

    findings = examine()
    show(findings)
    sys.exit(any(finding.state == "missing" for finding in findings))


@main.group()
def data() -> None:
    """Data sets that can be fetched: which there are, and get one."""


@data.command("list")
def list_data() -> None:
    """Show what can be fetched, with licence and size, and what is there already."""
    from oddlab.data.listing import show_all

    show_all()


@data.command("get")
@click.argument("name")
def get_data(name: str) -> None:
    """Fetch the data set NAME, in the layout of MVTec AD.

    What has come when it is interrupted is kept, and the same command goes on. The exit code is 0 if the data set is
    there, 1 if it could not be fetched, 2 for an unknown name, 130 if it was interrupted.
    """
    from oddlab.data.catalogue import find
    from oddlab.data.download import DownloadError, fetch
    from oddlab.data.listing import show

    try:
        data_set = find(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    there = data_set.folder.is_dir()
    if not there:
        show(data_set)
    try:
        folder = fetch(name)
    except DownloadError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo(f"Interrupted. What has come is kept; go on with: oddlab data get {name}", err=True)
        sys.exit(130)
    click.echo(f"{name} is there already: {folder}" if there else f"{name} is fetched: {folder}")
