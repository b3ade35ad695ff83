"""How well flows fit two moons: one command prints the table and writes it beside this file.

    uv run --group peers python tests/benchmarks/two_moons.py [--steps 2000] [--seeds 3]

Ours is a `SequenceINN` of `AllInOneBlock`s; beside it are zuko's neural spline flow and RealNVP of like size, with the
same batches, optimiser and steps, each at the better of two learning rates for it. The figure is the mean
log-likelihood, in nats, of 20,000 points that none has seen. "truth" is the likelihood under the moons themselves,
which none can exceed but by chance: uniform arcs with noise.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
import zuko
from rich.console import Console
from rich.table import Table
from sklearn.datasets import make_moons
from torch import Tensor, nn

import readme
from oddlab import AllInOneBlock, SequenceINN

RESULTS = Path(__file__).with_suffix(".json")
NOISE, BATCH, RATES = 0.08, 256, (2e-3, 5e-3)


def moons(n: int, seed: int) -> Tensor:
    return torch.from_numpy(make_moons(n, noise=NOISE, random_state=seed)[0]).float()


def truth(x: Tensor) -> Tensor:
    """Log-density (N,) of points x (N, 2), by 2,000 places on each arc."""
    angle = math.pi * (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    arcs = torch.cat([upper, torch.tensor([1.0, 0.5], dtype=torch.float64) - upper])
    rows = [-torch.cdist(block, arcs).square() / (2 * NOISE**2) for block in x.double().split(1000)]
    return torch.cat([r.logsumexp(dim=1) for r in rows]) - math.log(len(arcs) * 2 * math.pi * NOISE**2)


def subnet(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(channels_in, 54), nn.ReLU(), nn.Linear(54, 54), nn.ReLU(), nn.Linear(54, channels_out)
    )


def ours() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    flow = SequenceINN(2)
    for _ in range(8):
        flow.append(AllInOneBlock, subnet_constructor=subnet, permute_soft=True)
    return flow, flow.log_prob


def zukos(kind: type[nn.Module], transforms: int) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    flow = kind(features=2, transforms=transforms, hidden_features=[64, 64])
    return flow, lambda x: flow().log_prob(x)


FLOWS = {
    "oddlab AllInOneBlock": ours,
    "zuko NSF": lambda: zukos(zuko.flows.NSF, 3),
    "zuko RealNVP": lambda: zukos(zuko.flows.RealNVP, 6),
}


def train(make: Callable, rate: float, seed: int, steps: int) -> tuple[float, float, int]:
    """Test log-likelihood, seconds, and parameters."""
    torch.manual_seed(seed)
    flow, log_prob = make()
    data, unseen = moons(100_000, seed), moons(20_000, seed + 1000)
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.perf_counter()
    for _ in range(steps):
        loss = -log_prob(data[torch.randint(len(data), (BATCH,))]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        return log_prob(unseen).mean().item(), seconds, sum(p.numel() for p in flow.parameters())


@click.command()
@click.option("--steps", default=2000, show_default=True)
@click.option("--seeds", default=3, show_default=True)
def main(steps: int, seeds: int) -> None:
    limit = statistics.mean(truth(moons(20_000, seed + 1000)).mean().item() for seed in range(seeds))
    rows = [{"flow": "truth", "parameters": 0, "rate": 0.0, "nats": round(limit, 3), "spread": "", "seconds": 0.0}]
    for name, make in FLOWS.items():
        runs = {rate: [train(make, rate, seed, steps) for seed in range(seeds)] for rate in RATES}
        rate = max(runs, key=lambda rate: sum(run[0] for run in runs[rate]))
        nats, seconds, sizes = zip(*runs[rate])
        spread = f"{min(nats):.3f} to {max(nats):.3f}"
        figures = {
            "nats": round(statistics.mean(nats), 3),
            "spread": spread,
            "seconds": round(statistics.median(seconds), 1),
        }
        rows.append({"flow": name, "parameters": sizes[0], "rate": rate, **figures})
    table = Table(title=f"two moons, {steps} steps of {BATCH} points, {seeds} seeds")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    versions = {"torch": torch.__version__, "zuko": zuko.__version__, "python": platform.python_version()}
    RESULTS.write_text(json.dumps({**versions, "steps": steps, "seeds": seeds, "rows": rows}, indent=1) + "\n")
    readme.write()


if __name__ == "__main__":
    main()
