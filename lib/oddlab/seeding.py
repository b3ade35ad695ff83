"""One `random_state` for all that is drawn at random."""

from __future__ import annotations

from numbers import Integral

import torch


def make_generator(random_state: int | torch.Generator | None) -> torch.Generator:
    """A generator on the CPU, so that one seed draws the same numbers on every device.

    An int, Python's or numpy's, seeds a new one, a `torch.Generator` is returned as it is and goes on, None is seeded
    from PyTorch's global random state. Raises `TypeError` for anything else, and `ValueError` for a generator of
    another device.

    >>> torch.randint(100, (3,), generator=make_generator(0))
    tensor([44, 39, 33])
    """
    if isinstance(random_state, torch.Generator):
        if random_state.device.type != "cpu":
            raise ValueError(f"random_state: expected a generator on the CPU, got one on {random_state.device}")
        return random_state
    if random_state is None:
        random_state = int(torch.randint(2**62, (), device="cpu"))
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise TypeError(f"random_state: expected an int, a torch.Generator or None, got {random_state!r}")
    return torch.Generator().manual_seed(int(random_state))


def seed_of(random_state: int | torch.Generator | None) -> int:
    """The int that stands for `random_state` where a seed is wanted: itself, or one drawn by :func:`make_generator`.

    >>> seed_of(3), 0 <= seed_of(None) < 2**31
    (3, True)
    """
    generator = make_generator(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(torch.randint(2**31, (), generator=generator, device="cpu"))
