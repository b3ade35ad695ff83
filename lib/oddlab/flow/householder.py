"""Products of Householder reflections, applied without ever being written down."""

from __future__ import annotations

import torch
from torch import Tensor

from oddlab.modes import full_precision


def compact_wy(v: Tensor) -> tuple[Tensor, Tensor]:
    r"""Unit vectors U (k, C) and a triangular T (k, k), with which the product of k reflections is I minus a small one.

    .. math::
        Q = H_1 H_2 \cdots H_k = I - U^\top T U, \qquad
        H_i = I - 2\,\frac{v_i v_i^\top}{v_i^\top v_i}, \qquad
        (T^{-1})_{ij} = \begin{cases} u_i^\top u_j & i < j \\ \tfrac12 & i = j \\ 0 & i > j \end{cases}

    with :math:`u_i = v_i / \|v_i\|`. A vector of 0 reflects nothing: its u is 0.

    Source: Schreiber and Van Loan, A storage-efficient WY representation (1989); this form of T is Puglisi's (1992).

    >>> u, t = compact_wy(torch.tensor([[3.0, 0.0], [1.0, 1.0]]))
    >>> t.diagonal(), round((u.T @ t @ u).trace().item(), 4)
    (tensor([2., 2.]), 2.0)
    """
    exact = v if v.dtype == torch.float64 else v.float()  # triangular systems are not solved in half precision
    length = torch.linalg.vector_norm(exact, dim=1, keepdim=True)
    u = exact / torch.where(length > 0, length, 1)
    eye = torch.eye(len(u), dtype=u.dtype, device=u.device)
    t = torch.linalg.solve_triangular(torch.triu(u @ u.mT, diagonal=1) + 0.5 * eye, eye, upper=True)
    return u.to(v.dtype), t.to(v.dtype)


@full_precision
def reflect(x: Tensor, v: Tensor, rev: bool = False) -> Tensor:
    r"""The channels of `x` (N, C, ...) reflected at all `v` (k, C): Q x, or :math:`Q^\top x = Q^{-1} x` with `rev`.

    It takes O(k C) operations a position, and no C x C matrix.

    >>> x = torch.tensor([[1.0, 2.0]])
    >>> reflect(x, torch.tensor([[1.0, 0.0]]))
    tensor([[-1.,  2.]])
    """
    u, t = compact_wy(v)
    tu = (t.mT if rev else t) @ u
    if x.ndim == 2:
        return x - (x @ tu.mT) @ u
    columns = x.flatten(2)
    return (columns - u.mT @ (tu @ columns)).view(x.shape)


def householder_matrix(v: Tensor) -> Tensor:
    r"""The product :math:`Q = H_1 \cdots H_k` (C, C) of the reflections at `v` (k, C), orthogonal.

    >>> householder_matrix(torch.tensor([[1.0, 0.0]]))
    tensor([[-1.,  0.],
            [ 0.,  1.]])
    """
    return reflect(torch.eye(v.shape[1], dtype=v.dtype, device=v.device), v, rev=True)
