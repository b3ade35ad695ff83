"""How time and memory on a CPU grow with the number of samples: one command draws notebooks/images/growth.png and
writes growth.json.

    uv run --group peers python tests/benchmarks/growth.py

Every point is a process of its own: its seconds are the least of three calls (of one that takes more than 20 s), its
memory the most that a call added. The slope is that of the last three points, in doublings for each doubling of the
samples. The coreset is of features of photographs, the rest of normal numbers. First comes a coreset of a million
features, ours alone.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator
from torch import Tensor

from parts import photograph_features
from turns import give_memory_back, quiet, taken

ROOT = Path(__file__).parents[2]
RESULTS, PICTURE = Path(__file__).with_suffix(".json"), ROOT / "notebooks/images/growth.png"


def samples(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def coreset(who: str, n: int, photographs: Path) -> Callable:
    features = torch.load(photographs / "some.pt", weights_only=True)
    x = features[torch.linspace(0, len(features) - 1, n).long()]
    if who == "oddlab":
        from oddlab import KCenterGreedy

        return lambda: KCenterGreedy(x, 0.1, random_state=0).select_coreset_idxs()
    from anomalib.models.components.sampling import KCenterGreedy as Peer

    return lambda: Peer(x, 0.1).select_coreset_idxs()


def kde(who: str, n: int, photographs: Path) -> Callable:
    x, queries = samples(n, 16), samples(2_000, 16)
    x = x - x.mean(dim=0)
    if who == "oddlab":
        from oddlab import GaussianKDE

        return lambda: GaussianKDE(x).log_prob(queries)
    from anomalib.models.components.stats import GaussianKDE as Peer

    def peer() -> Tensor:
        model = Peer()
        model.fit(x.clone())
        return model(queries)

    return peer


def pca(who: str, n: int, photographs: Path) -> Callable:
    x = samples(n, 512) * torch.arange(1, 513) ** -0.5
    if who == "oddlab":
        from oddlab import PCA

        return lambda: PCA(64).fit(x)
    from sklearn.decomposition import PCA as Peer

    return lambda: Peer(64, svd_solver="covariance_eigh").fit(x.numpy())


def gaussians(who: str, n: int, photographs: Path) -> Callable:
    x = samples(n, 100 * 28 * 28).view(n, 100, 28, 28)
    if who == "oddlab":
        from oddlab import MultiVariateGaussian

        return lambda: MultiVariateGaussian(100, 28 * 28).fit(x)
    from anomalib.models.components.stats import MultiVariateGaussian as Peer

    return lambda: Peer().fit(x)


def million(who: str, n: int, photographs: Path) -> Callable:
    from oddlab import KCenterGreedy

    x = torch.load(photographs / "million.pt", weights_only=True)
    return lambda: KCenterGreedy(x, 0.01, random_state=0).select_coreset_idxs()


TASKS = {
    "coreset of 10 %, 152 features": (coreset, "anomalib", [15_000, 30_000, 60_000]),
    "KDE, 2,000 queries, 16-d": (kde, "anomalib", [4_000, 8_000, 16_000, 32_000, 64_000]),
    "PCA, 64 of 512 features": (pca, "scikit-learn", [4_000, 8_000, 16_000, 32_000, 64_000, 128_000]),
    "Gaussians, 100 features at 28 x 28 places": (gaussians, "anomalib", [25, 50, 100, 200, 400]),
}


def point(make: Callable, who: str, n: int, photographs: Path) -> tuple[float, float]:
    """Least seconds, and most gigabytes added."""
    seconds, gigabytes = [], []
    with torch.no_grad(), quiet():
        call = make(who, n, photographs)
        while len(seconds) < 3 and sum(seconds) < 20:
            _, took, added = taken(call, torch.device("cpu"))
            seconds.append(took)
            gigabytes.append(added)
    return min(seconds), max(gigabytes)


def slope(sizes: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log2(sizes[-3:]), np.log2(np.maximum(values[-3:], 1e-9)), 1)[0])


def draw(rows: list[dict]) -> None:
    figure, axes = plt.subplots(2, len(TASKS), figsize=(12.5, 6.4), layout="constrained")
    for column, task in enumerate(TASKS):
        for row in (row for row in rows if row["task"] == task):
            colour = "#0072B2" if row["who"] == "oddlab" else "#E69F00"
            for axis, values in zip(axes[:, column], (row["seconds"], [1000 * gigabytes for gigabytes in row["GB"]])):
                label = f"{row['who']}, slope {round(slope(row['sizes'], values), 1) + 0.0}"  # no -0.0
                axis.loglog(row["sizes"], values, "o-", color=colour, label=label)
                axis.set_xticks(row["sizes"], [f"{n:,}" for n in row["sizes"]], rotation=35)
                axis.minorticks_off()
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.yaxis.set_major_formatter("{x:g}")
        axes[0, column].set_title(task.replace(", ", "\n", 1), fontsize=10)
        axes[1, column].set_xlabel("images" if task.startswith("Gaussians") else "samples")
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("memory added, MB")
    for axis in axes.flat:
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper left")
    figure.savefig(PICTURE, dpi=80)


@click.command()
def main() -> None:
    versions = {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():

        def alone(make: Callable, who: str, n: int) -> tuple[float, float]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, added = pool.apply(point, (make, who, n, Path(folder)))
            return float(f"{seconds:.3g}"), round(added, 3)

        layers = ["blocks.2", "blocks.4", "blocks.6", "blocks.7", "blocks.10"]
        torch.save(photograph_features(1_000_000, 300, layers, 224, 107), Path(folder) / "million.pt")
        seconds, added = alone(million, "oddlab", 1_000_000)
        large = {"task": "coreset of 1 %, 1,000,000 x 300 features of photographs", "seconds": seconds, "GB": added}
        print(large, flush=True)

        torch.save(photograph_features(60_000, 152, ["blocks.4", "blocks.10"], 128, 79), Path(folder) / "some.pt")
        rows = []
        for task, (make, peer, sizes) in TASKS.items():
            for who in ("oddlab", peer):
                seconds, memory = (list(values) for values in zip(*(alone(make, who, n) for n in sizes)))
                took = {"seconds": seconds, "GB": memory, "slope": round(slope(sizes, seconds), 2)}
                rows.append({"task": task, "who": who, "sizes": sizes, **took})
                print(rows[-1], flush=True)
                RESULTS.write_text(json.dumps({**versions, "large": large, "rows": rows}, indent=1) + "\n")
    draw(rows)


if __name__ == "__main__":
    give_memory_back()  # the processes that it starts do so too
    main()
