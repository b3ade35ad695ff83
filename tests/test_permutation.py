import math
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oddlab.flow.permutation import hard_permutation, orthogonalize, permutation_index, permute, soft_permutation

SHAPES = {"1-D": (7,), "2-D": (7, 5), "3-D": (7, 3, 2), "4-D": (7, 2, 3, 2)}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def off(r):
    """How far the columns of `r` are from orthonormal, in float64."""
    r = r.double()
    return (r.T @ r - torch.eye(len(r))).abs().max().item()


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_a_hard_permutation_has_one_1_in_every_row_and_column(n):
    p = hard_permutation(n)
    assert p.shape == (n, n) and set(p.unique().tolist()) <= {0.0, 1.0}
    assert (p.sum(dim=0) == 1).all() and (p.sum(dim=1) == 1).all()
    assert torch.equal(p @ p.T, torch.eye(n))


def test_all_hard_permutations_are_equally_likely():
    drawn = Counter(tuple(permutation_index(hard_permutation(4)).tolist()) for _ in range(4800))
    assert len(drawn) == math.factorial(4)
    chi_square = sum((count - 200) ** 2 / 200 for count in drawn.values())
    assert chi_square < 49.7  # 23 degrees of freedom: exceeded once in 1,000 seeds


@pytest.mark.parametrize("n", [1, 2, 3, 8, 65])
def test_a_soft_permutation_is_a_rotation(n):
    for _ in range(5):
        r = soft_permutation(n)
        assert r.shape == (n, n) and r.dtype == torch.float32
        assert off(r) < 5e-7
        assert torch.linalg.slogdet(r.double()).sign == 1


@pytest.mark.parametrize("n", [2, 3, 5])
def test_rotations_are_uniform(n):
    # The moments of the uniform distribution over SO(n): those of the entries, and those of the trace.
    r = torch.stack([soft_permutation(n) for _ in range(4000)]).double()
    within = 4.5 / len(r) ** 0.5  # deviations of 4.5 standard errors, were all variances 1
    assert r.mean(dim=0).abs().max() < within * (1 / n) ** 0.5
    assert (r.square().mean(dim=0) - 1 / n).abs().max() < within * 0.5
    assert (r.pow(4).mean(dim=0) - (3 / 8 if n == 2 else 3 / (n * (n + 2)))).abs().max() < within * 0.5
    trace = r.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert trace.mean().abs() < within * 2**0.5
    assert (trace.square().mean() - (2 if n == 2 else 1)).abs() < within * 2
    # No row or column is privileged: a fixed rotation of the frame changes no moment.
    turned = soft_permutation(n).double() @ r
    assert (turned.mean(dim=0)).abs().max() < within * (1 / n) ** 0.5


@pytest.mark.parametrize("make", [hard_permutation, soft_permutation])
def test_the_global_random_state_decides(make):
    first = make(20)
    second = make(20)
    torch.manual_seed(0)
    assert torch.equal(make(20), first) and not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_index_and_matrix_do_the_same(shape, dtype):
    p = hard_permutation(7).to(dtype)
    index, back = permutation_index(p), permutation_index(p.T)
    x = torch.randn(3, *shape).to(dtype)
    y = permute(x, p, index)
    assert torch.equal(y, x[:, index]) and torch.equal(y, permute(x, p))
    assert torch.equal(y.double(), torch.einsum("ij,nj...->ni...", p.double(), x.double()))
    assert torch.equal(permute(y, p.T, back), x) and torch.equal(index[back], torch.arange(7))
    assert permute(x[:0], p, index).shape == permute(x[:0], p).shape == (0, *shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_rotation_is_applied_to_the_channels_of_every_position(shape, dtype):
    r = soft_permutation(7)
    x = torch.randn(3, *shape).to(dtype)
    y = permute(x, r.to(dtype))
    precision = 20 * torch.finfo(dtype).eps
    assert y.dtype == dtype and y.shape == x.shape
    expected = torch.einsum("ij,nj...->ni...", r.to(dtype).double(), x.double())
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=precision)


def test_an_index_takes_no_product():
    class Operations(TorchDispatchMode):
        names: set = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    p, x = hard_permutation(7), torch.randn(3, 7, 2, 2)
    index = permutation_index(p)
    with Operations() as by_index:
        permute(x, p, index)
    assert by_index.names == {"index_select"}


def test_gradients_go_back_by_the_inverse():
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    for p in (hard_permutation(7).double(), orthogonalize(soft_permutation(7))):
        assert torch.autograd.gradcheck(lambda v, p=p: permute(v, p, permutation_index(p)), x)


@pytest.mark.parametrize(
    "matrix",
    [
        torch.zeros(3, 3),
        0.999 * torch.eye(3),
        -torch.eye(3),
        torch.eye(3)[[0, 0, 1]],  # a row twice, a column never
        torch.eye(3)[[0, 0, 1]].T,
        torch.eye(3).index_fill(0, torch.tensor([1]), float("nan")),
        torch.ones(2, 2),
    ],
    ids=["zeros", "almost", "minus", "row twice", "column twice", "NaN", "ones"],
)
def test_what_is_no_permutation_has_no_index(matrix):
    assert permutation_index(matrix) is None


def test_a_rotation_has_no_index():
    assert permutation_index(soft_permutation(5)) is None
    assert permutation_index(soft_permutation(1)).tolist() == [0]  # but of one channel: it is 1


@pytest.mark.parametrize("n", [2, 16, 200])
def test_a_rotation_stored_in_float32_becomes_exact_in_float64(n):
    r = soft_permutation(n)
    exact = orthogonalize(r)
    assert exact.dtype == torch.float64 and off(r) > 1e-9 and off(exact) < 1e-13
    assert (exact - r).abs().max() < 1e-6  # it is still the same rotation
    x = torch.randn(50, n, dtype=torch.float64)
    assert (permute(permute(x, exact), exact.T) - x).abs().max() < 1e-12


def test_one_step_squares_the_error():
    # In exact arithmetic an error e becomes 3/4 e^2 + 1/4 e^3. The columns are stretched by 1e-7 and 1e-9.
    stretch = torch.diag(torch.tensor([1 + 5e-8, 1, 1 + 5e-10], dtype=torch.float64))
    r = orthogonalize(soft_permutation(3)) @ stretch
    assert off(r) == pytest.approx(1e-7, rel=1e-3)
    assert off(orthogonalize(r)) < 2e-14
    assert torch.equal(orthogonalize(torch.eye(4)), torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [4, 64])
def test_a_rotation_rounded_to_half_precision_is_still_one(n, dtype):
    rounded = soft_permutation(n).to(dtype)
    assert off(rounded) > 1e-5
    exact = orthogonalize(rounded)
    assert off(exact) < 1e-12 and (exact - rounded.double()).abs().max() < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("matrix", "by"),
    [
        (1.1 * torch.eye(3), "0.21"),
        (torch.zeros(3, 3), "1"),
        (torch.ones(2, 2), "2"),
        (torch.full((2, 2), float("nan")), "nan"),
        (torch.full((2, 2), float("inf")), "nan|inf"),
    ],
    ids=["stretched", "zeros", "ones", "NaN", "infinity"],
)
def test_what_is_far_from_orthogonal_is_refused(matrix, by):
    says = f"^matrix: expected an orthogonal one, got one whose columns are off by ({by})$"
    with pytest.raises(ValueError, match=says):
        orthogonalize(matrix)


def test_arguments_are_left_alone():
    r, x = soft_permutation(4), torch.randn(2, 4)
    versions = r._version, x._version
    orthogonalize(r), permute(x, r), permutation_index(r), permute(x, r, torch.tensor([1, 0, 3, 2]))
    assert (r._version, x._version) == versions
