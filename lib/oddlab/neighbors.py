"""Nearest neighbours by matrix products, in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

QUERY_ROWS, BLOCK_ENTRIES = 2**9, 2**19
"""Queries and products of a block: few enough to stay in the cache of a processor core."""
ACCELERATOR_ROWS, ACCELERATOR_ENTRIES = 2**13, 2**25
"""The same on an accelerator, which waits for calls if a block is small."""


def nearest(queries: Tensor, references: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    r"""Squared distances (Q,) of `queries` (Q, D) to the nearest of `references` (R, D), and its index (Q,).

    .. math::
        \arg\min_r \|q - r\|^2 = \arg\min_r \left(\tfrac12 \|r\|^2 - q^\top r\right)

    is one matrix product. Its rounding grows with the norms, so both are first shifted by `origin` (D,), any point
    among the data; and the distance to the neighbour it finds is measured anew, as :math:`\sum_d (q_d - r_d)^2`, so
    that equal points have a distance of exactly 0.

    >>> squared, index = nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [7.0]]), torch.zeros(1))
    >>> squared, index
    (tensor([1., 4.]), tensor([0, 1]))
    """
    squared = queries.new_empty(len(queries))
    index = torch.empty(len(queries), dtype=torch.long, device=queries.device)
    cpu = queries.device.type == "cpu"
    step, entries = (QUERY_ROWS, BLOCK_ENTRIES) if cpu else (ACCELERATOR_ROWS, ACCELERATOR_ENTRIES)
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        index[rows] = _nearest_index(queries[rows] - origin, references, origin, entries)
        squared[rows] = (queries[rows] - references[index[rows]]).square_().sum(dim=1)
    return squared, index


def _nearest_index(shifted: Tensor, references: Tensor, origin: Tensor, entries: int) -> Tensor:
    smallest = shifted.new_full((len(shifted),), float("inf"))
    index = torch.zeros(len(shifted), dtype=torch.long, device=shifted.device)
    step = max(1, entries // len(shifted))
    for start in range(0, len(references), step):
        block = references[start : start + step] - origin
        values, places = torch.addmm(block.square().sum(dim=1) / 2, shifted, block.T, alpha=-1).min(dim=1)
        closer = values < smallest
        smallest = torch.where(closer, values, smallest)
        index = torch.where(closer, places + start, index)
    return index
