"""The all-in-one block beside its peers: forward and backward of one block, for `parts.py`, which times it.

"limit" is the forward and backward pass of the subnet alone, without which no block of any library goes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from anomalib.models.components.flow import AllInOneBlock as AnomalibBlock
from FrEIA.modules import AllInOneBlock as FreiaBlock
from torch import Tensor, nn

from oddlab import AllInOneBlock
from turns import Calls

REPEATS = 10
"""Passes in one timed call: a single dense one takes about a millisecond."""
CLASSES = {"ours": AllInOneBlock, "FrEIA": FreiaBlock, "anomalib": AnomalibBlock}


def dense(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels_in, 512), nn.ReLU(), nn.Linear(512, channels_out))


def convolutional(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, channels_out, 3, padding=1)
    )


def timed(outputs: Callable[[], dict[str, Tensor]], inputs: dict[str, Tensor]) -> Callable[[], dict[str, Tensor]]:
    """Outputs, and the gradients that fixed random ones of all outputs send back to the inputs, `REPEATS` times.

    There is no loss: it would be a pass over memory that is none of the block's, and the usual one, a sum of squares,
    has a gradient of 0 in the reflections, so that nothing could be compared.
    """
    with torch.enable_grad():
        sent = [torch.randn_like(value) for value in outputs().values()]

    def call() -> dict[str, Tensor]:
        with torch.enable_grad():
            for _ in range(REPEATS):
                values = outputs()
                gradients = torch.autograd.grad([*values.values()], [*inputs.values()], sent)
        return values | dict(zip(inputs, gradients))

    return call


def whole(block: nn.Module, x: Tensor) -> Callable[[], dict[str, Tensor]]:
    x = x.clone().requires_grad_()

    def outputs() -> dict[str, Tensor]:
        (z,), log_det = block([x])
        return {"z": z, "log_det": log_det}

    torch.manual_seed(1)  # for the gradients to be sent: the same for all
    return timed(outputs, {"x": x, **{name: p for name, p in block.named_parameters() if p.requires_grad}})


def subnet_alone(block: nn.Module, x: Tensor) -> Callable[[], dict[str, Tensor]]:
    x1 = x[:, : block.splits[0]].clone().requires_grad_()
    return timed(lambda: {"a": block.subnet(x1)}, {"x1": x1, **dict(block.subnet.named_parameters())})


def step(shape: tuple[int, ...], batch: int, device: torch.device, reflections: int = 0) -> tuple[Calls, Callable]:
    torch.manual_seed(0)
    subnet = dense if len(shape) == 1 else convolutional
    options = dict(subnet_constructor=subnet, learned_householder_permutation=reflections)
    blocks = {who: make([shape], **options).to(device) for who, make in CLASSES.items()}
    with torch.no_grad():  # neither close to the identity, nor with offsets of 0
        blocks["ours"].subnet[-1].weight *= 20
        blocks["ours"].global_offset.normal_()
    for other in blocks.values():
        other.load_state_dict(blocks["ours"].state_dict())
    x = torch.randn(batch, *shape).to(device)
    calls = {who: whole(made, x) for who, made in blocks.items()}
    calls["limit"] = subnet_alone(blocks["ours"], x)

    def check(results: dict) -> str:
        worst = 0.0
        for who in ("FrEIA", "anomalib"):
            assert results[who].keys() == results["ours"].keys()
            for name, theirs in results[who].items():
                off = ((results["ours"][name] - theirs).norm() / theirs.norm()).item()
                assert off < 1e-4, f"{name} is off by {off:.1e} from {who}'s"
                worst = max(worst, off)
        return f"outputs, log-determinants and gradients within {worst:.0e} of both peers'"

    return calls, check


def tasks(device: torch.device) -> dict[str, Callable[[], tuple[Calls, Callable]]]:
    return {
        "10 x block 256, batch 64": lambda: step((256,), 64, device),
        "10 x block 256, batch 1,024": lambda: step((256,), 1024, device),
        "10 x block 256 x 32 x 32, batch 4": lambda: step((256, 32, 32), 4, device),
        "10 x block 512, 8 reflections": lambda: step((512,), 64, device, 8),
        "10 x block 512, 32 reflections": lambda: step((512,), 64, device, 32),
    }
