"""Fits, validates and tests every detector by as many processes as told, and stores what came of it.

    python tests/several_processes.py PROCESSES FOLDER

Lightning starts the other processes by this command too. The batch is such that all processes together take the same
number of images a step, however many they are. Rank r stores FOLDER/r.pt.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from oddlab import DFKDE, DFM, FastFlow, PaDiM, PatchCore
from oddlab.data import ImageData, ImageDataset, read_folder, texture_folder

TOGETHER = 4
LAYERS = {"layers": ["blocks.1"], "image_size": 32}
DETECTORS = {
    "PaDiM": lambda: PaDiM(**LAYERS, n_features=8),
    "PatchCore": lambda: PatchCore(**LAYERS, sampling_ratio=0.05),
    "DFKDE": lambda: DFKDE(**LAYERS, n_components=1),
    "DFM": lambda: DFM(**LAYERS, n_components=1),
    "FastFlow": lambda: FastFlow(**LAYERS, flow_steps=2),
}
TRAINING_IMAGES = {"an odd number": 9, "fewer than a batch": 3, "one on each process": 2}


class Plain(pl.LightningDataModule):
    """Loaders as many people write them, into which Lightning puts its own sampler under several processes."""

    def __init__(self, train: list, test: list, batch_size: int) -> None:
        super().__init__()
        self.sets, self.batch_size = [ImageDataset(samples, 32) for samples in (train, test)], batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.sets[0], self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.sets[1], self.batch_size)

    test_dataloader = val_dataloader


def run(detector: pl.LightningModule, data: pl.LightningDataModule, processes: int, folder: Path) -> dict:
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if processes > 1 else "auto"
    trainer = pl.Trainer(
        accelerator="cpu", devices=processes, strategy=strategy, max_epochs=2, default_root_dir=folder, **off
    )
    trainer.fit(detector, data)
    checkpoint = trainer.checkpoint_callback.best_model_path
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    figures = trainer.test(detector, data, verbose=False)[0]
    images = torch.stack(
        [detector_input["image"] for detector_input in ImageDataset(read_folder(texture_folder(), "gravel")[1][:3], 32)]
    )
    with torch.no_grad():
        scores = detector.eval()(images)["pred_scores"]
    state = {name: value for name, value in detector.state_dict().items() if not name.startswith("features.")}
    return {
        "state": state,
        "scores": scores,
        "figures": figures,
        "stored": {name: stored[name] for name in state},
        "placeholder": any("placeholder" in name for name in [*stored, *detector.state_dict()]),
        "steps": trainer.global_step,
    }


def main(processes: int, folder: Path) -> None:
    torch.use_deterministic_algorithms(True)
    warnings.simplefilter("ignore")
    train, test = read_folder(texture_folder(), "gravel")
    test = test[:21:2] + test[40:63:2]
    batch_size = TOGETHER // processes
    found = {}
    for name, make in DETECTORS.items():
        for case, n in TRAINING_IMAGES.items():
            data = ImageData(train[:n], test, image_size=32, batch_size=batch_size)
            found[f"{name}, {case}"] = run(make(), data, processes, folder / "logs")
    for name in ("PaDiM", "DFM"):
        found[f"{name}, plain loaders"] = run(
            DETECTORS[name](), Plain(train[:9], test, batch_size), processes, folder / "logs"
        )
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
