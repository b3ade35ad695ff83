"""Checkpoints go both ways between our block and those of FrEIA 0.2 and anomalib, and mean the same function."""

import itertools

import FrEIA.framework
import FrEIA.modules
import pytest
import torch
from anomalib.models.components.flow import AllInOneBlock as AnomalibBlock
from torch import nn

from oddlab import AllInOneBlock, SequenceINN

PEERS = {"FrEIA": FrEIA.modules.AllInOneBlock, "anomalib": AnomalibBlock}
SHAPES = {"1-D": (6,), "2-D": (5, 4), "3-D": (4, 3, 2), "4-D": (3, 2, 2, 2)}
OPTIONS = [
    dict(gin_block=gin, permute_soft=soft, learned_householder_permutation=k, reverse_permutation=rev)
    for gin, soft, k, rev in itertools.product((False, True), (False, True), (0, 3), (False, True))
]


def subnet(rank):
    def make(channels_in, channels_out):
        layer = nn.Linear if rank == 1 else (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 2]
        kernel = () if rank == 1 else (1,)
        return nn.Sequential(layer(channels_in, 8, *kernel), nn.ELU(), layer(8, channels_out, *kernel))

    return make


def pair(peer, shape, conditional, activation, options):
    dims_c = [(2, *shape[1:])] if conditional else []
    arguments = dict(
        subnet_constructor=subnet(len(shape)), global_affine_type=activation, global_affine_init=1.3, **options
    )
    torch.manual_seed(0)
    return AllInOneBlock([shape], dims_c, **arguments), PEERS[peer]([shape], dims_c, **arguments)


def assert_same_function(ours, theirs, shape, conditional):
    x, c = torch.randn(7, *shape), [torch.randn(7, 2, *shape[1:])] if conditional else []
    for rev in (False, True):
        (a,), ja = ours([x], c, rev=rev)
        (b,), jb = theirs([x], c, rev=rev)
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ja, jb.expand_as(ja), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(name for name, on in o.items() if on) or "plain")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("peer", PEERS)
def test_checkpoints_go_both_ways(peer, shape, options, conditional):
    for activation in ("SIGMOID", "SOFTPLUS", "EXP"):
        ours, theirs = pair(peer, shape, conditional, activation, options)
        assert {k: v.shape for k, v in ours.state_dict().items()} == {
            k: v.shape for k, v in theirs.state_dict().items()
        }
        ours.load_state_dict(theirs.state_dict())
        assert_same_function(ours, theirs, shape, conditional)
        ours, theirs = pair(peer, shape, conditional, activation, options)
        theirs.load_state_dict(ours.state_dict())
        assert_same_function(ours, theirs, shape, conditional)


@pytest.mark.parametrize("peer", PEERS)
def test_a_soft_permutation_loads_into_a_block_made_with_a_hard_one_as_there(peer):
    ours, _ = pair(peer, (6,), False, "EXP", {})
    _, theirs = pair(peer, (6,), False, "EXP", {"permute_soft": True})
    ours.load_state_dict(theirs.state_dict())
    assert_same_function(ours, theirs, (6,), False)


def test_it_drops_into_freias_sequence_and_graph():
    torch.manual_seed(0)
    sequence = FrEIA.framework.SequenceINN(6)
    for _ in range(3):
        sequence.append(AllInOneBlock, cond=0, cond_shape=(2,), subnet_constructor=subnet(1), permute_soft=True)
    x, c = torch.randn(5, 6), [torch.randn(5, 2)]
    z, log_det = sequence(x, c)
    torch.testing.assert_close(sequence(z, c, rev=True)[0], x, rtol=1e-4, atol=1e-4)

    ours = SequenceINN(6)
    for _ in range(3):
        ours.append(AllInOneBlock, cond=0, cond_shape=(2,), subnet_constructor=subnet(1), permute_soft=True)
    ours.load_state_dict(sequence.state_dict())
    torch.testing.assert_close(ours(x, c), (z, log_det))

    start = FrEIA.framework.InputNode(4, 3, 3)
    block = FrEIA.framework.Node(start, AllInOneBlock, dict(subnet_constructor=subnet(3)))
    graph = FrEIA.framework.GraphINN([start, block, FrEIA.framework.OutputNode(block)])
    images = torch.randn(2, 4, 3, 3)
    z, log_det = graph(images)
    torch.testing.assert_close(graph(z, rev=True)[0], images, rtol=1e-4, atol=1e-4)
    assert log_det.shape == (2,)


def softplus_ended(channels_in, channels_out):
    return nn.Sequential(nn.Linear(channels_in, channels_out), nn.Tanh())


@pytest.mark.parametrize("peer", PEERS)
def test_what_goes_wrong_there_goes_right_here(peer):
    x = torch.randn(4, 6)
    ours, theirs = AllInOneBlock([(6,)], subnet_constructor=softplus_ended), PEERS[peer]([(6,)], [], softplus_ended)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        theirs([x])[1].sum().backward()
    ours([x])[1].sum().backward()
    assert ours.subnet[0].weight.grad.abs().sum() > 0

    # Unfreezing everything and training: their permutation is a parameter and ceases to be one, ours is none.
    for block in (ours, PEERS[peer]([(6,)], [], subnet(1))):
        block.requires_grad_(True)
        optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            (block([x])[0][0].square().sum() / 10).backward()
            optimiser.step()
        error = (block(block([x])[0], rev=True)[0][0] - x).abs().max()
        assert (error < 1e-4) == (block is ours)
    with pytest.raises(IndexError):
        theirs([torch.randn(0, 6)])
    assert ours([torch.randn(0, 6)])[0][0].shape == (0, 6)
