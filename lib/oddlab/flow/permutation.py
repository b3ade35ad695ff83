"""Fixed permutations of channels: hard ones, which are an index, and soft ones, which are a rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.checks import check_int, values_known
from oddlab.modes import accurate, full_precision
from oddlab.seeding import make_generator


def hard_permutation(n: int, random_state: int | torch.Generator | None = None) -> Tensor:
    """A random permutation as a matrix (n, n) of zeros and ones, on the CPU.

    `random_state` is an int, a `torch.Generator`, or None for PyTorch's global random state.

    >>> hard_permutation(5).sum(dim=0)
    tensor([1., 1., 1., 1., 1.])
    """
    generator = None if random_state is None else make_generator(random_state)
    index = torch.randperm(check_int("n", n), generator=generator, device="cpu")
    return torch.eye(len(index), device="cpu")[index]


def soft_permutation(n: int, random_state: int | torch.Generator | None = None) -> Tensor:
    r"""A random rotation (n, n), uniform over SO(n): orthogonal, with determinant 1; on the CPU.

    `random_state` is an int, a `torch.Generator`, or None for PyTorch's global random state.

    The Q of a QR decomposition of normal numbers is uniform over the orthogonal matrices once R has a positive diagonal
    (Mezzadri, math-ph/0609050); a column with the other sign turns a determinant of -1 into 1.

    >>> r = soft_permutation(4)
    >>> torch.allclose(r @ r.T, torch.eye(4), atol=1e-6), round(torch.linalg.det(r).item(), 4)
    (True, 1.0)
    """
    generator, n = None if random_state is None else make_generator(random_state), check_int("n", n)
    q, r = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator, device="cpu"))
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.slogdet(q).sign
    return q.float()


def orthogonalize(matrix: Tensor) -> Tensor:
    r"""`matrix` (n, n), orthogonal to about 1e-7, made orthogonal to about 1e-14, in float64 where the device has it.

    .. math:: R \leftarrow \tfrac12 R\,(3 I - R^\top R)

    is one Newton-Schulz step, which squares the error. So a rotation stored in float32 has an exact inverse in float64.
    Raises `ValueError` for a matrix that is not close to orthogonal.

    >>> r = orthogonalize(soft_permutation(4))
    >>> (r.T @ r - torch.eye(4)).abs().max().item() < 1e-13
    True
    """
    r = accurate(matrix)
    eye = torch.eye(len(r), dtype=r.dtype, device=r.device)
    error = (r.mT @ r - eye).abs().max().item() if values_known(r) else 0.0
    # bfloat16 rounds to 0.004.
    if not error < 0.05:
        raise ValueError(f"matrix: expected an orthogonal one, got one whose columns are off by {error:.2g}")
    for _ in range(1 if error < 1e-6 else 3):
        r = 0.5 * r @ (3 * eye - r.mT @ r)
    return r


def permutation_index(matrix: Tensor) -> Tensor | None:
    """The index p with `matrix @ x == x[p]`, (n,), or None if `matrix` (n, n) is no permutation or cannot be looked at.

    >>> permutation_index(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([1, 0])
    """
    if not values_known(matrix):
        return None
    ones = matrix == 1
    hard = bool(((matrix == 0) | ones).all() and (ones.sum(dim=0) == 1).all() and (ones.sum(dim=1) == 1).all())
    return ones.int().argmax(dim=1) if hard else None


def permute(x: Tensor, matrix: Tensor, index: Tensor | None = None) -> Tensor:
    """The channels of `x` (N, C, ...) times `matrix` (C, C): by the `index` that it is, if given, else by a product.

    >>> permute(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([[2., 1.]])
    """
    if index is not None:
        return x.index_select(1, index)
    return _product(x, matrix)


@full_precision
def _product(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.matmul(matrix, x.flatten(2)).view(x.shape) if x.ndim > 2 else x @ matrix.mT
