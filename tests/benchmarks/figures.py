"""Figures of merit of pixels beside anomalib's: seconds, memory and differences, printed and written beside this file.

    uv run --group peers python tests/benchmarks/figures.py [--rounds 3]

AUROC, the threshold with the best F1, F1 at that threshold and AUPRO of maps of 256 x 256 pixels, of which one in ten
has one to three round defects. Batches are made from a seed as they are needed, outside of the seconds. Every run is a
process of its own; seconds and memory are the medians of the rounds, in which ours and anomalib take turns, and memory
is the most that a run added, with what anomalib keeps of the maps. Ours is compared with anomalib's figures and with
its own where every score is a threshold. The largest set, which anomalib cannot hold, is ours alone.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import interpolate

from turns import give_memory_back, name_of, taken

RESULTS = Path(__file__).with_suffix(".json")
SIDE, BATCH = 256, 50
COMPARED, ALONE = (500, 1_000), 5_000
"""Numbers of maps."""
Figures = dict[str, float]


def batches(maps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Smooth maps, most of their values between 5 and 60, and masks of their defects."""
    g = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    smooth = {n: interpolate(torch.eye(n)[None, None], (SIDE, n), mode="bicubic")[0, 0] for n in (9, 40)}
    for start in range(0, maps, BATCH):
        coarse, fine = (along @ torch.randn(BATCH, n, n, generator=g) @ along.T for n, along in smooth.items())
        values = 18 + 3 * coarse + 2 * fine
        masks = torch.zeros(BATCH, SIDE, SIDE, dtype=torch.bool)
        for i in range(start, start + BATCH, 10):
            for _ in range(int(torch.randint(1, 4, (1,), generator=g))):
                y, x, radius = torch.rand(3, generator=g) * torch.tensor([SIDE, SIDE, 24]) + torch.tensor([0, 0, 4])
                distance = ((rows - y).square() + (columns - x).square()).sqrt()
                masks[i - start] |= distance < radius
                values[i - start] += 14 * torch.sigmoid((radius - distance) / 4)
        yield values.clamp(min=0), masks


def ours(maps: int, every_score: bool = False) -> tuple[Figures, float]:
    """The figures, and the seconds that they took."""
    from oddlab import curves
    from oddlab.aupro import region_weights

    if every_score:
        curves.EXACT_ENTRIES = maps * SIDE**2
    counts, seconds = curves.ScoreCounts(), 0.0
    for values, masks in batches(maps):
        start = time.perf_counter()
        counts.update(values, masks, region_weights(masks)[0])
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    threshold = curves.best_f1(counts)[0]
    figures = {"AUROC": curves.auroc(counts), "F1": curves.f1_at(counts, threshold), "AUPRO": curves.pro_area(counts)}
    return figures | {"threshold": threshold}, seconds + time.perf_counter() - start


def exact(maps: int) -> tuple[Figures, float]:
    return ours(maps, every_score=True)


def anomalib(maps: int) -> tuple[Figures, float]:
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC
    from anomalib.metrics.threshold.f1_adaptive_threshold import _F1AdaptiveThreshold
    from torchmetrics.classification import BinaryF1Score

    auroc, adaptive, f1, aupro, seconds = _AUROC(), _F1AdaptiveThreshold(), BinaryF1Score(), _AUPRO(), 0.0
    for values, masks in batches(maps):
        scaled = values / 100  # anomalib scales scores to [0, 1] for AUROC, which takes others for logits
        start = time.perf_counter()
        auroc.update(scaled, masks)
        adaptive.update(values, masks)
        aupro.update(values, masks)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    threshold = adaptive.compute()
    for values, masks in zip(adaptive.preds, adaptive.target):
        f1.update(values >= threshold, masks)
    figures = {"AUROC": auroc.compute(), "F1": f1.compute(), "AUPRO": aupro.compute(), "threshold": threshold}
    return {name: float(value) for name, value in figures.items()}, seconds + time.perf_counter() - start


def once(who: str, maps: int, threads: int) -> tuple[Figures, float, float]:
    """Figures, seconds and gigabytes added."""
    torch.set_num_threads(threads)
    run = {"ours": ours, "exact": exact, "anomalib": anomalib}[who]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        run(BATCH)  # what is loaded and made ready the first time is not counted
        (figures, seconds), _, added = taken(lambda: run(maps), torch.device("cpu"))
    return figures, seconds, added


def alone(who: str, maps: int) -> tuple[Figures, float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(once, (who, maps, torch.get_num_threads()))


def largest_difference(some: Figures, other: Figures) -> float:
    return max(abs(some[name] - other[name]) for name in ("AUROC", "F1", "AUPRO"))


def measure(maps: int, rounds: int) -> dict:
    compared = maps in COMPARED
    runs = {who: [] for who in ("ours", "anomalib")[: 2 if compared else 1]}
    for _ in range(rounds):
        for who, results in runs.items():
            results.append(alone(who, maps))
    seconds, gigabytes = (
        {who: statistics.median(run[place] for run in results) for who, results in runs.items()} for place in (1, 2)
    )
    figures = {who: results[0][0] for who, results in runs.items()}
    row = {
        "task": f"figures of {maps:,} maps of {SIDE} x {SIDE}",
        "ours s": float(f"{seconds['ours']:.3g}"),
        "spread": f"{min(run[1] for run in runs['ours']):.3g} to {max(run[1] for run in runs['ours']):.3g}",
        "anomalib": f"{seconds['anomalib'] / seconds['ours']:.1f}" if compared else None,
        "ours GB": round(gigabytes["ours"], 2),
        "anomalib GB": round(gigabytes["anomalib"], 2) if compared else None,
        "figures": figures,
        "checked": "bounded memory, one pass",
    }
    if compared:
        figures["exact"] = alone("exact", maps)[0]
        off = {who: largest_difference(figures["ours"], figures[who]) for who in ("exact", "anomalib")}
        assert off["exact"] < 1e-4, off
        row["checked"] = f"figures within {off['exact']:.0e} of the exact ones, {off['anomalib']:.0e} of anomalib's"
    return row


@click.command()
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    machine = name_of(torch.device("cpu"))
    versions = {"torch": torch.__version__, "anomalib": "2.7.0", "python": platform.python_version()}
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = []
    table = Table(title=f"times ours, on {machine}")
    for column in ("task", "ours s", "spread", "anomalib", "ours GB", "anomalib GB", "checked"):
        table.add_column(column)
    for maps in (*COMPARED, ALONE):
        rows.append(measure(maps, rounds))
        print(rows[-1], flush=True)
        cells = [rows[-1][column.header] for column in table.columns]
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
        stored[machine] = {**versions, "rows": rows}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    Console(width=160).print(table)


if __name__ == "__main__":
    give_memory_back()  # the processes that it starts do so too
    main()
