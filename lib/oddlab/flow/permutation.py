"""Fixed permutations of channels: hard ones, which are an index, and soft ones, which are a rotation."""

from __future__ import annotations

import torch
from torch import Tensor


def hard_permutation(n: int) -> Tensor:
    """A random permutation as a matrix (n, n) of zeros and ones, drawn from PyTorch's global random state.

    >>> hard_permutation(5).sum(dim=0)
    tensor([1., 1., 1., 1., 1.])
    """
    return torch.eye(n)[torch.randperm(n)]


def soft_permutation(n: int) -> Tensor:
    r"""A random rotation (n, n), uniform over SO(n): orthogonal, with determinant 1.

    The Q of a QR decomposition of normal numbers is uniform over the orthogonal matrices once R has a positive diagonal
    (Mezzadri, math-ph/0609050); a column with the other sign turns a determinant of -1 into 1.

    >>> r = soft_permutation(4)
    >>> torch.allclose(r @ r.T, torch.eye(4), atol=1e-6), round(torch.linalg.det(r).item(), 4)
    (True, 1.0)
    """
    q, r = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.slogdet(q).sign
    return q.float()


def orthogonalize(matrix: Tensor) -> Tensor:
    r"""`matrix` (n, n), orthogonal to about 1e-7, made orthogonal to about 1e-14, in float64.

    .. math:: R \leftarrow \tfrac12 R\,(3 I - R^\top R)

    is one Newton-Schulz step, which squares the error. So a rotation stored in float32 has an exact inverse in float64.
    Raises `ValueError` for a matrix that is not close to orthogonal.

    >>> r = orthogonalize(soft_permutation(4))
    >>> (r.T @ r - torch.eye(4)).abs().max().item() < 1e-13
    True
    """
    r, eye = matrix.double(), torch.eye(len(matrix), dtype=torch.float64, device=matrix.device)
    error = (r.mT @ r - eye).abs().max().item()
    # bfloat16 rounds to 0.004.
    if not error < 0.05:
        raise ValueError(f"matrix: expected an orthogonal one, got one whose columns are off by {error:.2g}")
    for _ in range(1 if error < 1e-6 else 3):
        r = 0.5 * r @ (3 * eye - r.mT @ r)
    return r


def permutation_index(matrix: Tensor) -> Tensor | None:
    """The index p with `matrix @ x == x[p]`, (n,), or None if `matrix` (n, n) is no permutation.

    >>> permutation_index(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([1, 0])
    """
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
    return torch.matmul(matrix, x.flatten(2)).view(x.shape) if x.ndim > 2 else x @ matrix.mT
