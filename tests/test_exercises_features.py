"""The exercises of notebook 12: right answers, likely mistakes, untouched stubs."""

import re

import pytest
import torch

from oddlab import FeatureExtractor
from oddlab.lab import check


def side(net, layer):
    return FeatureExtractor(net, [layer])(torch.zeros(1, 3, 64, 64))[layer].shape[-1]


def channels(net, layer):
    return FeatureExtractor(net, [layer])(torch.zeros(1, 3, 64, 64))[layer].shape[1]


def hooked(keep=lambda args, output: args[0], remove=True, unpack=True):
    """An answer to `catch_input` that keeps something of what its hook is given."""

    def answer(net, layer, x):
        caught = []
        hook = lambda module, args, output: caught.append(keep(args, output))  # noqa: E731
        handle = net.get_submodule(layer).register_forward_hook(hook)
        net(x)
        if remove:
            handle.remove()
        return caught[0] if unpack else caught

    return answer


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("features.stride", lambda net, layer: 64 / side(net, layer)),
        ("features.stride", lambda net, layer: 64 // side(net, layer)),
        ("features.catch_input", hooked()),
        ("features.catch_input", lambda net, layer, x: FeatureExtractor(net, ["act"])(x)["act"]),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("features.stride", side, "32 is how many cells the map has"),
        ("features.stride", lambda net, layer: side(net, layer) / 64, "upside down"),
        ("features.stride", lambda net, layer: (64 / side(net, layer)) ** 2, "only one side"),
        ("features.stride", lambda net, layer: 64 / channels(net, layer), "number of channels"),
        ("features.stride", lambda net, layer: 224 / side(net, layer), "should be 8 pixels apart, and yours are 28"),
        ("features.catch_input", hooked(remove=False), "still on the network"),
        ("features.catch_input", hooked(unpack=False), "a list that holds the map"),
        ("features.catch_input", hooked(keep=lambda args, output: args), "a tuple that holds the map"),
        ("features.catch_input", hooked(keep=lambda args, output: output), "what comes out of the layer"),
        ("features.catch_input", hooked(keep=lambda args, output: "map"), "yours is a str"),
        ("features.catch_input", hooked(keep=lambda args, output: args[0][:1]), r"shape \(2, 4, 32, 32\), and yours"),
        ("features.catch_input", hooked(keep=lambda args, output: args[0] + 1), "the values are not"),
        ("features.catch_input", lambda net, layer, x: net(x), "the whole network returns"),
        ("features.catch_input", lambda net, layer, x: x, "into the whole network"),
    ],
)
def test_likely_mistakes_are_named(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("exercise", ["features.stride", "features.catch_input"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *args: ...).verdict == "not attempted"
