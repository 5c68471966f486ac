# SPDX-License-Identifier: Apache-2.0
"""The one autocast rule of the op: q, k and v in autocast's dtype, statistics untouched."""

import contextlib
from typing import Any

import torch
from torch import Tensor

from scam.ops.constant import constant_when_compiled


def active_dtype(device_type: str) -> torch.dtype | None:
    """The dtype autocast asks for on this kind of device, or None when it is off."""
    if not _available(device_type):
        return None
    if not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


@constant_when_compiled  # which torch.compile of torch 2.10 cannot trace
def _available(device_type: str) -> bool:
    return torch.amp.is_autocast_available(device_type)


def cast_dtype(dtype: torch.dtype, wanted: torch.dtype | None) -> torch.dtype:
    """The dtype that tensors of ``dtype`` are computed in: like PyTorch's own ops, fp64 stays."""
    if wanted is None or not dtype.is_floating_point or dtype == torch.float64:
        return dtype
    return wanted


def to_autocast_dtype(tensor: Tensor) -> Tensor:
    """The tensor in its :func:`cast_dtype`."""
    return tensor.to(cast_dtype(tensor.dtype, active_dtype(tensor.device.type)))


def without_autocast(device_type: str) -> contextlib.AbstractContextManager[Any]:
    """A context in which autocast is off, on kinds of devices that lack it too."""
    if active_dtype(device_type) is None:
        return contextlib.nullcontext()
    return torch.autocast(device_type, enabled=False)
