import torch

from oddlab.lab import check


def solution(module, name, stored):
    setattr(module, name, stored.clone())
    return module


def in_place(module, name, stored):
    getattr(module, name).resize_(stored.shape).copy_(stored)
    return module


def keeps_dtype(module, name, stored):
    setattr(module, name, stored.float())
    return module


def shares(module, name, stored):
    setattr(module, name, stored)
    return module


def test_replace():
    assert check("dynamic_buffer.replace", solution)
    assert check("dynamic_buffer.replace", lambda module, name, stored: ...).verdict == "not attempted"
    for wrong, reason in ((in_place, "old tensor"), (keeps_dtype, "stored dtype"), (shares, "shares its memory")):
        assert reason in str(check("dynamic_buffer.replace", wrong))
    assert "return the module" in str(check("dynamic_buffer.replace", lambda module, name, stored: torch.ones(1)))


def test_loads():
    right = {"another shape": True, "another dtype": True, "a missing key": False, "an unexpected key": False}
    assert check("dynamic_buffer.loads", right)
    for name in right:
        assert name in str(check("dynamic_buffer.loads", {**right, name: not right[name]}))
    assert check("dynamic_buffer.loads", ...).verdict == "not attempted"
    assert "say True or False" in str(check("dynamic_buffer.loads", {**right, "a missing key": ...}))
    assert "dictionary" in str(check("dynamic_buffer.loads", [True]))
