"""A folder of 100,000 images: seconds and memory to list it, and seconds to the first batch.

    uv run python tests/benchmarks/many_files.py

The same is asked of torchvision's `ImageFolder`, which lists a folder of classes. Files are small PNGs in 100 folders,
written to a temporary folder and listed once before anything is timed, so that the system has seen them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader

import readme
from oddlab.data import PredictData, find_images

FILES, FOLDERS, TURNS = 100_000, 100, 3
RESULTS = Path(__file__).with_suffix(".json")


def write_files(root: Path) -> None:
    Image.new("L", (32, 32)).save(root / "one.png")
    content = (root / "one.png").read_bytes()
    (root / "one.png").unlink()
    for i in range(FOLDERS):
        folder = root / f"{i:03d}"
        folder.mkdir()
        for j in range(FILES // FOLDERS):
            (folder / f"{j:05d}.png").write_bytes(content)


def ours(root: Path) -> Callable[[], object]:
    return lambda: PredictData(root, image_size=32, batch_size=32)


def torchvisions(root: Path) -> Callable[[], object]:
    to_tensor = torchvision.transforms.ToTensor()
    return lambda: torchvision.datasets.ImageFolder(str(root), transform=to_tensor)


def first_batch(made: object) -> torch.Tensor:
    loader = made.predict_dataloader() if isinstance(made, PredictData) else DataLoader(made, batch_size=32)
    batch = next(iter(loader))
    return batch["image"] if isinstance(batch, dict) else batch[0]


def measure(name: str, make: Callable[[], object]) -> dict:
    listed, batched = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        made = make()
        listed.append(time.perf_counter() - start)
        assert first_batch(made).shape == (32, 3, 32, 32)
        batched.append(time.perf_counter() - start)
    tracemalloc.start()
    made = make()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "reader": name,
        "listed s": round(statistics.median(listed), 2),
        "first batch s": round(statistics.median(batched), 2),
        "held MB": round(held / 1e6),
        "peak MB": round(peak / 1e6),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root)
        assert sum(1 for _ in find_images(root)) == FILES
        rows = [measure("oddlab PredictData", ours(root)), measure("torchvision ImageFolder", torchvisions(root))]
    RESULTS.write_text(json.dumps({"files": FILES, "rows": rows}, indent=1) + "\n")
    print(*rows, sep="\n")
    readme.write()


if __name__ == "__main__":
    main()
