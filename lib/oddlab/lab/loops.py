"""The two loops that lessons would else write again: features of a data set, and a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from IPython.display import display
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from oddlab.lab.recording import Line


def with_progress(items: Sequence[Any] | Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """`items`, and meanwhile one line that says how many of `total` are done.

    >>> list(with_progress("ab", 2, "letters"))
    letters: 0 of 2
    ['a', 'b']
    """
    line = display(Line(f"{what}: 0 of {total}"), display_id=True)
    for done, item in enumerate(items, start=1):
        yield item
        if line is not None:  # outside of a notebook nothing can be shown anew
            line.update(Line(f"{what}: {done} of {total}"))


@torch.no_grad()
def features_of(
    extract: Callable[[Tensor], Any], dataset: Dataset, *, batch_size: int = 32, device: torch.device | str = "cpu"
) -> Any:
    """What `extract` returns for the images of `dataset`, joined: a tensor, or a dictionary of tensors by layer.

    Args:
        extract: a function or module of images (N, 3, S, S), such as a `FeatureExtractor`, on `device`.
        dataset: items with `image` (3, S, S), such as `ImageDataset`.
        batch_size: images that are passed at once.

    The result is on the CPU, in the order of the data set. One line shows how far it is.

    >>> images = [{"image": torch.full((3, 2, 2), float(i))} for i in range(5)]
    >>> features_of(lambda x: x.mean(dim=(1, 2, 3)), images, batch_size=2)
    batches of images: 0 of 3
    tensor([0., 1., 2., 3., 4.])
    """
    loader = DataLoader(dataset, batch_size=batch_size)
    found = []
    for batch in with_progress(loader, len(loader), "batches of images"):
        features = extract(batch["image"].to(device))
        found.append(
            {name: value.cpu() for name, value in features.items()} if isinstance(features, dict) else features.cpu()
        )
    if isinstance(found[0], dict):
        return {name: torch.cat([one[name] for one in found]) for name in found[0]}
    return torch.cat(found)


def train(
    loss: Callable[[Tensor], Tensor],
    parameters: Iterable[Tensor],
    data: Tensor,
    *,
    steps: int,
    batch_size: int = 256,
    lr: float = 1e-3,
    random_state: int = 0,
) -> list[float]:
    """Make `loss(batch)` small by Adam; return its value at each step.

    Args:
        loss: a function of a batch of rows of `data`, which returns a scalar.
        parameters: what trains.
        data: samples (N, ...), from which each step draws `batch_size` at random.
        steps: how many updates.
        lr: the learning rate, which falls to 0 by a cosine.
        random_state: decides the batches.

    >>> weight = torch.zeros(2, requires_grad=True)
    >>> points = torch.tensor([[1.0, 2.0]]).expand(10, 2)
    >>> losses = train(lambda x: (x - weight).square().mean(), [weight], points, steps=200, lr=0.1)
    >>> len(losses), losses[-1] < 0.01, weight.detach().round().tolist()
    (200, True, [1.0, 2.0])
    """
    optimizer = torch.optim.Adam(list(parameters), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(random_state)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(data), (min(batch_size, len(data)),), generator=generator)
        value = loss(data[rows.to(data.device)])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return losses
