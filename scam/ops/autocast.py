# SPDX-License-Identifier: Apache-2.0
"""The one autocast rule of the op: q, k and v in autocast's dtype, statistics untouched."""

import torch
from torch import Tensor


def active_dtype(device_type: str) -> torch.dtype | None:
    """The dtype autocast asks for on this kind of device, or None when it is off."""
    if not torch.amp.is_autocast_available(device_type):
        return None
    if not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


def cast_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype a tensor is computed in: like PyTorch's own ops, fp64 is left alone."""
    wanted = active_dtype(tensor.device.type)
    if wanted is None or not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor.dtype
    return wanted


def cast(tensor: Tensor) -> Tensor:
    """The tensor in its :func:`cast_dtype`."""
    return tensor.to(cast_dtype(tensor))
