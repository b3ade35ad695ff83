"""The all-in-one block: coupling, global scale and offset, and permutation, invertible as a whole."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from oddlab.checks import check_int, check_number
from oddlab.flow.coupling import affine_coupling
from oddlab.flow.global_affine import initial_value, log_scale
from oddlab.flow.householder import householder_matrix, reflect
from oddlab.flow.invertible import Dims, InvertibleModule, check_batch
from oddlab.flow.permutation import hard_permutation, orthogonalize, permutation_index, permute, soft_permutation
from oddlab.seeding import make_generator


class AllInOneBlock(InvertibleModule):
    r"""Affine coupling, global affine transformation and permutation in one block.

    .. math::
        y = P \left( \Psi(g) \odot \mathrm{Coupling}(x) + o \right), \qquad
        \mathrm{Coupling}(x) = \mathrm{concat}\left( x_1,\; x_2 \odot e^{\alpha \tanh s(x_1)} + t(x_1) \right), \qquad
        P = R\,V

    with R a fixed permutation (or rotation) and V a learned product of reflections. With `reverse_permutation` the
    coupling is applied to :math:`P^{-1} x` and not to x. Of C channels the first :math:`\lceil C / 2 \rceil` are
    :math:`x_1`. (The documents of FrEIA and anomalib have the halves the other way round, and leave out the 0.1 by
    which s and t are multiplied; this is what their code does.)

    Args:
        dims_in: a list of one shape without the batch, of 1 to 4 dimensions: [(C,)], [(C, H, W)] and so on.
        dims_c: shapes of the conditions, which the subnet gets beside :math:`x_1`; they agree with `dims_in` but for
            the channels.
        subnet_constructor: called as f(channels_in, channels_out), returns the module that predicts s and t.
        affine_clamping: :math:`\alpha`, the largest absolute log-scale.
        gin_block: whether the coupling preserves the volume (GIN) and the global scale is 1.
        global_affine_init: the initial :math:`\Psi(g)`.
        global_affine_type: :math:`\Psi`: "SIGMOID", "SOFTPLUS" or "EXP", see `global_affine.log_scale`.
        permute_soft: whether R is a rotation, and not a permutation; slow to make with more than 512 channels.
        learned_householder_permutation: how many reflections V has; 0 for none.
        reverse_permutation: whether :math:`P^{-1}` is applied first.
        random_state: decides the permutation, the first reflections and the first weights of the subnet: an int, so
        that
            one seed gives one block; a `torch.Generator`, which goes on, so that the blocks of a chain differ; or None
            for PyTorch's global random state.

    Input and conditions have the dtype of the parameters, as for PyTorch's layers. Under autocast the subnet computes
    in its lower precision and all else in full: the block is then inverted to the precision of the subnet.

    The permutation is no parameter and is never trained. `state_dict` has the keys and shapes of FrEIA 0.2 and of
    anomalib, whose checkpoints load here, and the other way round.

    Raises `ValueError` for shapes that do not agree, NaN, arguments out of range, and conditions that are missing or
    that nobody asked for; `TypeError` for what is no tensor of floating-point numbers.

    Source: Dinh et al., Real NVP (arXiv 1605.08803); Kingma and Dhariwal, Glow (arXiv 1807.03039); Sorrenson et al.,
    GIN (arXiv 2001.04872); interface, constants and order of FrEIA 0.2.

    Example:
        >>> block = AllInOneBlock([(6,)], subnet_constructor=nn.Linear, learned_householder_permutation=2)
        >>> x = torch.randn(4, 6)
        >>> (y,), log_det = block([x])
        >>> (back,), minus = block([y], rev=True)
        >>> torch.allclose(back, x, atol=1e-5), torch.allclose(minus, -log_det, atol=1e-5)
        (True, True)
    """

    def __init__(
        self,
        dims_in: Iterable[Dims],
        dims_c: Iterable[Dims] | None = None,
        subnet_constructor: Callable[[int, int], nn.Module] | None = None,
        affine_clamping: float = 2.0,
        gin_block: bool = False,
        global_affine_init: float = 1.0,
        global_affine_type: str = "SOFTPLUS",
        permute_soft: bool = False,
        learned_householder_permutation: int = 0,
        reverse_permutation: bool = False,
        *,
        random_state: int | torch.Generator | None = None,
    ) -> None:
        super().__init__(dims_in, dims_c)
        channels, *rest = self.dims_in[0]
        if len(self.dims_in) != 1 or len(rest) > 3:
            raise ValueError(f"dims_in: expected one shape of 1 to 4 dimensions without the batch, got {self.dims_in}")
        if any(list(shape[1:]) != rest for shape in self.dims_c):
            raise ValueError(f"dims_c: expected shapes (channels, {', '.join(map(str, rest))}), got {self.dims_c}")
        if not callable(subnet_constructor):
            raise ValueError(
                f"subnet_constructor: expected a function of (channels_in, channels_out), got {subnet_constructor!r}"
            )
        if permute_soft and channels > 512:
            warnings.warn(f"a soft permutation of {channels} channels takes long to make", stacklevel=2)
        self.in_channels, self.splits = channels, [channels - channels // 2, channels // 2]
        self.affine_clamping = check_number("affine_clamping", affine_clamping, above=0)
        self.learned_householder_permutation = check_int(
            "learned_householder_permutation", learned_householder_permutation, least=0
        )
        self.gin_block, self.global_affine_type = gin_block, global_affine_type
        self.permute_soft, self.reverse_permutation = permute_soft, reverse_permutation

        ones = (1, channels, *[1] * len(rest))
        start = torch.full(ones, initial_value(global_affine_init, global_affine_type))
        if gin_block:
            self.register_buffer("global_scale", start)  # for the checkpoint: a GIN block does not scale
        else:
            self.global_scale = nn.Parameter(start)
        self.global_offset = nn.Parameter(torch.zeros(ones))

        # Buffers, since a permutation that an optimiser has touched is none.
        generator = None if random_state is None else make_generator(random_state)
        r = (soft_permutation if permute_soft else hard_permutation)(channels, generator).to(start.device)
        if self.learned_householder_permutation:
            vectors = torch.randn(self.learned_householder_permutation, channels, generator=generator, device="cpu")
            self.vk_householder = nn.Parameter(0.2 * vectors.to(start.device))
            self.register_buffer("w_0", r)
        else:
            shape = (channels, channels, *[1] * len(rest))
            self.register_buffer("w_perm", r.view(shape))
            self.register_buffer("w_perm_inv", r.T.reshape(shape))
        self._prepare()

        conditions = sum(shape[0] for shape in self.dims_c)
        with torch.random.fork_rng(devices=[], enabled=generator is not None):
            if generator is not None:
                torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator, device="cpu")))
            self.subnet = subnet_constructor(self.splits[0] + conditions, 2 * self.splits[1])

    def forward(
        self, x: Sequence[Tensor], c: Sequence[Tensor] | None = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """One output (N, C, ...) as a tuple, and the log-determinants (N,), for a list of one input (N, C, ...)."""
        (value,) = self._check(x, c)
        if rev:
            value, scaling = self._permute(value, rev=True)
        elif self.reverse_permutation:
            value = self._pre_permute(value)
        x1, x2 = value.split(self.splits, dim=1)
        # Of a single channel nothing is left to predict, and no convolution has 0 outputs.
        a = self.subnet(torch.cat([x1, *c], dim=1) if c else x1) if self.splits[1] else x2
        x2, log_det = self._affine(x2, a, rev=rev)
        value = torch.cat([x1, x2], dim=1)
        if not rev:
            value, scaling = self._permute(value)
        elif self.reverse_permutation:
            value = self._pre_permute(value, rev=True)
        positions = math.prod(value.shape[2:])
        return (value,), log_det + (-positions if rev else positions) * scaling

    def output_dims(self, input_dims: list[Dims]) -> list[Dims]:
        """The same as `input_dims`."""
        return input_dims

    def _affine(self, x: Tensor, a: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        """The coupling of the active half `x` by the subnet's output `a`, and its log-determinants (N,)."""
        return affine_coupling(x, a, self.affine_clamping, self.gin_block, rev)

    def _permute(self, x: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        """Global scale and offset, then P; or their inverses. Also the log-determinant of the scale, per position."""
        if self.gin_block:
            logs = torch.zeros_like(self.global_scale)
        else:
            logs = log_scale(self.global_scale, self.global_affine_type)
        if rev:
            return (self._apply_p(x, rev=True) - self.global_offset) * torch.exp(-logs), logs.sum()
        return self._apply_p(x * torch.exp(logs) + self.global_offset), logs.sum()

    def _pre_permute(self, x: Tensor, rev: bool = False) -> Tensor:
        """The inverse of P, or P with `rev`: what comes before the coupling if `reverse_permutation`."""
        return self._apply_p(x, rev=not rev)

    def _construct_householder_permutation(self) -> Tensor:
        """P = R V as a matrix (C, C, 1, ...); the block itself never makes it."""
        return (self.w_0 @ householder_matrix(self.vk_householder)).view(-1, *self.global_scale.shape[1:])

    def _apply_p(self, x: Tensor, rev: bool = False) -> Tensor:
        if not rev and self.learned_householder_permutation:
            x = reflect(x, self.vk_householder)
        x = permute(x, self._rotation.mT if rev else self._rotation, self._index[int(rev)])
        if rev and self.learned_householder_permutation:
            x = reflect(x, self.vk_householder, rev=True)
        return x

    def _prepare(self) -> None:
        """Make what R is applied by: an index if it is a permutation, which costs no product, else the rotation."""
        r = (self.w_0 if self.learned_householder_permutation else self.w_perm).view(self.in_channels, -1)
        self._index = permutation_index(r), permutation_index(r.mT)
        self._rotation = r if self._index[0] is not None else orthogonalize(r).to(r.dtype)

    def _check(self, x: Sequence[Tensor], c: Sequence[Tensor] | None) -> Sequence[Tensor]:
        if isinstance(x, Tensor) or len(x) != 1:
            got = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"{len(x)} of them"
            raise ValueError(f"x: expected a list of one tensor, got {got}")
        for name, tensors, dims in (("x", x, self.dims_in), ("c", c or (), self.dims_c)):
            if len(tensors) != len(dims):
                raise ValueError(f"{name}: expected {len(dims)} tensors of shapes {dims}, got {len(tensors)}")
            for tensor, shape in zip(tensors, dims):
                check_batch(name, tensor, shape, n_fixed=1)  # positions may differ from dims_in, as convolutions allow
        return x

    def _apply(self, fn: Callable, recurse: bool = True) -> AllInOneBlock:
        super()._apply(fn, recurse)
        with contextlib.suppress(ValueError):  # what `to_empty` leaves is no permutation until a checkpoint is loaded
            self._prepare()
        return self

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
        try:
            self._prepare()
        except ValueError as error:
            errors.append(f"{prefix}{'w_0' if self.learned_householder_permutation else 'w_perm'}: {error}")
