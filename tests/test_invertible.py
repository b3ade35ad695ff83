import copy
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import LogNormal, MultivariateNormal, Normal

from oddlab import AllInOneBlock, InvertibleModule, SequenceINN
from oddlab.flow.invertible import check_dims


class Linear(InvertibleModule):
    """z = A (x - b), so that a standard normal z makes x normal around b."""

    def __init__(self, dims_in, a, b):
        super().__init__(dims_in)
        self.register_buffer("a", a)
        self.b = nn.Parameter(b)

    def forward(self, x_or_z, c=None, rev=False, jac=True):
        (value,) = x_or_z
        log_det = self.a.det().abs().log().expand(len(value))
        if rev:
            return (torch.linalg.solve_triangular(self.a, value.mT, upper=False).mT + self.b,), -log_det
        return ((value - self.b) @ self.a.mT,), log_det

    def output_dims(self, input_dims):
        return input_dims


class Log(InvertibleModule):
    """z = log x."""

    def forward(self, x_or_z, c=None, rev=False, jac=True):
        (value,) = x_or_z
        if rev:
            return (value.exp(),), value.flatten(1).sum(1)
        return (value.log(),), -value.log().flatten(1).sum(1)

    def output_dims(self, input_dims):
        return input_dims


class Scale(InvertibleModule):
    """z = x exp(c), which keeps the condition that it got last."""

    def forward(self, x_or_z, c=None, rev=False, jac=True):
        self.seen = c[0]
        sign = -1 if rev else 1
        return (x_or_z[0] * (sign * c[0]).exp(),), sign * c[0].sum(1)

    def output_dims(self, input_dims):
        return input_dims


class Flatten(InvertibleModule):
    def forward(self, x_or_z, c=None, rev=False, jac=True):
        value = x_or_z[0].unflatten(1, self.dims_in[0]) if rev else x_or_z[0].flatten(1)
        return (value,), value.new_zeros(len(value))

    def output_dims(self, input_dims):
        return [(math.prod(input_dims[0]),)]


class Split(InvertibleModule):
    def forward(self, x_or_z, c=None, rev=False, jac=True):
        raise NotImplementedError

    def output_dims(self, input_dims):
        return [(1,), (1,)]


def subnet(channels_in, channels_out):
    return nn.Sequential(nn.Linear(channels_in, 16), nn.Tanh(), nn.Linear(16, channels_out))


def flow(depth=3, dims=2, dtype=torch.float64, **kwargs):
    """A chain that bends space: its subnets speak five times as loud as new ones."""
    torch.manual_seed(0)
    inn = SequenceINN(dims)
    for _ in range(depth):
        inn.append(AllInOneBlock, subnet_constructor=subnet, permute_soft=True, **kwargs)
    with torch.no_grad():
        for block in inn.module_list:
            block.subnet[-1].weight *= 5
            block.global_offset += 0.3
    return inn.to(dtype)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def log_dets_by_autograd(f, x):
    rows = [torch.autograd.functional.jacobian(lambda v: f(v[None])[0].flatten(), one) for one in x]
    return torch.stack([torch.linalg.slogdet(j.reshape(x[0].numel(), -1)).logabsdet for j in rows])


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ([(3, 8, 8)], [(3, 8, 8)]),
        ([[3, 8], (2,)], [(3, 8), (2,)]),
        (((4,),), [(4,)]),
        ([torch.Size([3, 2])], [(3, 2)]),
        ([np.array([3, 2])], [(3, 2)]),
        (iter([(5,)]), [(5,)]),
        ([], []),
        (None, []),
    ],
)
def test_dims_become_a_list_of_tuples_of_ints(dims, expected):
    checked = check_dims("dims_in", dims)
    assert checked == expected and all(type(size) is int for shape in checked for size in shape)


@pytest.mark.parametrize(
    "dims", [(3, 8), 3, [()], [(0,)], [(-1, 2)], [(2.5,)], [(True, 2)], ["ab"], "33", [(math.nan,)], [None]], ids=repr
)
def test_dims_that_are_none_are_named(dims):
    with pytest.raises(ValueError, match=r"dims_c: expected a list of shapes without the batch, .* got "):
        check_dims("dims_c", dims)
    with pytest.raises(ValueError, match="dims_in: expected a list of shapes without the batch"):
        Log(dims)


def test_the_contract_keeps_shapes_and_wants_forward_and_output_dims():
    module = Log([[3, 2]], [torch.Size([1, 2])])
    assert (module.dims_in, module.dims_c, Log([(3,)]).dims_c) == ([(3, 2)], [(1, 2)], [])
    with pytest.raises(ValueError, match="dims_in: expected the shape of at least one input, got none"):
        Log([])
    with pytest.raises(TypeError, match="abstract"):
        InvertibleModule([(3,)])
    for missing in ("forward", "output_dims"):
        methods = {name: getattr(Log, name) for name in ("forward", "output_dims") if name != missing}
        with pytest.raises(TypeError, match=missing):
            type("Half", (InvertibleModule,), methods)([(3,)])


def test_log_jacobian_only_warns():
    module = Log([(3,)])
    with pytest.warns(DeprecationWarning, match="log_jacobian is deprecated") as caught:
        assert module.log_jacobian(torch.ones(1, 3), rev=True) is None
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module([torch.ones(1, 3)])


def test_append_follows_the_shapes_and_makes_each_module_of_what_comes_before():
    inn = SequenceINN(2, 3)
    inn.append(Log)
    inn.append(Flatten)
    inn.append(AllInOneBlock, subnet_constructor=subnet, gin_block=True)
    assert inn.shapes == [(2, 3), (2, 3), (6,), (6,)] and inn.output_dims([(2, 3)]) == [(6,)]
    assert len(inn) == 3 and isinstance(inn[1], Flatten) and inn[-1].gin_block
    inn.double()
    x = draw(4, 2, 3).exp()
    z, log_det = inn(x)
    assert z.shape == (4, 6) and log_det.shape == (4,)
    back, minus = inn(z, rev=True)
    torch.testing.assert_close((back, minus), (x, -log_det), rtol=1e-12, atol=1e-12)


def test_a_chain_of_none_is_the_standard_normal():
    x = draw(5, 3)
    torch.testing.assert_close(SequenceINN(3).log_prob(x), Normal(0.0, 1.0).log_prob(x).sum(1), rtol=1e-14, atol=0)
    assert SequenceINN(3).sample(4, random_state=0).shape == (4, 3)


def test_log_prob_is_that_of_torch_distributions():
    mean, scale_tril = draw(3, seed=1), draw(3, 3, seed=2).tril(-1) + torch.diag(torch.tensor([0.5, 2.0, 1.5])).double()
    a = torch.linalg.solve_triangular(scale_tril, torch.eye(3, dtype=torch.float64), upper=False)
    inn = SequenceINN(3)
    inn.append(Linear, a=a, b=mean)
    x = 3 * draw(50, 3)
    expected = MultivariateNormal(mean, scale_tril=scale_tril).log_prob(x)
    torch.testing.assert_close(inn.log_prob(x), expected, rtol=1e-12, atol=0)

    # Log first and then Linear is log-normal: the density of x, not of log x.
    inn = SequenceINN(2)
    inn.append(Log)
    inn.append(Linear, a=torch.eye(2, dtype=torch.float64) / 0.7, b=torch.full((2,), -0.4, dtype=torch.float64))
    x = draw(50, 2).exp()
    loc, scale = torch.tensor([-0.4, 0.7], dtype=torch.float64)
    torch.testing.assert_close(inn.log_prob(x), LogNormal(loc, scale).log_prob(x).sum(1), rtol=1e-12, atol=1e-12)


def test_log_prob_of_maps_counts_every_entry():
    inn = SequenceINN(2, 3, 4)
    inn.append(Log)
    x = draw(5, 2, 3, 4).exp()
    expected = LogNormal(torch.zeros(()).double(), 1.0).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(inn.log_prob(x), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("options", [{}, {"gin_block": True, "reverse_permutation": True}], ids=["plain", "gin"])
def test_float64_is_inverted_and_knows_its_determinant_to_1e_10(options):
    inn, x = flow(depth=5, dims=3, **options), draw(6, 3)
    z, log_det = inn(x)
    back, minus = inn(z, rev=True)
    assert z.dtype == log_det.dtype == inn.log_prob(x).dtype == torch.float64
    assert (back - x).abs().max() < 1e-10 and (minus + log_det).abs().max() < 1e-10
    assert (log_det - log_dets_by_autograd(lambda v: inn(v)[0], x)).abs().max() < 1e-10
    assert (minus - log_dets_by_autograd(lambda v: inn(v, rev=True)[0], z.detach())).abs().max() < 1e-10
    assert (z - x).abs().max() > 0.3  # it does something


def grid(half=14.0, n=400):
    axis = torch.linspace(-half, half, n, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).view(-1, 2)
    return points, (axis[1] - axis[0]) ** 2


@torch.no_grad()
def test_the_density_integrates_to_1_and_samples_have_its_moments():
    inn = flow()
    points, cell = grid()
    mass = inn.log_prob(points).exp() * cell
    assert mass.sum().item() == pytest.approx(1, abs=1e-9)
    n = 100_000
    x = inn.sample(n, random_state=0)
    mean = mass @ points
    centred = points - mean
    covariance = (mass[:, None] * centred).mT @ centred
    assert ((x.mean(0) - mean).abs() < 4 * (covariance.diagonal() / n).sqrt()).all()
    fourth = mass @ centred.prod(1) ** 2, *(mass @ centred**4)
    expected = covariance[0, 1], *covariance.diagonal()
    got = torch.cov(x.mT)
    for value, right, power in zip((got[0, 1], *got.diagonal()), expected, fourth):
        assert abs(value - right) < 4 * ((power - right**2) / n).sqrt()
    assert abs(expected[0]) > 0.05  # what was compared is no standard normal
    entropy = -(mass * inn.log_prob(points)).sum()
    assert -inn.log_prob(x).mean().item() == pytest.approx(entropy.item(), abs=0.02)


def test_samples_are_what_the_seed_says_and_leave_the_global_state_alone():
    inn = flow(dtype=torch.float32)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = inn.sample(7, random_state=3)
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(inn.sample(7, random_state=generator), first)
    assert not torch.equal(inn.sample(7, random_state=generator), first)
    torch.manual_seed(9)
    unseeded = inn.sample(7)
    torch.manual_seed(9)
    assert torch.equal(inn.sample(7), unseeded)
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, inn(z, rev=True)[0]) and first.dtype == torch.float32 and not first.requires_grad
    assert flow().sample(2).dtype == torch.float64


def test_each_module_gets_the_condition_it_asked_for():
    inn = SequenceINN(2)
    inn.append(Scale, cond=1, cond_shape=(2,))
    inn.append(Log)
    inn.append(Scale, cond=0, cond_shape=(2,))
    assert inn[0].dims_c == [(2,)] and inn[1].dims_c == []
    x, c = draw(4, 2).exp(), [draw(4, 2, seed=1), draw(4, 2, seed=2)]
    z, log_det = inn(x, c)
    assert inn[0].seen is c[1] and inn[2].seen is c[0]
    torch.testing.assert_close(z, (x.log() + c[1]) * c[0].exp())
    torch.testing.assert_close(inn(z, c, rev=True), (x, -log_det))
    expected = LogNormal(-c[1], (-c[0]).exp()).log_prob(x).sum(1)
    torch.testing.assert_close(inn.log_prob(x, c), expected, rtol=1e-12, atol=1e-12)
    sampled = inn.sample(4, c, random_state=0)
    assert torch.equal(sampled, inn(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), c, rev=True)[0])


def test_a_list_of_one_is_taken_as_a_tensor_is():
    inn, x = flow(), draw(3, 2)
    torch.testing.assert_close(inn([x]), inn(x), rtol=0, atol=0)


def test_an_empty_batch_passes():
    for inn in (flow(), SequenceINN(2)):
        empty = torch.empty(0, 2, dtype=torch.float64)
        for rev in (False, True):
            value, log_det = inn(empty, rev=rev)
            assert value.shape == (0, 2) and log_det.shape == (0,)
        assert inn.log_prob(empty).shape == (0,) and inn.log_prob(empty).dtype == torch.float64


def test_arguments_are_left_alone_and_gradients_reach_them_and_all_parameters():
    inn, x = flow(), draw(3, 2).requires_grad_()
    version, before = x._version, x.detach().clone()
    inn.log_prob(x).sum().backward()
    inn(x.detach(), rev=True)
    assert x._version == version and torch.equal(x, before)
    assert x.grad.abs().min() > 0 and all(p.grad.isfinite().all() for p in inn.parameters())


def test_copies_and_checkpoints_give_the_same_density():
    inn, x = flow(), draw(5, 2)
    other = flow()
    torch.manual_seed(8)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(inn.state_dict())
    for made in (other, copy.deepcopy(inn)):
        assert torch.equal(made.log_prob(x), inn.log_prob(x))


def test_bad_input_is_named():
    inn, conditional = flow(), SequenceINN(2)
    conditional.append(Scale, cond=1, cond_shape=(2,))
    flat = SequenceINN(2, 3)
    flat.append(Flatten)
    x = torch.ones(4, 2)
    for call, says in (
        (lambda: SequenceINN(), r"^dims: expected the sizes of one shape .* got \(\)"),
        (lambda: SequenceINN(2, 0), r"^dims: expected the sizes of one shape .* got \(2, 0\)"),
        (lambda: SequenceINN([2, 3]), r"^dims: expected the sizes of one shape .* got \(\[2, 3\],\)"),
        (lambda: inn.append(Split), "module_class: expected a module with one output, got 2"),
        (lambda: inn.append(Scale, cond=0), "cond, cond_shape: expected both or none, got 0 and None"),
        (lambda: inn.append(Scale, cond_shape=(2,)), r"cond, cond_shape: expected both or none, got None and \(2,\)"),
        (lambda: inn.append(Scale, cond=-1, cond_shape=(2,)), "^cond: expected an int of at least 0, got -1"),
        (lambda: inn.append(Scale, cond="a", cond_shape=(2,)), "^cond: expected an int of at least 0, got 'a'"),
        (lambda: inn.append(Scale, cond=True, cond_shape=(2,)), "^cond: expected an int of at least 0, got True"),
        (lambda: inn(torch.ones(4, 3)), r"x_or_z: expected shape \(N, C\) with C = 2, got \(4, 3\)"),
        (lambda: inn.log_prob(torch.ones(2)), r"x_or_z: expected shape \(N, C\) with C = 2, got \(2,\)"),
        (lambda: flat(torch.ones(4, 2, 3), rev=True), r"x_or_z: expected shape \(N, C\) with C = 6, got \(4, 2, 3\)"),
        (lambda: conditional(x), "c: expected a list of 2 conditions, got 0"),
        (lambda: conditional.log_prob(x, [x]), "c: expected a list of 2 conditions, got 1"),
        (lambda: conditional(x, [x] * 3), "c: expected a list of 2 conditions, got 3"),
        (lambda: inn(x, [x]), "c: expected a list of 0 conditions, got 1"),
        (lambda: inn.sample(0), "n: expected an int of at least 1, got 0"),
        (lambda: inn.sample(2.5), "n: expected an int of at least 1, got 2.5"),
        (lambda: inn.sample(True), "n: expected an int of at least 1, got True"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="random_state: expected an int.* got 'a'"):
        inn.sample(2, random_state="a")
    assert len(inn) == 3 and len(inn.shapes) == 4 and len(inn.conditions) == 3  # a refused module leaves no trace


def test_a_chain_takes_one_input_and_sizes_are_finite():
    with pytest.raises(ValueError, match="x_or_z: expected a tensor or a list of one, got 2"):
        SequenceINN(2)([torch.zeros(3, 2), torch.zeros(3, 2)])
    with pytest.raises(ValueError, match="dims_in: expected a list of shapes"):
        check_dims("dims_in", [(float("inf"),)])
