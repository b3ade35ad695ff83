"""Nearest neighbours by matrix products, in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.modes import full_precision

QUERY_ROWS, BLOCK_ENTRIES = 2**9, 2**19
"""Queries and products of a block: few enough to stay in the cache of a processor core."""
ACCELERATOR_ROWS, ACCELERATOR_ENTRIES = 2**13, 2**25
"""The same on an accelerator, which waits for calls if a block is small."""


@full_precision
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
    cpu = queries.device.type == "cpu"
    rows, entries = (QUERY_ROWS, BLOCK_ENTRIES) if cpu else (ACCELERATOR_ROWS, ACCELERATOR_ENTRIES)
    if torch.compiler.is_compiling():  # one graph for any number of queries
        return _nearest_of_block(queries, references, origin, entries // rows)
    blocks = queries.split(rows)
    step = max(1, entries // max(1, len(blocks[0])))
    squared, index = zip(*(_nearest_of_block(block, references, origin, step) for block in blocks))
    return torch.cat(squared), torch.cat(index)


def _nearest_of_block(queries: Tensor, references: Tensor, origin: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """`nearest` with `step` references at a time."""
    shifted = queries - origin
    smallest = shifted.new_full(shifted.shape[:1], float("inf"))
    index = torch.zeros_like(smallest, dtype=torch.long)
    for start in range(0, len(references), step):
        block = references[start : start + step] - origin
        values, places = torch.addmm(block.square().sum(dim=1) / 2, shifted, block.T, alpha=-1).min(dim=1)
        closer = values < smallest
        smallest = torch.where(closer, values, smallest)
        index = torch.where(closer, places + start, index)
    return (queries - references[index]).square_().sum(dim=1), index
