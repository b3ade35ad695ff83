"""Exercises of the lesson about buffers that take any shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from oddlab.lab.exercises.exercise import checker


@checker
def replace(answer: Any) -> str | None:
    """`replace(module, name, stored)` puts a copy of `stored` in place of a buffer, and returns the module."""
    if not callable(answer):
        return f"it should be a function, and yours is of type {type(answer).__name__}"
    module = nn.Module()
    module.register_buffer("rows", torch.zeros(2, 2))
    held, stored = module.rows, torch.ones(3, 2, dtype=torch.float64)
    if answer(module, "rows", stored) is not module:
        return "it should return the module"
    rows = getattr(module, "rows", None)
    if held.shape != (2, 2) or held.any():
        return "it changes the old tensor, which somebody else may hold: put a new one in its place"
    if not isinstance(rows, torch.Tensor) or rows.shape != (3, 2) or not (rows == 1).all():
        return "the buffer should have the three rows that were stored"
    if rows.dtype != torch.float64:
        return "the buffer should keep the stored dtype, float64"
    if "rows" not in dict(module.named_buffers()) or "rows" not in module.state_dict():
        return "`rows` is no longer in the state: it must stay a buffer"
    if rows.data_ptr() == stored.data_ptr():
        return "the buffer shares its memory with the checkpoint: make a copy"
    return None


LOADS = {
    "another shape": (True, "shapes are what this module takes from the checkpoint"),
    "another dtype": (True, "the buffer takes the stored dtype"),
    "a missing key": (False, "a strict load still refuses a key that is missing"),
    "an unexpected key": (False, "a strict load still refuses a key that it does not know"),
}


@checker
def loads(answer: Any) -> str | None:
    """A dictionary says which of four loads into a fresh `Memory` go through."""
    if not isinstance(answer, dict) or set(answer) != set(LOADS):
        return f"it should be a dictionary with the keys {', '.join(LOADS)}"
    for name, (right, reason) in LOADS.items():
        if not isinstance(answer[name], bool):
            return f"of {name}: say True or False"
        if answer[name] is not right:
            return f"of {name}: {reason}"
    return None
