"""What the processes of a distributed run know together."""

from __future__ import annotations

from collections.abc import Sized

import torch
import torch.distributed
from torch import Tensor
from torch.utils.data.distributed import DistributedSampler


def process_count() -> int:
    """How many processes take part: 1 unless `torch.distributed` is initialised."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def gather(tensor: Tensor) -> list[Tensor]:
    """The `tensor` of every process, by rank; their shapes may differ and may be empty. All processes must call it.

    >>> gather(torch.ones(2))
    [tensor([1., 1.])]
    """
    if process_count() == 1:
        return [tensor]
    own = torch.distributed.get_rank()
    shapes: list = [None] * process_count()
    torch.distributed.all_gather_object(shapes, (tuple(tensor.shape), tensor.dtype))
    on_gpu = torch.distributed.get_backend() == "nccl"  # which moves nothing that lies on a CPU
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else tensor.device
    gathered = []
    for rank, (shape, dtype) in enumerate(shapes):
        if rank == own:
            sent = tensor.detach().to(device).contiguous()
        else:
            sent = torch.empty(shape, dtype=dtype, device=device)
        if sent.numel():
            torch.distributed.broadcast(sent, src=rank)
        gathered.append(sent.to(tensor.device))
    return gathered


def gather_rows(rows: Tensor) -> Tensor:
    """The `rows` (N, ...) of all processes as one tensor, in the order in which one process would have seen them.

    A `DistributedSampler` deals samples out in turn: of R processes the first gets samples 0, R, 2 R and so on. Rows
    that were not dealt out like that follow each other process by process.

    >>> gather_rows(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    parts = gather(rows)
    n = sum(len(part) for part in parts)
    if len(parts) == 1 or n == 0:
        return rows
    filled = [part for part in parts if len(part)]  # a process without any may not know their shape
    if any(len(part) != share(n, rank, len(parts)) for rank, part in enumerate(parts)):
        return torch.cat(filled)
    together = filled[0].new_empty(n, *filled[0].shape[1:])
    for rank, part in enumerate(filled):
        together[rank :: len(parts)] = part
    return together


def share(n: int, rank: int, processes: int) -> int:
    """How many of `n` samples, dealt out in turn, the process `rank` gets.

    >>> [share(5, rank, processes=2) for rank in (0, 1)]
    [3, 2]
    """
    return len(range(rank, n, processes))


def own_samples(loader: object) -> int | None:
    """How many samples of `loader` belong to this process, or None if all that it yields do.

    A `DistributedSampler` repeats samples at the end, so that all processes get equally many: whatever comes after this
    process's own share is such a repetition.

    >>> own_samples(torch.utils.data.DataLoader([1, 2, 3])) is None
    True
    """
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, DistributedSampler) or sampler.drop_last or not isinstance(sampler.dataset, Sized):
        return None
    return share(len(sampler.dataset), sampler.rank, sampler.num_replicas)
