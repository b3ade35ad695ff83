"""A person's own weights for a backbone, out of a file."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CLASSES = 1000
"""How many classes ImageNet has, by which the last layers of networks are told."""


def read_weights(path: str) -> tuple[dict[str, Tensor], object]:
    """The state_dict in the file `path`, and what the file has as "normalization" (None if nothing).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"model": {"module.bias": torch.zeros(2)}}, f"{folder}/net.pt")
    ...     read_weights(f"{folder}/net.pt")
    ({'bias': tensor([0., 0.])}, None)
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"weights: expected the path of a file, got {path!r}, which is not there") from error
    except Exception as error:  # whatever a file of another kind makes torch.load raise
        raise ValueError(
            f"weights: expected a file with a state_dict, as torch.save writes it, "
            f"got {path!r}, which torch.load with weights_only=True does not read ({type(error).__name__})"
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"weights: expected a file with a state_dict, got {path!r} with {type(stored).__name__}")
    chosen = stored.pop("normalization", None)
    state = next((stored[key] for key in ("state_dict", "model") if isinstance(stored.get(key), dict)), stored)
    other = [repr(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if other:
        raise ValueError(
            f"weights: expected a file with a state_dict, by itself or as 'state_dict' or 'model' in a dictionary, "
            f"got {path!r}, which holds what is no tensor: {first(other)}"
        )
    for prefix in ("module.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state, chosen


def first(names: list[str]) -> str:
    """The first three of `names`, and how many more there are.

    >>> first(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def last_layers(network: nn.Module) -> list[str]:
    """The names of the layers that tell the 1000 classes of ImageNet apart: one, or two if one is a helper in training.

    >>> from collections import OrderedDict
    >>> last_layers(nn.Sequential(OrderedDict(body=nn.Linear(3, 8), classifier=nn.Linear(8, 1000))))
    ['classifier']
    """
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return [name for name, module in layers if module.weight.shape[0] == CLASSES]


def fill(network: nn.Module, state: dict[str, Tensor], name: str, path: str) -> None:
    """Load `state` into `network`; a last layer that does not fit becomes 0, anything else is one `ValueError`.

    The error calls the network `name` and says that `state` is from the file `path`.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1000))
    >>> fill(network, {"0.weight": torch.eye(2), "0.bias": torch.ones(2)}, "two layers", "net.pt")
    >>> network(torch.zeros(2)).abs().max().item()
    0.0
    """
    own = network.state_dict()
    # Which files of old versions of PyTorch lack, and which only training needs.
    state = {**{key: own[key] for key in own if key.endswith("num_batches_tracked")}, **state}
    for layer in last_layers(network):
        wanted = {key: torch.zeros_like(own[key]) for key in own if key.startswith(f"{layer}.")}
        there = {key: state.pop(key) for key in list(state) if key.startswith(f"{layer}.")}
        fits = {key: t.shape for key, t in there.items()} == {key: t.shape for key, t in wanted.items()}
        state.update(there if fits else wanted)
    shapes = {key: (tuple(state[key].shape), tuple(own[key].shape)) for key in own if key in state}
    wrong = {
        "missing": [key for key in own if key not in state],
        "of another shape": [f"{key} {got} for {wanted}" for key, (got, wanted) in shapes.items() if got != wanted],
        "unknown": [key for key in state if key not in own],
    }
    said = [f"{what}: {first(keys)}" for what, keys in wrong.items() if keys]
    if said:
        raise ValueError(f"weights: expected a state_dict that fits {name!r}, got {path!r} with {'; '.join(said)}")
    network.load_state_dict(state)


def mean_and_std(given: object, path: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The normalisation `given` in the file `path`, as numbers.

    >>> mean_and_std([[0.5, 0.5, 0.5], torch.ones(3)], "net.pt")
    ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    """
    try:
        mean, std = (tuple(float(value) for value in values) for values in given)
    except (TypeError, ValueError):
        mean, std = (), ()
    if not (len(mean) == len(std) == 3 and all(map(math.isfinite, (*mean, *std))) and min(std) > 0):
        raise ValueError(
            f"weights: expected 'normalization' to be (mean, std), three numbers each and std above 0, "
            f"got {given!r} in {path!r}"
        )
    return mean, std
