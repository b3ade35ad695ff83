import copy
import io
import itertools
import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from oddlab import AllInOneBlock
from oddlab.flow.global_affine import ACTIVATIONS

OPTIONS = [
    dict(gin_block=gin, permute_soft=soft, learned_householder_permutation=k, reverse_permutation=rev)
    for gin, soft, k, rev in itertools.product((False, True), (False, True), (0, 1, 5), (False, True))
]
ENDS = {"none": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid}


def subnet(rank, end="none"):
    def make(channels_in, channels_out):
        layer = nn.Linear if rank == 1 else (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 2]
        inner, outer = ((), ()) if rank == 1 else ((3, 1, 1), (1,))
        return nn.Sequential(layer(channels_in, 6, *inner), nn.Tanh(), layer(6, channels_out, *outer), ENDS[end]())

    return make


def block(shape=(5,), conditions=(), end="none", **options):
    torch.manual_seed(0)
    dims_c = [(k, *shape[1:]) for k in conditions]
    return AllInOneBlock([shape], dims_c, subnet(len(shape), end), **options).double()


def data(made, n=3, seed=1):
    g = torch.Generator().manual_seed(seed)
    shapes = [*made.dims_in, *made.dims_c]
    x, *c = (torch.randn(n, *shape, generator=g, dtype=torch.float64) for shape in shapes)
    return x, c


def assert_exact(made, x=None, c=None):
    """Inverse and log-determinant, against autograd's, to 1e-10."""
    if x is None:
        x, c = data(made)
    (z,), log_det = made([x], c)
    (back,), minus = made([z], c, rev=True)
    assert (back - x).abs().max() < 1e-10 and (minus + log_det).abs().max() < 1e-10
    for i in range(len(x)):
        one = [condition[i : i + 1] for condition in c]
        jacobian = torch.autograd.functional.jacobian(lambda v: made([v[None]], one)[0][0].flatten(), x[i])
        expected = torch.linalg.slogdet(jacobian.reshape(x[i].numel(), -1)).logabsdet
        assert (log_det[i] - expected).abs() < 1e-10
    assert log_det.shape == (len(x),)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.integers(1, 4).flatmap(lambda rank: st.tuples(st.integers(1, 6), *[st.integers(1, 3)] * (rank - 1))),
    conditions=st.lists(st.integers(1, 3), max_size=2),
    end=st.sampled_from(list(ENDS)),
    options=st.sampled_from(OPTIONS),
    activation=st.sampled_from(ACTIVATIONS),
    init=st.floats(0.05, 9.5),
    clamp=st.floats(0.1, 4.0),
)
def test_every_combination_of_options_is_inverted_and_knows_its_determinant(
    shape, conditions, end, options, activation, init, clamp
):
    more = dict(affine_clamping=clamp, global_affine_type=activation, global_affine_init=init)
    assert_exact(block(shape, tuple(conditions), end, **options, **more))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_with_everything_unfrozen_leaves_it_exact(options):
    # In the peers the permutation is a parameter, and three steps of SGD end its being one.
    made = block((4, 2, 2), (2,), **options).requires_grad_(True)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.05)
    x, c = data(made)
    for _ in range(5):
        optimiser.zero_grad()
        (z,), log_det = made([x], c)
        (z.square().sum() - log_det.sum()).backward()
        assert all(p.grad is not None for p in made.parameters())  # a peer's GIN block leaves one without
        optimiser.step()
    assert_exact(made)


@pytest.mark.parametrize("options", OPTIONS[:: len(OPTIONS) // 8], ids=str)
def test_copies_and_checkpoints_are_the_same_function(options):
    made = block((5, 2), (1,), **options)
    x, c = data(made)
    expected = made([x], c)  # a peer cannot be copied after a forward pass with reflections
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    fresh = AllInOneBlock([(5, 2)], [(1, 2)], subnet(2), **options).double()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for other in (fresh, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        torch.testing.assert_close(other([x], c), expected, rtol=0, atol=0)
        assert_exact(other)
    assert_exact(made.float().double())
    half = made.to(torch.bfloat16)
    (z,), _ = half([x.bfloat16()], [c[0].bfloat16()])
    assert z.dtype == torch.bfloat16 and z.isfinite().all()


@pytest.mark.parametrize("options", OPTIONS[:: len(OPTIONS) // 8], ids=str)
def test_an_empty_batch_and_other_sizes_of_maps_pass(options):
    made = block((4, 3, 3), **options)
    (z,), log_det = made([torch.empty(0, 4, 3, 3, dtype=torch.float64)])
    assert z.shape == (0, 4, 3, 3) and log_det.shape == (0,)
    assert_exact(made, torch.randn(1, 4, 2, 1, dtype=torch.float64), [])


def test_arguments_are_left_alone():
    made = block((4,), (2,), "Tanh", learned_householder_permutation=2)
    x, c = data(made)
    versions = x._version, c[0]._version
    made([x], c)
    made([x], c, rev=True)
    assert (x._version, c[0]._version) == versions


def test_the_matrix_of_reflections_is_what_is_applied():
    made = block((5,), learned_householder_permutation=3, gin_block=True)
    p = made._construct_householder_permutation()
    x, _ = data(made)
    torch.testing.assert_close(made._permute(x)[0], x @ p.T)
    torch.testing.assert_close(made._permute(x, rev=True)[0], x @ p)
    torch.testing.assert_close(p @ p.T, torch.eye(5, dtype=torch.float64))
    assert block((5, 2, 2), learned_householder_permutation=3)._construct_householder_permutation().shape == (
        5,
        5,
        1,
        1,
    )


def test_a_reflection_vector_of_0_reflects_nothing():
    made = block((5,), learned_householder_permutation=2)
    with torch.no_grad():
        made.vk_householder[1] = 0
    assert_exact(made)
    x, _ = data(made)
    made([x])[0][0].sum().backward()
    assert made.vk_householder.grad.isfinite().all()


def test_a_hard_permutation_is_an_index_and_still_a_matrix_in_the_checkpoint():
    made = block((6, 2, 2))
    state = made.state_dict()
    assert state["w_perm"].shape == state["w_perm_inv"].shape == (6, 6, 1, 1)
    assert made._index[0] is not None and block((6,), permute_soft=True)._index[0] is None
    x = torch.randn(2, 6, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(made._apply_p(x), torch.einsum("ij,njhw->nihw", state["w_perm"][..., 0, 0], x))


def test_a_checkpoint_whose_permutation_was_trained_is_refused():
    # In the peers it is a parameter: a checkpoint of a run that unfroze it has no inverse.
    made = block((6,))
    state = made.state_dict()
    state["w_perm"] = state["w_perm"] + 0.1
    with pytest.raises(RuntimeError, match="w_perm: matrix: expected an orthogonal one, got one whose columns are off"):
        made.load_state_dict(state)


def test_the_global_scale_starts_where_it_is_asked_to():
    for activation in ACTIVATIONS:
        made = block((2,), global_affine_init=3.0, global_affine_type=activation)
        assert made([torch.zeros(1, 2, dtype=torch.float64)])[1].item() == pytest.approx(
            2 * torch.log(torch.tensor(3.0)).item()
            + made._affine(torch.zeros(1, 1, dtype=torch.float64), made.subnet(torch.zeros(1, 1, dtype=torch.float64)))[
                1
            ].item(),
            rel=1e-6,
        )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(dims_in=[(4,)]), "subnet_constructor: expected a function .* got None"),
        (dict(dims_in=(4,)), "dims_in: expected a list of shapes"),
        (dict(dims_in=[(0,)]), "dims_in: expected a list of shapes"),
        (dict(dims_in=[]), "dims_in: expected the shape of at least one"),
        (dict(dims_in=[(4,), (4,)]), "dims_in: expected one shape"),
        (dict(dims_in=[(4, 1, 1, 1, 1)]), "dims_in: expected one shape of 1 to 4"),
        (dict(dims_in=[(4, 2)], dims_c=[(1, 3)]), r"dims_c: expected shapes \(channels, 2\)"),
        (dict(dims_in=[(4,)], affine_clamping=0.0), "affine_clamping: expected .* got 0.0"),
        (dict(dims_in=[(4,)], learned_householder_permutation=-1), "learned_householder_permutation: .* got -1"),
        (dict(dims_in=[(4,)], global_affine_type="RELU"), "global_affine_type: expected one of SIGMOID"),
        (dict(dims_in=[(4,)], global_affine_init=0.0), "global_affine_init: expected a number above 0 .* got 0.0"),
        (dict(dims_in=[(4,)], global_affine_init=10.0, global_affine_type="SIGMOID"), "below 10 for SIGMOID"),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    if "subnet_constructor: " not in says:
        arguments = {"subnet_constructor": nn.Linear, **arguments}
    with pytest.raises(ValueError, match=says):
        AllInOneBlock(**arguments)


def test_bad_input_is_named_and_a_condition_that_nobody_asked_for_is_refused():
    made, conditional = block((4,)), block((4,), (2,))
    x = torch.randn(3, 4, dtype=torch.float64)
    for call, says in (
        (lambda: made(x), r"x: expected a list of one tensor, got a tensor of shape \(3, 4\)"),
        (lambda: made([x[:, :3]]), r"x: expected shape \(N, C\) with C = 4, got \(3, 3\)"),
        (lambda: made([x], [x]), "c: expected 0 tensors of shapes .*, got 1"),
        (lambda: conditional([x]), "c: expected 1 tensors .*, got 0"),
        (lambda: conditional([x], [x]), r"c: expected shape \(N, C\) with C = 2, got \(3, 4\)"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


class FullPrecision(nn.Linear):
    """A subnet that autocast leaves alone."""

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return super().forward(x)


@pytest.mark.parametrize("rev", [False, True])
def test_under_autocast_only_the_subnet_is_rounded(rev):
    options = dict(permute_soft=True, learned_householder_permutation=3, reverse_permutation=True)
    made = AllInOneBlock([(6,)], subnet_constructor=FullPrecision, random_state=0, **options)
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    expected = made([x], rev=rev)
    with torch.autocast("cpu", torch.bfloat16):
        (z,), log_det = made([x], rev=rev)
    assert torch.equal(z, expected[0][0]) and torch.equal(log_det, expected[1])


def test_a_block_from_the_meta_device_takes_a_checkpoint():
    with torch.device("meta"):
        empty = AllInOneBlock([(6,)], subnet_constructor=nn.Linear, permute_soft=True).to_empty(device="cpu")
    made = AllInOneBlock([(6,)], subnet_constructor=nn.Linear, permute_soft=True)
    empty.load_state_dict(made.state_dict())
    x = torch.randn(3, 6)
    assert torch.equal(empty([x])[0][0], made([x])[0][0])


def test_transforms_of_functions_pass():
    made = block((4,)).float()
    x = torch.randn(5, 4)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda one: made([one[None]])[0][0][0]))(x)
    assert torch.allclose(torch.linalg.slogdet(jacobians).logabsdet, made([x])[1], atol=1e-5)
