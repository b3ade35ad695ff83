"""Checks of the exercises in notebook 14."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def replace(answer: Callable) -> str | None:
    """`answer(module, name, stored)` puts a copy of `stored` in place of a buffer, and returns the module."""
    module = nn.Module()
    module.register_buffer("rows", torch.zeros(2, 2))
    held, stored = module.rows, torch.ones(3, 2, dtype=torch.float64)
    got = answer(module, "rows", stored)
    if not isinstance(got, nn.Module):
        return "it should return the module"
    if held.shape != (2, 2) or held.any():
        return "it changes the old tensor, which somebody else may hold: put a new one in its place"
    if not isinstance(got.rows, torch.Tensor) or got.rows.shape != (3, 2):
        return "the buffer should have the three rows that were stored"
    if got.rows.dtype != torch.float64:
        return "the buffer should keep the stored dtype, float64"
    if "rows" not in got.state_dict():
        return "`rows` is no longer in the state: it must stay a buffer"
    if got.rows.data_ptr() == stored.data_ptr():
        return "the buffer shares its memory with the checkpoint: make a copy"
    return None


def loads(answer: object) -> str | None:
    """A dictionary says which of four loads into a fresh `Bank` go through."""
    right = {"another shape": True, "another dtype": True, "a missing key": False, "an unexpected key": False}
    reasons = {
        "another shape": "shapes are what this module takes from the checkpoint",
        "another dtype": "the buffer takes the stored dtype",
        "a missing key": "a strict load still refuses a key that is missing",
        "an unexpected key": "a strict load still refuses a key that it does not know",
    }
    if not isinstance(answer, dict) or set(answer) != set(right):
        return f"it should be a dictionary with the keys {', '.join(right)}"
    if unsaid := [name for name in right if not isinstance(answer[name], bool)]:
        return f"of {unsaid[0]}: say True or False"
    wrong = [name for name in right if answer[name] is not right[name]]
    return f"of {wrong[0]}: {reasons[wrong[0]]}" if wrong else None
