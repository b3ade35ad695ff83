import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oddlab.flow.householder import compact_wy, householder_matrix, reflect

SHAPES = {"1-D": (6,), "2-D": (6, 5), "3-D": (6, 3, 2), "4-D": (6, 2, 3, 2)}
COUNTS = [1, 2, 3, 5, 6, 7, 20]  # of reflections, up to more than there are channels
PARALLEL = torch.tensor([[1.0, 2.0, 0.0], [-2.0, -4.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)


def vectors(k, channels=6, seed=0):
    return torch.randn(k, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def product(v):
    """H_1 H_2 ... H_k, one matrix after the other."""
    q = torch.eye(v.shape[1], dtype=v.dtype)
    for one in v:
        if one.any():
            q = q @ (torch.eye(len(one), dtype=v.dtype) - 2 * torch.outer(one, one) / (one @ one))
    return q


def apply(q, x):
    return torch.einsum("ij,nj...->ni...", q, x)


@pytest.mark.parametrize("k", COUNTS)
def test_it_is_the_product_of_the_matrices(k):
    v = vectors(k)
    u, t = compact_wy(v)
    assert u.shape == (k, 6) and t.shape == (k, k)
    q = product(v)
    assert (torch.eye(6, dtype=v.dtype) - u.T @ t @ u - q).abs().max() < 1e-12
    assert (householder_matrix(v) - q).abs().max() < 1e-12
    assert (reflect(data(4, 6), v) - data(4, 6) @ q.T).abs().max() < 1e-12


@pytest.mark.parametrize("k", COUNTS)
def test_the_factors_are_what_they_are_said_to_be(k):
    v = vectors(k)
    u, t = compact_wy(v)
    assert (u.norm(dim=1) - 1).abs().max() < 1e-14 and torch.equal(t, t.triu())
    inverse = torch.triu(u @ u.T, diagonal=1) + torch.eye(k, dtype=v.dtype) / 2
    assert (t @ inverse - torch.eye(k, dtype=v.dtype)).abs().max() < 1e-11


@pytest.mark.parametrize("k", COUNTS)
def test_the_product_is_orthogonal_and_its_determinant_is_minus_1_to_the_k(k):
    q = householder_matrix(vectors(k))
    assert (q.T @ q - torch.eye(6)).abs().max() < 1e-13
    assert torch.linalg.det(q).item() == pytest.approx((-1) ** k)


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_channels_of_every_position_are_reflected_and_reflected_back(shape, k):
    v, x = vectors(k), data(3, *shape)
    y = reflect(x, v)
    assert y.shape == x.shape and (y - apply(product(v), x)).abs().max() < 1e-12
    assert (reflect(x, v, rev=True) - apply(product(v).T, x)).abs().max() < 1e-12
    assert (reflect(y, v, rev=True) - x).abs().max() < 1e-12
    assert reflect(x[:0], v).shape == (0, *shape) == reflect(x[:0], v, rev=True).shape


def test_one_reflection_is_a_mirror():
    # The vector itself turns round, what is at right angles to it stays, and its length does not matter.
    v = vectors(1)
    across = data(1, 6) - (data(1, 6) @ v.T) / (v @ v.T) * v
    torch.testing.assert_close(reflect(v, v), -v)
    torch.testing.assert_close(reflect(across, v), across)
    torch.testing.assert_close(reflect(data(3, 6), -7 * v), reflect(data(3, 6), v))


def test_a_vector_of_0_reflects_nothing():
    # In the peers it is divided by its length of 0, and everything is NaN.
    v = vectors(3)
    with_zero = torch.stack([v[0], torch.zeros(6, dtype=v.dtype), v[1], v[2]]).requires_grad_()
    x = data(4, 6)
    torch.testing.assert_close(reflect(x, with_zero), reflect(x, v))
    torch.testing.assert_close(reflect(x, with_zero, rev=True), reflect(x, v, rev=True))
    torch.testing.assert_close(reflect(x, torch.zeros(2, 6, dtype=v.dtype)), x)
    reflect(x, with_zero).pow(3).sum().backward()
    assert with_zero.grad.isfinite().all() and with_zero.grad[0].abs().max() > 0


def test_parallel_vectors_undo_each_other():
    x = data(4, 3)
    torch.testing.assert_close(reflect(x, PARALLEL), apply(product(PARALLEL), x))
    torch.testing.assert_close(reflect(x, PARALLEL[:2]), x)


@pytest.mark.parametrize("k", COUNTS)
@pytest.mark.parametrize("rev", [False, True])
def test_gradients_are_those_through_the_explicit_product(k, rev):
    def gradients(function):
        v, x = vectors(k).requires_grad_(), data(3, 6, 4).requires_grad_()
        (function(x, v) * data(3, 6, 4, seed=2)).sum().backward()
        return v.grad, x.grad

    ours = gradients(lambda x, v: reflect(x, v, rev))
    explicit = gradients(lambda x, v: apply(product(v).T if rev else product(v), x))
    for got, expected in zip(ours, explicit):
        assert (got - expected).abs().max() < 1e-11


def test_training_along_the_gradient_keeps_it_orthogonal():
    # A free matrix on the same task does not stay so.
    v, free = (start.float().requires_grad_() for start in (vectors(4), product(vectors(4))))
    x, target = data(20, 6).float(), data(20, 6, seed=3).float()
    optimiser = torch.optim.SGD([v, free], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        ((reflect(x, v) - target).square().mean() + (x @ free.T - target).square().mean()).backward()
        optimiser.step()
    off = [(q.detach().T @ q.detach() - torch.eye(6)).abs().max().item() for q in (householder_matrix(v), free)]
    assert off[0] < 2e-6 and off[1] > 0.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_precision_is_kept_and_is_right_to_its_digits(shape, dtype):
    v, x = vectors(5).to(dtype), data(3, *shape).to(dtype)
    y = reflect(x, v)
    assert y.dtype == dtype
    expected = apply(product(v.double()), x.double())
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=30 * torch.finfo(dtype).eps)
    assert {t.dtype for t in compact_wy(v)} == {householder_matrix(v).dtype} == {dtype}


class Sizes(TorchDispatchMode):
    """Notes the elements of every tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple) else [result]
        self.made += [t.untyped_storage().nbytes() // t.element_size() for t in tensors]
        return result


@pytest.mark.parametrize("shape", [(3, 400), (3, 400, 2, 2)])
def test_no_matrix_of_all_channels_is_made(shape):
    channels, k = 400, 8
    x, v = data(*shape).requires_grad_(), vectors(k, channels).requires_grad_()
    with Sizes() as sizes:
        reflect(x, v).sum().backward()
        reflect(x, v, rev=True)
    assert k * channels in sizes.made  # it does look: U is among them
    assert max(sizes.made) <= max(k * channels, x.numel()) < channels**2 / 10


def test_arguments_are_left_alone():
    x, v = data(3, 6), vectors(4)
    versions = x._version, v._version
    reflect(x, v), householder_matrix(v), compact_wy(v)
    assert (x._version, v._version) == versions
