"""A module whose buffers take the size that a checkpoint brings."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.representation import shown_arguments


class DynamicBufferModule(ABC, nn.Module):
    r"""A module that loads buffers of any size, so that a fitted state goes into a fresh object.

    A plain `nn.Module` refuses a buffer whose shape differs from its own: a memory bank of 300 rows cannot be loaded
    into an object that was made without one. Here every persistent buffer takes the shape and the dtype of the stored
    tensor, on the device where the module is:

    .. math::
        b \leftarrow \mathrm{stored}, \qquad
        \mathrm{shape}(b), \mathrm{dtype}(b) := \mathrm{shape}, \mathrm{dtype} \text{ of the stored tensor}

    What is promised beyond that:

    - the old tensor is replaced, never resized: whoever else holds it keeps what they had;
    - a tensor that was made in inference mode, which cannot be written to outside of it, is replaced too;
    - if `load_state_dict` of this module raises, its parameters and buffers are what they were before the call.
      (A load that fails further out, in a module that merely contains this one, is PyTorch's own and not undone.)

    `repr` shows the arguments, and whether the object is fitted if it has a property `is_fitted`.

    Errors: `load_state_dict` raises PyTorch's `RuntimeError` for missing and unexpected keys and for parameters of
    another shape; `get_tensor_attribute` raises `ValueError` for a name that is no tensor.

    Source: anomalib, `DynamicBufferModule`.

    Example:
        >>> class Bank(DynamicBufferModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.register_buffer("rows", torch.empty(0))
        >>> fitted = Bank()
        >>> fitted.rows = torch.ones(3, 2)
        >>> fresh = Bank()
        >>> fresh.load_state_dict(fitted.state_dict())
        <All keys matched successfully>
        >>> fresh.rows.shape
        torch.Size([3, 2])
    """

    extra_repr = shown_arguments

    def get_tensor_attribute(self, attribute_name: str) -> Tensor:
        """Return the tensor `self.<attribute_name>`.

        Raises `ValueError` if there is no such attribute or it is not a tensor.
        """
        attribute = getattr(self, attribute_name, None)
        if not isinstance(attribute, Tensor):
            tensors = sorted(name for name, _ in [*self.named_buffers(), *self.named_parameters()])
            raise ValueError(
                f"attribute_name: expected the name of a tensor of {type(self).__name__}, one of {tensors}, "
                f"got {attribute_name!r} ({type(attribute).__name__})"
            )
        return attribute

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True, assign: bool = False):
        """Load as `nn.Module.load_state_dict` does; if that raises, nothing has changed."""
        before = [
            (tensors, name, tensor, None if tensor is None else tensor.detach().clone())
            for module in self.modules()
            for tensors in (module._parameters, module._buffers)
            for name, tensor in tensors.items()
        ]
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except Exception:
            for tensors, name, tensor, values in before:
                tensors[name] = tensor
                if tensor is not None and not tensor.is_inference():  # which were replaced, and not written to
                    with torch.no_grad():
                        tensor.copy_(values)
            raise

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if name in self._non_persistent_buffers_set:
                continue
            if not isinstance(buffer, Tensor) or not isinstance(stored, Tensor):
                continue
            if stored.shape != buffer.shape or stored.dtype != buffer.dtype or buffer.is_inference():
                self._buffers[name] = torch.empty_like(stored, device=buffer.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
