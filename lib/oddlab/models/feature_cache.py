"""Features that a frozen network need not compute again for an image that it has seen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CACHE_BYTES = 2**30
"""Memory that the features of training images may take, in bytes; what does not fit is computed anew every time."""


def fingerprints(images: Tensor) -> list[tuple[int, ...]]:
    """128 bits of each of `images` (N, ...), from all bits of its values: equal for equal images, and else not by
    chance.

    Each half is the sum of the image's 32-bit words, times random odd numbers, modulo 2^64.

    >>> a, b, c = fingerprints(torch.tensor([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]))
    >>> a == b, a == c
    (True, False)
    """
    words = images.detach().contiguous().flatten(1).view(torch.int32)
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (2, words.shape[1]), generator=generator, device="cpu") | 1
    halves = [(words * half).sum(dim=1).tolist() for half in factors.to(images.device)]
    return list(zip(*halves))


class FeatureCache:
    """Calls `compute`, from images (N, ...) to a list of maps (N, C, H, W), for images that have not come before only.

    Augmented images differ from each other, so they are computed as they come.

    >>> cache = FeatureCache(lambda images: [images.mean(dim=1, keepdim=True)])
    >>> cache(torch.ones(2, 3, 4, 4))[0].shape, len(cache.known)
    (torch.Size([2, 1, 4, 4]), 1)
    """

    def __init__(self, compute: Callable[[Tensor], list[Tensor]]) -> None:
        self.compute = compute
        self.known: dict[tuple[int, ...], list[Tensor]] = {}
        self.bytes = 0

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        keys = fingerprints(images)
        new = [i for i, key in enumerate(keys) if key not in self.known]
        found = {keys[i]: maps for i, maps in zip(new, zip(*self.compute(images[new])))} if new else {}
        for key, maps in found.items():
            size = sum(one.numel() * one.element_size() for one in maps)
            if self.bytes + size <= CACHE_BYTES:
                self.known[key] = [one.clone() for one in maps]
                self.bytes += size
        rows = [found.get(key) or self.known[key] for key in keys]
        return [torch.stack(layer) for layer in zip(*rows)]
