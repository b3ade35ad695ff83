"""The start of every notebook: seeds, the device, how figures look, and Lightning without its chatter."""

from __future__ import annotations

import logging
import random
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

import oddlab
from oddlab.lab.figures import use_defaults

if TYPE_CHECKING:
    import pytorch_lightning
    import torch

CHATTY_LOGGERS = (
    "pytorch_lightning.utilities.rank_zero",
    "lightning_fabric.utilities.rank_zero",
    "pytorch_lightning.accelerators.cuda",
    "pytorch_lightning.trainer.connectors.checkpoint_connector",
)
"""Where Lightning announces the devices there are, tips for its services and that it stopped when told to."""

HARMLESS_WARNINGS = (
    r".*does not have many workers",
    r".*this fit will run with no optimizer",
    r".*GPU available but not used",
    r".*module\(s\) in eval mode at the start of training",  # a frozen backbone is
    r".*isinstance\(treespec, LeafSpec\)` is deprecated",
)
"""What Lightning warns of although the notebooks mean it: small data read in one process, fits without a gradient."""


def setup(seed: int = 0, device: str = "auto") -> torch.device:
    """Seed random, numpy and torch, choose the device, set how figures look, quiet Lightning; say so in one line.

    `device` is "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N". Raises `ValueError` for a device that is
    misspelt or not there, and for a seed that is not an int from 0 to 2**32 - 1.

    >>> device = setup(seed=0, device="cpu")  # doctest: +ELLIPSIS
    device cpu, torch ..., oddlab ...
    >>> device
    device(type='cpu')
    """
    import torch

    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an int from 0 to 2**32 - 1, got {seed!r}")
    chosen = choose_device(device)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    use_defaults()
    quiet_lightning()
    gpu = f" ({torch.cuda.get_device_name(chosen)})" if chosen.type == "cuda" else ""
    torch_version = torch.__version__.partition("+")[0]
    print(f"device {chosen}{gpu}, torch {torch_version}, oddlab {oddlab.__version__}")
    return chosen


def choose_device(device: str) -> torch.device:
    """The device that `device` means, as in :func:`setup`; a GPU always with its index, as tensors on it have it."""
    import torch

    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    gpus = torch.cuda.device_count()
    if device == "cpu" or (device == "auto" and not gpus):
        return torch.device("cpu")
    index = int(device.partition(":")[2] or 0)
    if index >= gpus:
        there = "no GPU" if not gpus else "one GPU, 'cuda:0'" if gpus == 1 else f"GPUs 'cuda:0' to 'cuda:{gpus - 1}'"
        raise ValueError(f"device: expected 'auto' or one that is there, since torch sees {there}; got {device!r}")
    return torch.device("cuda", index)


def quiet_lightning() -> None:
    """Silence what Lightning says at every start; its other warnings still come through."""
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in HARMLESS_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def trainer(device: torch.device | str, **kwargs: Any) -> pytorch_lightning.Trainer:
    """A Trainer on the device that :func:`setup` returned: one epoch, nothing written, nothing shown.

    `kwargs` are the Trainer's own and override these defaults.

    >>> trainer("cpu", max_epochs=3).max_epochs
    3
    """
    import pytorch_lightning
    import torch

    device = torch.device(device)
    defaults = {
        "accelerator": "gpu" if device.type == "cuda" else device.type,
        "devices": [device.index or 0] if device.type == "cuda" else 1,
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pytorch_lightning.Trainer(**{**defaults, **kwargs})
