"""The exercises of notebook 23: right answers, likely mistakes, untouched stubs."""

import math

import pytest
import torch
import torch.nn.functional as F

from oddlab.lab import check

CONSTANT = 0.5 * math.log(2 * math.pi)


def by_distribution(z, log_det):
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).flatten(1).sum(dim=1) + log_det
    return -log_p.mean() / z[0].numel()


def per_dimension(energy=0.5, constant=CONSTANT, log_det_counts=-1.0):
    """An answer to `loss` with other factors."""
    return lambda z, log_det: energy * z.square().mean() + constant + log_det_counts * log_det.mean() / z[0].numel()


def enlarged(energy=lambda z: 0.5 * z.square().mean(dim=1), join=lambda maps: maps.mean(dim=0), **how):
    """An answer to `heat` that makes something else of the parts."""
    how = {"mode": "bilinear", **how}
    return lambda zs, side: join(torch.stack([F.interpolate(energy(z)[:, None], size=side, **how)[:, 0] for z in zs]))


def with_a_channel(zs, side):
    return enlarged()(zs, side)[:, None]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("fastflow.loss", by_distribution),
        ("fastflow.loss", per_dimension()),
        ("fastflow.loss", lambda z, log_det: by_distribution(z, log_det).item()),
        ("fastflow.heat", enlarged()),
        ("fastflow.heat", lambda zs, side: enlarged()(zs, side).float()),
    ],
)
def test_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("fastflow.loss", per_dimension(log_det_counts=0.0), "log_det is missing"),
        ("fastflow.loss", per_dimension(log_det_counts=1.0), "the sign of log_det"),
        ("fastflow.loss", lambda z, log_det: -by_distribution(z, log_det), "put a minus before it"),
        ("fastflow.loss", per_dimension(constant=0.0), "the constant of the normal density"),
        ("fastflow.loss", per_dimension(energy=1.0), "the half before the squares"),
        ("fastflow.loss", per_dimension(log_det_counts=-24.0), "divide it by their number too"),
        ("fastflow.loss", lambda z, log_det: 24 * by_distribution(z, log_det), "divide it by the C H W dimensions"),
        ("fastflow.loss", lambda z, log_det: 120 * by_distribution(z, log_det), "over maps and dimensions"),
        ("fastflow.loss", lambda z, log_det: by_distribution(z, log_det) / math.log(2), "in bits"),
        ("fastflow.loss", lambda z, log_det: log_det, "the shape (5,)"),
        ("fastflow.loss", lambda z, log_det: 0.0, "it should be"),
        ("fastflow.heat", enlarged(lambda z: z.square().mean(dim=1)), "twice as large"),
        ("fastflow.heat", enlarged(join=lambda maps: maps.sum(dim=0)), "twice as large"),
        ("fastflow.heat", enlarged(lambda z: z.square().mean(dim=1), lambda maps: maps.sum(dim=0)), "four times"),
        ("fastflow.heat", enlarged(lambda z: 0.5 * z.square().sum(dim=1)), "add up the channels"),
        ("fastflow.heat", enlarged(lambda z: 0.5 * z.mean(dim=1).square()), "average before you square"),
        ("fastflow.heat", enlarged(lambda z: z.square().mean(dim=1).sqrt()), "that is a root"),
        ("fastflow.heat", enlarged(mode="nearest"), "in steps"),
        ("fastflow.heat", enlarged(align_corners=True), "align_corners=True"),
        ("fastflow.heat", with_a_channel, "(2, 1, 16, 16)"),
        ("fastflow.heat", lambda zs, side: zs[0].square().mean(dim=1), "(2, 8, 8)"),
        ("fastflow.heat", lambda zs, side: torch.zeros(2, side, side), "the first place"),
    ],
)
def test_a_likely_mistake_is_called_by_its_name(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong" and reason in result.reason, result


@pytest.mark.parametrize("exercise", ["fastflow.loss", "fastflow.heat"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, ...).verdict == check(exercise, lambda *_: ...).verdict == "not attempted"
