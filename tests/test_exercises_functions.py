"""Exercises that look at more than a result (hooks, buffers), and right answers that differ from the declared one."""

import numpy as np
import pytest
import torch
from torch import nn

from oddlab.lab import check

LOADS = {"another shape": True, "another dtype": True, "a missing key": False, "an unexpected key": False}


def hooked(keep=lambda args, output: args[0], remove=True, unpack=True):
    """An answer to `catch_input` that keeps something of what its hook is given."""

    def answer(net, layer, x):
        caught = []
        hook = net.get_submodule(layer).register_forward_hook(lambda module, *given: caught.append(keep(*given)))
        net(x)
        if remove:
            hook.remove()
        return caught[0] if unpack else caught

    return answer


def put(make=lambda stored: stored.clone(), place=setattr):
    """An answer to `replace` that makes something of what is stored, and puts it into the module by `place`."""

    def answer(module, name, stored):
        place(module, name, make(stored))
        return module

    return answer


def in_place(module, name, stored):
    getattr(module, name).resize_(stored.shape).copy_(stored)


def no_buffer(module, name, stored):
    delattr(module, name)
    setattr(module, name, stored)


def not_saved(module, name, stored):
    delattr(module, name)
    module.register_buffer(name, stored, persistent=False)


def whiten_by_eigenvectors(x):
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    return (x - x.mean(axis=0)) @ vectors / np.sqrt(values)


RIGHT = {
    "dynamic_buffer.loads": LOADS,
    "dynamic_buffer.replace": put(),
    "features.catch_input": hooked(),
    "gaussian.whiten": whiten_by_eigenvectors,
}
WRONG = [
    ("dynamic_buffer.replace", lambda module, name, stored: nn.Identity(), "should return the module"),
    ("dynamic_buffer.replace", put(place=in_place), "changes the old tensor"),
    ("dynamic_buffer.replace", put(place=lambda module, name, stored: delattr(module, name)), "the three rows"),
    ("dynamic_buffer.replace", put(make=lambda stored: stored[:2].clone()), "the three rows"),
    ("dynamic_buffer.replace", put(make=torch.zeros_like), "the three rows"),
    ("dynamic_buffer.replace", put(make=lambda stored: stored.float()), "stored dtype"),
    ("dynamic_buffer.replace", put(place=no_buffer), "must stay a buffer"),
    ("dynamic_buffer.replace", put(place=not_saved), "must stay a buffer"),
    ("dynamic_buffer.replace", put(make=lambda stored: nn.Parameter(stored.clone())), "must stay a buffer"),
    ("dynamic_buffer.replace", put(make=lambda stored: stored), "shares its memory"),
    *[("dynamic_buffer.loads", {**LOADS, name: not right}, f"of {name}: ") for name, right in LOADS.items()],
    ("dynamic_buffer.loads", {**LOADS, "a missing key": ...}, "say True or False"),
    ("dynamic_buffer.loads", {"a missing key": False}, "a dictionary with the keys another shape, "),
    ("features.catch_input", hooked(remove=False), "still on the network"),
    ("features.catch_input", hooked(unpack=False), "a list that holds the map"),
    ("features.catch_input", hooked(lambda args, output: args), "a tuple that holds the map"),
    ("features.catch_input", hooked(lambda args, output: output), "what comes out of the layer"),
    ("features.catch_input", hooked(lambda args, output: "map"), "yours is a str"),
    ("features.catch_input", hooked(lambda args, output: args[0][:1]), "shape (2, 4, 32, 32), and yours"),
    ("features.catch_input", hooked(lambda args, output: args[0] + 1), "the values are not"),
    ("features.catch_input", hooked(lambda args, output: args[0] * 1j), "the values are not"),
    ("features.catch_input", lambda net, layer, x: net(x), "the whole network returns"),
    ("features.catch_input", lambda net, layer, x: x, "into the whole network"),
]


@pytest.mark.parametrize("exercise", RIGHT)
def test_right(exercise):
    assert str(check(exercise, RIGHT[exercise])) == "right"


@pytest.mark.parametrize(("exercise", "answer", "reason"), WRONG)
def test_wrong(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("order", [sorted, lambda offsets: sorted(offsets, key=abs), reversed])
def test_offsets_may_come_in_any_order(order):
    def offsets(kernel_size, dilation):
        far = range(dilation + 1, dilation + kernel_size + 1)
        return list(order([-o for o in far] + list(far)))

    assert str(check("sspcab.offsets", offsets)) == "right"
