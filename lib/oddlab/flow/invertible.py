"""The contract of an invertible module, and a chain of them that is a density."""

from __future__ import annotations

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.checks import check_int, check_tensor, values_checked
from oddlab.representation import shown_arguments
from oddlab.seeding import make_generator

Dims = tuple[int, ...]
"""The shape of a tensor without its batch: (C,), (C, L), (C, H, W) or (C, D, H, W)."""

AXES = {1: "C", 2: "C L", 3: "C H W", 4: "C D H W"}
"""The names of the axes of :data:`Dims`."""


def check_dims(name: str, dims: Iterable[Iterable[int]] | None) -> list[Dims]:
    """Return `dims`, a list of shapes without the batch, as a list of tuples; None is an empty list.

    >>> check_dims("dims_in", [(3, 8, 8)])
    [(3, 8, 8)]
    >>> check_dims("dims_in", (3, 8, 8))
    Traceback (most recent call last):
    ValueError: dims_in: expected a list of shapes without the batch, such as [(3, 32, 32)], got (3, 8, 8)
    """
    try:
        checked = [tuple(shape) for shape in ([] if dims is None else dims)]
        sizes = [size for shape in checked for size in shape]
        good = all(checked) and all(not isinstance(size, bool) and int(size) == size > 0 for size in sizes)
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ValueError(f"{name}: expected a list of shapes without the batch, such as [(3, 32, 32)], got {dims!r}")
    return [tuple(int(size) for size in shape) for shape in checked]


def check_batch(name: str, value: Tensor, dims: Dims, n_fixed: int) -> Tensor:
    """Return `value` (N, ...) if it is finite and has the first `n_fixed` sizes of `dims` after the batch's; N may be
    0.

    >>> check_batch("x", torch.zeros(5, 3, 2), (3, 8), n_fixed=1).shape
    torch.Size([5, 3, 2])
    """
    axes = AXES.get(len(dims)) or " ".join(f"D{i}" for i in range(1, len(dims) + 1))
    exactly = dict(zip(axes.split(), dims[:n_fixed]))
    return check_tensor(name, value, f"N {axes}", at_least={"N": 0}, exactly=exactly)


class InvertibleModule(nn.Module, ABC):
    r"""A module f that is invertible in its inputs, and knows its Jacobian.

    `forward(x, c, rev=False, jac=True)` takes a list of inputs and a list of conditions and returns a tuple of outputs
    and, for each sample of the batch,

    .. math::
        J = \log \left| \det \frac{\partial f}{\partial x} \right|, \qquad
        -J = \log \left| \det \frac{\partial f^{-1}}{\partial z} \right| \quad \text{if rev}

    so that `x2, j2 = module(*module(x)[:1], rev=True)` gives x back, and minus the log-determinant. `rev` has nothing
    to do with backpropagation.

    Args:
        dims_in: the shapes of the inputs, without the batch, as [(3, 32, 32)] for one of RGB images.
        dims_c: those of the conditions.

    Raises `ValueError` for shapes that are none.

    Source: the interface is that of FrEIA 0.2.
    """

    def __init__(self, dims_in: Iterable[Dims], dims_c: Iterable[Dims] | None = None) -> None:
        super().__init__()
        self.dims_in, self.dims_c = check_dims("dims_in", dims_in), check_dims("dims_c", dims_c)
        if not self.dims_in:
            raise ValueError("dims_in: expected the shape of at least one input, got none")

    extra_repr = shown_arguments

    @abstractmethod
    def forward(
        self, x_or_z: Iterable[Tensor], c: Iterable[Tensor] | None = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Outputs, and the log-determinants (N,) in this direction; without `jac` they may be missing."""

    @abstractmethod
    def output_dims(self, input_dims: list[Dims]) -> list[Dims]:
        """The shapes of the outputs, without the batch, for inputs of the shapes `input_dims`."""

    def log_jacobian(self, *args: Any, **kwargs: Any) -> None:
        """Deprecated; only warns. `forward(..., jac=True)` returns the log-determinant."""
        warnings.warn(
            "log_jacobian is deprecated: forward(..., jac=True) returns outputs and log-determinant",
            DeprecationWarning,
            stacklevel=2,
        )


class SequenceINN(InvertibleModule):
    r"""A chain of invertible modules with one input, which makes a density out of a standard normal.

    .. math::
        z = f_k(\dots f_1(x)), \qquad
        \log p(x) = \log \mathcal N(z;\, 0, I) + \sum_i \log \left| \det \frac{\partial f_i}{\partial x_i} \right|

    Args:
        dims: the shape of the input, without the batch.

    `append` adds a module. The chain takes a tensor (or a list of one) and returns a tensor, as FrEIA's does. Input and
    conditions have the dtype of the modules' parameters, as for PyTorch's layers.

    Raises `ValueError` for a shape that is none, input or conditions of another shape or with NaN, and conditions that
    are missing or that nobody asked for; `TypeError` for what is no tensor of floating-point numbers.

    Source: Dinh, Sohl-Dickstein, Bengio, Real NVP (arXiv 1605.08803), equations 2 and 3; interface of FrEIA 0.2.

    Example:
        >>> from oddlab import AllInOneBlock
        >>> inn = SequenceINN(2)
        >>> for _ in range(4):
        ...     inn.append(AllInOneBlock, subnet_constructor=nn.Linear)
        >>> x = torch.randn(5, 2)
        >>> z, log_det = inn(x)
        >>> torch.allclose(inn(z, rev=True)[0], x, atol=1e-5)
        True
        >>> inn.log_prob(x).shape, inn.sample(3).shape
        (torch.Size([5]), torch.Size([3, 2]))
    """

    def __init__(self, *dims: int) -> None:
        try:
            super().__init__([dims])
        except ValueError:
            raise ValueError(
                f"dims: expected the sizes of one shape without the batch, such as 3, 32, 32, got {dims}"
            ) from None
        self.shapes = list(self.dims_in)
        self.conditions: list[int | None] = []
        self.condition_shapes: dict[int, Dims] = {}
        self.module_list = nn.ModuleList()

    def append(
        self, module_class: type[nn.Module], cond: int | None = None, cond_shape: Dims | None = None, **kwargs: Any
    ) -> None:
        """Add `module_class(dims_in, **kwargs)`.

        `cond` says which of the conditions that are passed to the chain this module gets, and `cond_shape` its shape
        without the batch.
        """
        if (cond is None) != (cond_shape is None):
            raise ValueError(f"cond, cond_shape: expected both or none, got {cond!r} and {cond_shape!r}")
        if cond is not None:
            cond = check_int("cond", cond, least=0)
            (cond_shape,) = kwargs["dims_c"] = check_dims("cond_shape", [cond_shape])
        module = module_class([self.shapes[-1]], **kwargs)
        outputs = module.output_dims([self.shapes[-1]])
        if len(outputs) != 1:
            raise ValueError(f"module_class: expected a module with one output, got {len(outputs)}")
        self.module_list.append(module)
        self.conditions.append(cond)
        if cond is not None:
            self.condition_shapes[cond] = cond_shape
        self.shapes.append(tuple(outputs[0]))

    def forward(
        self, x_or_z: Tensor | Sequence[Tensor], c: Sequence[Tensor] | None = None, rev: bool = False, jac: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The output (N, ...) and the log-determinants (N,), through all modules, or their inverses if `rev`."""
        if not isinstance(x_or_z, Tensor) and len(x_or_z) != 1:
            raise ValueError(f"x_or_z: expected a tensor or a list of one, got {len(x_or_z)}")
        dims = self.shapes[-1 if rev else 0]
        value = check_batch("x_or_z", x_or_z if isinstance(x_or_z, Tensor) else x_or_z[0], dims, len(dims))
        wanted = 1 + max(self.condition_shapes, default=-1)
        if len(c or ()) != wanted:
            raise ValueError(f"c: expected a list of {wanted} conditions, got {len(c or ())}")
        for cond, dims in self.condition_shapes.items():
            check_batch("c", c[cond], dims, len(dims))
        log_det = value.new_zeros(value.shape[:1])
        steps = list(zip(self.module_list, self.conditions))
        with contextlib.nullcontext() if torch.compiler.is_compiling() else values_checked():
            for module, cond in reversed(steps) if rev else steps:
                conditions = {} if cond is None else {"c": [c[cond]]}
                (value,), change = module([value], rev=rev, jac=jac, **conditions)
                log_det = log_det if change is None else log_det + change  # which a module may leave out without jac
        return value, log_det

    def output_dims(self, input_dims: list[Dims]) -> list[Dims]:
        """The shape of the output, without the batch, as a list of one."""
        return [self.shapes[-1]]

    def log_prob(self, x: Tensor, c: Sequence[Tensor] | None = None) -> Tensor:
        """Log densities (N,) of `x` (N, ...), in nats, under what becomes of a standard normal."""
        z, log_det = self(x, c)
        squared = z.flatten(1).square().sum(dim=1)
        return log_det - 0.5 * (squared + math.prod(self.shapes[-1]) * math.log(2 * math.pi))

    @torch.no_grad()
    def sample(
        self, n: int, c: Sequence[Tensor] | None = None, random_state: int | torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` values (n, ...): a standard normal, sent backwards through the chain."""
        shape, like = (check_int("n", n), *self.shapes[-1]), next(self.parameters(), torch.empty(0))
        z = torch.randn(shape, generator=make_generator(random_state), dtype=like.dtype, device="cpu")
        return self(z.to(like.device), c, rev=True)[0]

    def extra_repr(self) -> str:
        """The sizes that the chain was made with."""
        return ", ".join(map(str, self.shapes[0]))

    def __getitem__(self, index: int) -> nn.Module:
        return self.module_list[index]

    def __len__(self) -> int:
        return len(self.module_list)
