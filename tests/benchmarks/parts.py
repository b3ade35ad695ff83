"""How fast the parts are beside their peers: one command prints the table and writes it beside this file.

    uv run --group peers python tests/benchmarks/parts.py [--only WORD] [--rounds 5] [--tiles FOLDER] [--device all]

Everything runs in one process, in turns, so that a busy machine is as busy for all, on the CPU and then on a GPU where
there is one; what has no use for a GPU, as scikit-learn and scipy, is timed on the CPU alone. A figure is the
median of the turns, a ratio how many times as long as ours a peer takes, and GB the most memory added while it ran.
"limit" is what the task cannot do without: a matrix product (and an exponential for each of its entries, or a Cholesky
factor), the subnet of a block, the backbone of a detector. "share" is how much of the device's rate of products, or of
copies, ours reaches in doing that; both rates are measured in the same run (`rates.py`). What is timed is compared
first, and a wrong result ends the run. Whole detectors are also run on the magnetic tiles if FOLDER holds them. The
tables of the README are written too.
"""

from __future__ import annotations

import json
import platform
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import kornia
import numpy as np
import scipy
import sklearn
import torch
from anomalib.models.components.dimensionality_reduction import PCA as AnomalibPCA
from anomalib.models.components.dimensionality_reduction import SparseRandomProjection as AnomalibProjection
from anomalib.models.components.filters import GaussianBlur2d as AnomalibBlur
from anomalib.models.components.sampling import KCenterGreedy as AnomalibCoreset
from anomalib.models.components.stats import GaussianKDE as AnomalibKDE
from anomalib.models.components.stats import MultiVariateGaussian as AnomalibGaussian
from rich.console import Console
from rich.table import Table
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.neighbors import KernelDensity
from sklearn.random_projection import SparseRandomProjection as SklearnProjection
from torch import Tensor

import end_to_end
import flow
import rates
import readme
from oddlab import PCA, GaussianBlur2d, GaussianKDE, KCenterGreedy, MultiVariateGaussian, SparseRandomProjection
from oddlab.data import TEXTURES, ImageDataset, read_folder, texture_folder
from oddlab.models.patch_features import PatchFeatures
from turns import Calls, give_memory_back, name_of, quiet, take_turns

RESULTS = Path(__file__).with_suffix(".json")
NO_PEERS = ("scikit-learn randomized",)
"""Those that are timed but give another result: this one's last components are far off, as `checked` says."""


def normal(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def photograph_features(n: int, d: int, layers: list[str], side: int, images: int) -> Tensor:
    """The first d features of n patches, spread evenly over photographs of all textures."""
    features = PatchFeatures("efficientnet_lite0", layers, image_size=side, pool=3, mode="bilinear")
    rows = []
    for texture in TEXTURES:
        data = ImageDataset(read_folder(texture_folder(), texture)[0][:images], side)
        for i in range(images):
            rows.append(features(data[i]["image"][None]).flatten(2)[0].T[:, :d])
    everything = torch.cat(rows)
    return everything[torch.linspace(0, len(everything) - 1, n).long()].clone()


class NoProjection:
    """What anomalib's coreset is given in place of its projection, to pick by the same distances as ours."""

    def fit(self, x: Tensor) -> None:
        """Nothing to fit."""

    def transform(self, x: Tensor) -> Tensor:
        return x


def coreset(points: Tensor, ratio: float, project: bool = False) -> tuple[Calls, Callable]:
    size = int(len(points) * ratio)

    def sampler() -> KCenterGreedy:
        return KCenterGreedy(points, ratio, random_state=0, project=project)

    def anomalib(projected: bool) -> list[int]:
        theirs = AnomalibCoreset(points, ratio)
        if not projected:
            theirs.model = NoProjection()
        torch.manual_seed(0)  # from which both draw the same first point on a CPU, if nothing is projected
        with quiet():
            return theirs.select_coreset_idxs()

    def limit() -> Tensor:
        x = sampler().features.double()
        centers = x[:size]
        for rows in x.split(512 if x.device.type == "cpu" else 2**14):
            products = torch.mm(rows, centers.T)
        return products

    def check(results: dict) -> str:
        x, picks = sampler().features.double(), results["ours"]
        distances = torch.full_like(x[:, 0], float("inf"))
        steps = min(size - 1, int(3e9 / x.numel()))
        for step in range(steps):  # the plain loop, as far as it goes in a minute or two
            distances = torch.minimum(distances, (x - x[picks[step]]).square().sum(dim=1))
            distances[picks[step]] = -1
            assert int(distances.argmax()) == picks[step + 1], f"pick {step + 1} is not that of the plain loop"
        assert len(set(picks)) == size
        said = f"{steps + 1} of {size} picks checked, all those of the plain loop"
        if (name := "anomalib without its projection") in results:
            said += f"; {name} shares {len(set(picks) & set(results[name])) / size:.1%}"
        return said

    calls = {
        "ours": lambda: sampler().select_coreset_idxs(),
        "anomalib": lambda: anomalib(projected=True),
        "limit": limit,
    }
    if size <= 5_000 and not project:  # else a quarter of an hour
        calls["anomalib without its projection"] = lambda: anomalib(projected=False)
    return calls, check


def kde(n: int, m: int, d: int, dtype: torch.dtype, device: torch.device) -> tuple[Calls, Callable]:
    # anomalib's is right for centred data only.
    points, queries = normal(n, d, dtype=dtype).to(device), normal(m, d, seed=1, dtype=dtype).to(device)
    points = points - points.mean(dim=0)
    bandwidth = n ** (-1 / (d + 4))
    whiten = torch.linalg.cholesky(torch.cov(points.T)).T.contiguous()

    def white(x: Tensor) -> np.ndarray:
        return torch.linalg.solve_triangular(whiten, x, upper=True, left=False).numpy()

    def limit() -> Tensor:
        for rows in queries.split(max(1, (2**20 if device.type == "cpu" else 2**28) // n)):
            sums = torch.mm(rows, points.T).neg_().exp_().sum(dim=1)
        return sums

    def anomalib() -> Tensor:
        model = AnomalibKDE()
        model.fit(points.clone())
        return model(queries)

    def by_scipy(some: Tensor) -> np.ndarray:
        return gaussian_kde(points.cpu().numpy().T).logpdf(some.cpu().numpy().T)

    calls = {"ours": lambda: GaussianKDE(points).log_prob(queries), "limit": limit, "anomalib": anomalib}
    if device.type == "cpu":
        calls["scipy"] = lambda: by_scipy(queries)
        calls["scikit-learn"] = lambda: (
            KernelDensity(bandwidth=bandwidth).fit(white(points)).score_samples(white(queries))
        )

    def check(results: dict) -> str:
        some = slice(None) if "scipy" in results else slice(1000)
        theirs = results["scipy"] if "scipy" in results else by_scipy(queries[some])
        off = np.abs(results["ours"][some].cpu().numpy() - theirs).max()
        assert off < (1e-9 if dtype == torch.float64 else 1e-2), off
        return f"log density within {off:.0e} of scipy's"

    return calls, check


def pca(n: int, d: int, k: int, device: torch.device) -> tuple[Calls, Callable]:
    # Variances that fall as those of features do.
    x = (normal(n, d) * torch.arange(1, d + 1) ** -0.5).to(device)

    def sklearn_pca(solver: str) -> Callable[[], np.ndarray]:
        return lambda: SklearnPCA(k, svd_solver=solver, random_state=0).fit(x.numpy()).components_

    def anomalib() -> Tensor:
        model = AnomalibPCA(k)
        model.fit(x.clone())
        return model.singular_vectors

    calls = {"ours": lambda: PCA(k).fit(x).components.cpu().numpy()}
    for solver in ("full", "covariance_eigh", "arpack", "randomized") if device.type == "cpu" else ():
        if not (solver == "arpack" and n * d > 10**7):  # minutes
            calls[f"scikit-learn {solver}"] = sklearn_pca(solver)
    calls |= {"anomalib": anomalib, "limit": lambda: x.T @ x}

    def check(results: dict) -> str:
        reference = PCA(k).fit(x.double()).components.cpu().numpy()
        solvers = [name for name in results if name == "ours" or name.startswith("scikit-learn")]
        off = {name: np.abs(results[name] - reference).max() for name in solvers}
        assert off["ours"] < 1e-3, off
        return (
            "components within " + ", ".join(f"{value:.0e} ({name})" for name, value in off.items()) + " of float64's"
        )

    return calls, check


def projection(n: int, d: int, eps: float, device: torch.device) -> tuple[Calls, Callable]:
    x = normal(n, d).to(device)

    def anomalib() -> Tensor:
        return AnomalibProjection(eps=eps).fit(x).transform(x)

    k = SparseRandomProjection(eps, 0).fit(x).transform(x[:1]).shape[1]
    matrix = normal(k, d, seed=1).to(device)
    calls = {
        "ours": lambda: SparseRandomProjection(eps, 0).fit_transform(x),
        "anomalib": anomalib,
        "limit": lambda: x @ matrix.T,
    }
    if device.type == "cpu":
        calls["scikit-learn"] = lambda: SklearnProjection(eps=eps, random_state=0).fit_transform(x.numpy())

    def check(results: dict) -> str:
        pairs = torch.randint(n, (2, 20_000), generator=torch.Generator().manual_seed(0))
        pairs = pairs[:, pairs[0] != pairs[1]]
        before = (x[pairs[0]] - x[pairs[1]]).square().sum(dim=1)
        outside = {}
        for name in results.keys() - {"limit"}:
            y = torch.as_tensor(results[name])
            ratio = (y[pairs[0]] - y[pairs[1]]).square().sum(dim=1) / before
            outside[name] = ((ratio - 1).abs() > eps).float().mean().item()
        assert outside["ours"] == 0, outside
        return "no pair of 20,000 outside 1 +- eps"

    return calls, check


def gaussians(n: int, d: int, side: int, device: torch.device) -> tuple[Calls, Callable]:
    x = normal(n, d * side * side).view(n, d, side, side).to(device)

    def limit() -> Tensor:
        rows = x.flatten(2).permute(2, 0, 1)
        return torch.linalg.cholesky(torch.bmm(rows.mT, rows))

    calls = {
        # The ridge that anomalib adds, twice over.
        "ours": lambda: MultiVariateGaussian(d, side * side, ridge=0.01 + 1e-5, relative=False).fit(x),
        "anomalib": lambda: AnomalibGaussian().fit(x),
        "limit": limit,
    }

    def check(results: dict) -> str:
        pairs = zip(results["ours"], results["anomalib"])
        off = [((ours - theirs).norm() / theirs.norm()).item() for ours, theirs in pairs]
        assert max(off) < 1e-4, off
        return f"means within {off[0]:.0e} and inverses within {off[1]:.0e} of anomalib's"

    return calls, check


def blur(shape: tuple[int, ...], sigma: float, device: torch.device) -> tuple[Calls, Callable]:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    ours = GaussianBlur2d(None, sigma, channels=shape[1]).to(device)
    anomalib = AnomalibBlur(sigma, channels=shape[1]).to(device)
    side = 2 * int(4 * sigma + 0.5) + 1

    def ten(call: Callable) -> Callable:
        return lambda: [call() for _ in range(10)][0]

    calls = {
        "ours": ten(lambda: ours(x)),
        "kornia": ten(lambda: kornia.filters.gaussian_blur2d(x, (side, side), (sigma, sigma), separable=True)),
        "anomalib": ten(lambda: anomalib(x)),
        "limit": ten(lambda: x.clone()),
    }

    def check(results: dict) -> str:
        off = {who: (results["ours"] - results[who]).abs().max().item() for who in ("kornia", "anomalib")}
        assert max(off.values()) < 1e-5, off
        return f"within {max(off.values()):.0e} of both"

    return calls, check


def tasks(tiles: str | None, device: torch.device) -> dict[str, Callable[[], tuple[Calls, Callable]]]:
    def small() -> Tensor:
        return photograph_features(31_000, 152, ["blocks.4", "blocks.10"], 128, 41).to(device)

    def large() -> Tensor:
        layers = ["blocks.2", "blocks.4", "blocks.6", "blocks.7", "blocks.10"]
        return photograph_features(100_000, 300, layers, 224, 14).to(device)

    def paper() -> Tensor:
        """280 images of 28 x 28 patches, each with as many features as two layers of PatchCore's network have."""
        return photograph_features(219_520, 1_536, [f"blocks.{i}" for i in range(3, 16)], 224, 94).to(device)

    slow = {}
    if device.type == "cuda":  # on a CPU anomalib's alone would take an hour
        slow["projected coreset 219,520 x 1,536, 10 %"] = lambda: coreset(paper(), 0.1, project=True)
    return {
        "coreset 31k x 152, 1 %": lambda: coreset(small(), 0.01),
        "coreset 31k x 152, 10 %": lambda: coreset(small(), 0.1),
        "coreset 100k x 300, 1 %": lambda: coreset(large(), 0.01),
        "coreset 100k x 300, 10 %": lambda: coreset(large(), 0.1),
        "projected coreset 219,520 x 1,536, 1 %": lambda: coreset(paper(), 0.01, project=True),
        **slow,
        "KDE 5k x 2k, 16-d, float32": lambda: kde(5_000, 2_000, 16, torch.float32, device),
        "KDE 5k x 2k, 16-d, float64": lambda: kde(5_000, 2_000, 16, torch.float64, device),
        "KDE 50k x 10k, 16-d, float32": lambda: kde(50_000, 10_000, 16, torch.float32, device),
        "PCA 2,000 x 1,536, 64 of them": lambda: pca(2_000, 1_536, 64, device),
        "PCA 100,000 x 512, 64 of them": lambda: pca(100_000, 512, 64, device),
        "projection 20k x 1,536, eps 0.9": lambda: projection(20_000, 1_536, 0.9, device),
        "Gaussians 200 x 100 x 56 x 56": lambda: gaussians(200, 100, 56, device),
        "10 x blur 8 x 1 x 256 x 256, sigma 4": lambda: blur((8, 1, 256, 256), 4.0, device),
        **flow.tasks(device),
        **end_to_end.tasks(tiles, device),
    }


def times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"


def measure(
    name: str, make: Callable[[], tuple[Calls, Callable]], rounds: int, device: torch.device, rate: dict[str, float]
) -> dict:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls, check = make()
        seconds, gigabytes, results = take_turns(calls, rounds, device)
        checked = check(results)
        share = rates.share(calls["limit"], seconds, rate)
    median = {who: statistics.median(times) for who, times in seconds.items()}
    best = min((who for who in median if who not in (*NO_PEERS, "ours", "limit")), key=median.get)
    return {
        "task": name,
        "ours s": float(f"{median['ours']:.3g}"),
        "spread": f"{min(seconds['ours']):.3g} to {max(seconds['ours']):.3g}",
        "best peer": f"{times(median[best] / median['ours'])} ({best})",
        "anomalib": times(median["anomalib"] / median["ours"]),
        "limit": times(median["limit"] / median["ours"]),
        "share": share,
        "rates": {what: float(f"{value:.3g}") for what, value in rate.items()},
        "ours GB": round(gigabytes["ours"], 2),
        "anomalib GB": round(gigabytes["anomalib"], 2),
        "all": {who: float(f"{value / median['ours']:.3g}") for who, value in median.items()},
        "checked": checked,
    }


def run(device: torch.device, only: str, rounds: int, tiles: str | None) -> None:
    """Measure the tasks on `device`, and store and print what was measured."""
    everything, machine = tasks(tiles, device), name_of(device)
    chosen = {name: make for name, make in everything.items() if only in name and (tiles or "tiles" not in name)}
    versions = {"torch": torch.__version__, "scikit-learn": sklearn.__version__, "scipy": scipy.__version__}
    versions |= {"anomalib": "2.7.0", "python": platform.python_version()}
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = {row["task"]: row for row in stored.get(machine, {}).get("rows", [])}
    rate = rates.rates(device)
    table = Table(title=f"times ours, on {machine}")
    for column in (
        "task",
        "ours s",
        "spread",
        "best peer",
        "anomalib",
        "limit",
        "share",
        "ours GB",
        "anomalib GB",
        "checked",
    ):
        table.add_column(column)
    for name, make in chosen.items():
        row = rows[name] = measure(name, make, rounds, device, rate)
        table.add_row(*(str(row[column.header]) for column in table.columns))
        print(row, flush=True)
        ordered = [rows[name] for name in everything if name in rows]
        stored[machine] = {**versions, "rows": ordered}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    Console(width=160).print(table)


@click.command()
@click.option("--only", default="", help="Tasks whose name contains this word.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--tiles", type=click.Path(exists=True, file_okay=False), help="Folder of the magnetic tile set.")
@click.option("--device", type=click.Choice(["all", "cpu", "cuda"]), default="all", show_default=True)
def main(only: str, rounds: int, tiles: str | None, device: str) -> None:
    torch.backends.cudnn.allow_tf32 = False  # all in the precision that their dtype says
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name in there if device == "all" else [device]:
        run(torch.device(name), only, rounds, tiles)
    readme.write()


if __name__ == "__main__":
    give_memory_back()
    main()
