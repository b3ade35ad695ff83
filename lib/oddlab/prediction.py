"""Scores and heat maps of a folder of images, written to files."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from oddlab.anomaly_module import AnomalyModule
from oddlab.data.modules import PredictData

SCORES = "scores.csv"
MAPS = "heat_maps"

LONGEST = 250
"""Bytes of a file's name, beyond which file systems refuse it."""

_STEPS = np.arange(256)[:, None] / 255
PALETTE = (np.clip(3 * _STEPS - [0, 1, 2], 0, 1) * 255).round().astype(np.uint8)
"""Black, red, yellow, white: the colours of the values 0 to 255 of a heat map."""


class PredictionWriter(BasePredictionWriter):
    """A callback that writes what `Trainer.predict` finds into a folder.

    `scores.csv` has a row for each image: `path`, `score`, and `decision`, which is "good" or "anomalous", or empty as
    long as the detector has no threshold or the score is no number. It is written when all images are done, whole, by
    one process for all. Where the detector has maps, `heat_maps/<path>.png` shows each, in the size of its image if the
    batch says it, as that of `PredictData` does: value 0 is 0 (or the least below it) and 128 is the pixel threshold;
    without one 255 is the largest value of that map, so that two maps cannot be compared.

    Args:
        out: the folder, which is made if it is not there.
        root: paths in `scores.csv` and under `heat_maps` are relative to this folder; None keeps them as they are.
        skipped: files that have no score, such as `PredictData.skipped`: their rows, with the path alone, come last.
    """

    def __init__(self, out: str | Path, root: str | Path | None = None, skipped: Sequence[str | Path] = ()) -> None:
        super().__init__(write_interval="batch")
        self.out = Path(out).expanduser().absolute()
        self.root = None if root is None else Path(root).expanduser().absolute()
        self.skipped = skipped

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self._rows: list[tuple[str, float, str]] = []

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: dict[str, Any],
        batch_indices: Sequence[int] | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        names = [self._name(path) for path in prediction["image_path"]]
        scores = prediction["pred_scores"].tolist()
        decisions = [""] * len(names)
        if "pred_labels" in prediction:
            decisions = ["anomalous" if found else "good" for found in prediction["pred_labels"].tolist()]
        # A score that is no number decides nothing.
        decisions = [decision if score == score else "" for decision, score in zip(decisions, scores)]
        # Without indices two processes count alike.
        rank = 0 if batch_indices else trainer.global_rank
        places = [
            (dataloader_idx, place, rank)
            for place in batch_indices or range(len(self._rows), len(self._rows) + len(names))
        ]
        self._rows += zip(places, names, scores, decisions)
        if "anomaly_maps" not in prediction:
            return
        threshold = getattr(pl_module, "pixel_threshold", torch.tensor(float("nan"))).item()
        for i, (name, found) in enumerate(zip(names, prediction["anomaly_maps"].float().cpu())):
            if "size" in prediction:
                # The box is in pixels of the image that went in, and a map may be smaller.
                scale = found.shape[-1] / prediction["image"].shape[-1]
                top, left, height, width = (round(length * scale) for length in prediction["box"][i].tolist())
                height, width = max(height, 1), max(width, 1)
                top, left = min(top, found.shape[0] - height), min(left, found.shape[1] - width)
                inside = found[None, None, top : top + height, left : left + width]
                found = F.interpolate(inside, prediction["size"][i].tolist(), mode="bilinear")[0, 0]
            path = self._map_path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, heat_map(found, threshold))

    def _name(self, path: str) -> str:
        if self.root is None:
            return path
        name = Path(os.path.relpath(path, self.root))
        if ".." in name.parts:
            raise ValueError(f"root: expected a folder that holds all images, got {self.root} for {path}")
        return name.as_posix()

    def _map_path(self, name: str) -> Path:
        """Where the heat map of an image goes: by its whole path without a root, so that no two share a place."""
        path = Path(name)
        folders = [part for part in path.parent.parts if part not in (path.anchor, "..")]
        file = f"{path.name}.png"
        if len(os.fsencode(file)) > LONGEST:
            file = f"{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.png"
        return self.out.joinpath(MAPS, *folders, file)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = self._rows
        if trainer.world_size > 1:
            of_each: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(of_each, rows)
            rows = [row for of_one in of_each for row in of_one]
        if trainer.is_global_zero:
            # By their place, of which samplers repeat some, and not by their path, which a list may hold twice.
            once = {place: (path, score, decision) for place, path, score, decision in rows}
            partial = self.out / f".{SCORES}"
            with open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                table = csv.writer(file)
                table.writerow(["path", "score", "decision"])
                table.writerows(once[place] for place in sorted(once))
                table.writerows((self._name(str(path)), "", "") for path in self.skipped)
            os.replace(partial, self.out / SCORES)
        trainer.strategy.barrier()


def heat_map(values: Tensor, threshold: float) -> Image.Image:
    """`values` (H, W) as an image of 256 colours: 128 at `threshold` or, where that is NaN, 255 at the largest of them.

    >>> np.asarray(heat_map(torch.tensor([[0.0, 2.0, 9.0]]), threshold=2.0)).tolist()
    [[0, 128, 255]]
    """
    low = min(0.0, values.min().item())  # distances have none below 0
    scale = 128 / (threshold - low) if threshold > low else 255 / max(values.max().item() - low, 1e-30)
    levels = ((values - low) * scale).nan_to_num(nan=255).round().clamp(0, 255).to(torch.uint8)
    image = Image.fromarray(levels.numpy(), mode="L")
    image.putpalette(PALETTE.tobytes())
    return image


def write_whole(path: Path, image: Image.Image) -> None:
    """Save `image` at `path`, where nothing is until it is complete."""
    partial = path.with_name(f".{os.getpid()}.partial")
    image.save(partial, format="PNG")
    os.replace(partial, path)


def predict(
    model: AnomalyModule,
    root: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    batch_size: int = 32,
    keep_shape: bool = False,
    skip_broken: bool = False,
    num_workers: int = 0,
    trainer: pl.Trainer | None = None,
) -> Path:
    """Ask a fitted detector about all images of a folder; return the path of `scores.csv`, which has a row for each.

    Heat maps are written beside it, as `PredictionWriter` says. Paths are relative to `root`, or to the folder that
    holds all files of a list.

    Args:
        model: the detector, fitted; its `image_size` decides that of the images.
        root: a folder, whose images in any depth are taken; or an image file; or several of them in a list.
        out: the folder for the results.
        batch_size, keep_shape, skip_broken, num_workers: as for `PredictData`; `keep_shape` as in the fit.
        trainer: a Trainer to do it with; by default one on the best device that writes and shows nothing else.

    Raises `ValueError` for a folder without images, for a file that does not open, and for `out` inside of `root`.
    """
    is_folder = isinstance(root, (str, Path)) and Path(root).expanduser().is_dir()
    if is_folder and Path(out).expanduser().resolve().is_relative_to(Path(root).expanduser().resolve()):
        raise ValueError(f"out: expected a folder outside of {root}, in which images are looked for, got {out}")
    data = PredictData(
        root,
        image_size=model.hparams["image_size"],
        batch_size=batch_size,
        keep_shape=keep_shape,
        skip_broken=skip_broken,
        num_workers=num_workers,
    )
    trainer = trainer or pl.Trainer(
        devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    paths = [*data.predict_set.paths, *data.skipped]
    above = root if is_folder else os.path.commonpath([path.parent for path in paths])
    writer = PredictionWriter(out, above, data.skipped)
    trainer.callbacks.append(writer)
    try:
        trainer.predict(model, data, return_predictions=False)
    finally:
        trainer.callbacks.remove(writer)
    return writer.out / SCORES
