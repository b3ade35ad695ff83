import pytest
import torch

from oddlab.lab import check


def reconstruction_error(phi, V, mu):
    return (phi - mu - (phi - mu) @ V.T @ V).square().sum(dim=1)


def inside(phi, V, mu):
    return ((phi - mu) @ V.T).square().sum(dim=1)


def densities(z, variance):
    return torch.exp(-0.5 * z**2 / variance) / (2 * torch.pi * variance).sqrt()


def neg_log_likelihood(z, variance):
    return -densities(z, variance).log().sum(dim=1)


def pythagoras(phi, V, mu):
    return (phi - mu).square().sum(dim=1) - inside(phi, V, mu)


@pytest.mark.parametrize("answer", [reconstruction_error, pythagoras, lambda *args: pythagoras(*args).float().numpy()])
def test_what_the_components_do_not_rebuild_is_right(answer):
    assert str(check("dfkde.reconstruction_error", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda phi, V, mu: (phi - (phi - mu) @ V.T @ V).square().sum(dim=1), "not added back"),
        (lambda phi, V, mu: (phi - phi @ V.T @ V).square().sum(dim=1), "never taken off"),
        (lambda *args: reconstruction_error(*args).sqrt(), "the error is squared"),
        (lambda *args: reconstruction_error(*args) / 6, "mean over the D features"),
        (lambda phi, V, mu: (phi - mu - (phi - mu) @ V.T @ V).sum(dim=1), "without a square"),
        (inside, "inside the components"),
        (lambda phi, V, mu: (phi - mu).square().sum(dim=1), "all the distance from the mean"),
        (lambda *args: reconstruction_error(*args).sum(), "yours have shape ()"),
        (lambda *args: reconstruction_error(*args) + 1, "the first should be"),
    ],
)
def test_wrong_errors_are_told_why(answer, reason):
    result = check("dfkde.reconstruction_error", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize(
    "answer",
    [
        neg_log_likelihood,
        lambda z, v: neg_log_likelihood(z, v).float().numpy(),
        lambda z, v: -torch.distributions.Normal(0, v.sqrt()).log_prob(z).sum(dim=1),
    ],
)
def test_the_negative_log_likelihood_is_right(answer):
    assert str(check("dfkde.neg_log_likelihood", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda z, v: -densities(z, v).prod(dim=1).log(), "with k = 600 yours is inf: add up logs"),
        (lambda z, v: -neg_log_likelihood(z, v), "the sign"),
        (lambda z, v: 2 * neg_log_likelihood(z, v), "the half is missing"),
        (lambda z, v: 0.5 * (z**2 / v).sum(dim=1), "log(2 pi variance) is missing"),
        (lambda z, v: 0.5 * (z**2 / v + v.log()).sum(dim=1), "the 2 pi is missing"),
        (lambda z, v: (0.5 * z**2 / v + torch.log(2 * torch.pi * v)).sum(dim=1), "both terms"),
        (lambda z, v: neg_log_likelihood(z, v) + 0.5 * (z**2 / v**2 - z**2 / v).sum(dim=1), "square of z that"),
        (lambda z, v: neg_log_likelihood(z, v)[:, None], "yours have shape (4, 1)"),
        (lambda z, v: neg_log_likelihood(z, v) + 1, "with k = 3 the first should be"),
    ],
)
def test_wrong_likelihoods_are_told_why(answer, reason):
    result = check("dfkde.neg_log_likelihood", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["dfkde.reconstruction_error", "dfkde.neg_log_likelihood"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
