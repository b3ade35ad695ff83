import pytest
import torch
from torch import nn

from oddlab import DynamicBufferModule


class Bank(DynamicBufferModule):
    def __init__(self, rows=None):
        super().__init__()
        self.register_buffer("rows", torch.empty(0) if rows is None else rows)
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.scale = nn.Parameter(torch.ones(3))


def test_a_plain_module_refuses_what_this_one_loads():
    class Plain(nn.Module):
        def __init__(self, rows):
            super().__init__()
            self.register_buffer("rows", rows)

    with pytest.raises(RuntimeError, match="size mismatch"):
        Plain(torch.empty(0)).load_state_dict(Plain(torch.ones(4, 2)).state_dict())
    fresh = Bank()
    fresh.load_state_dict(Bank(torch.ones(4, 2)).state_dict())
    assert torch.equal(fresh.rows, torch.ones(4, 2))


def test_whoever_holds_the_old_buffer_keeps_it():
    bank = Bank(torch.zeros(2, 2))
    held, view = bank.rows, bank.rows[0]
    bank.load_state_dict(Bank(torch.ones(5, 2)).state_dict())
    assert held.shape == (2, 2) and not held.any() and view.shape == (2,)
    assert bank.rows.shape == (5, 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_the_stored_dtype_is_kept(dtype):
    fresh = Bank(torch.empty(4, 2))
    fresh.load_state_dict(Bank(torch.ones(4, 2).to(dtype)).state_dict())
    assert fresh.rows.dtype == dtype


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("scale"),
        lambda state: state.update(extra=torch.ones(1)),
        lambda state: state.update(scale=torch.ones(4)),
    ],
    ids=["a missing key", "an unexpected key", "a parameter of another shape"],
)
def test_a_load_that_fails_changes_nothing(spoil):
    bank = Bank(torch.zeros(2, 2))
    rows, scale = bank.rows, bank.scale
    state = Bank(torch.ones(5, 2)).state_dict()
    state["scale"] = torch.full((3,), 9.0)
    spoil(state)
    with pytest.raises(RuntimeError):
        bank.load_state_dict(state)
    assert bank.rows is rows and torch.equal(rows, torch.zeros(2, 2))
    assert bank.scale is scale and torch.equal(scale, torch.ones(3))


def test_same_shape_buffers_that_a_failed_load_wrote_to_are_restored():
    bank = Bank(torch.zeros(2, 2))
    with pytest.raises(RuntimeError, match="scale"):
        bank.load_state_dict({"rows": torch.ones(2, 2)})
    assert torch.equal(bank.rows, torch.zeros(2, 2))


def test_inside_another_module_buffers_take_their_size_too():
    outer = nn.Sequential(Bank(), nn.Linear(2, 2))
    other = nn.Sequential(Bank(torch.ones(7, 2)), nn.Linear(2, 2))
    outer.load_state_dict(other.state_dict())
    assert outer[0].rows.shape == (7, 2)


def test_not_strict_loads_what_is_there():
    bank = Bank()
    bank.load_state_dict({"rows": torch.ones(3, 1)}, strict=False)
    assert bank.rows.shape == (3, 1) and torch.equal(bank.scale, torch.ones(3))


def test_buffers_outside_the_state_keep_their_size():
    bank = Bank()
    with pytest.raises(RuntimeError, match="scratch"):
        bank.load_state_dict({**Bank().state_dict(), "scratch": torch.ones(9)})
    assert bank.scratch.shape == (2,)


def test_an_object_made_in_inference_mode_loads_outside_of_it_or_stays_as_it_was():
    with torch.inference_mode():
        bank = Bank(torch.zeros(4, 2))
    bank.scale = nn.Parameter(torch.ones(3))
    rows = bank.rows
    with pytest.raises(RuntimeError, match="scale"):
        bank.load_state_dict({"rows": torch.ones(4, 2)})
    assert bank.rows is rows and not rows.any()
    bank.load_state_dict(Bank(torch.ones(4, 2)).state_dict())
    assert bank.rows.all() and not bank.rows.is_inference()
