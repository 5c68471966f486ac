# SPDX-License-Identifier: Apache-2.0
"""How Triton kernels are called: tensors, launch options, precision of products."""

import importlib.util
import os
from functools import cache
from typing import Any

import torch
from torch import Tensor


def interpreted() -> bool:
    """Whether Triton's kernels run on the CPU, in its interpreter."""
    return os.environ.get("TRITON_INTERPRET", "0") in ("1", "true", "on")


def available(tensor: Tensor) -> bool:
    """Whether Triton's kernels can run on the tensor's device."""
    here = interpreted() if tensor.device.type == "cpu" else tensor.device.type == "cuda"
    return here and installed()


@cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def launch(kernel: Any, programs: int, *args: Any, warps: int, stages: int, **tile: Any) -> None:
    """Run ``programs`` programs of a kernel on the current stream."""
    if programs:
        # Contraction into fused multiply-adds is Triton's default only up to 3.9.
        options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
        kernel[(programs,)](*args, **tile, **options)


def rows(tensor: Tensor) -> tuple[Any, ...]:
    """A (B, H, N, C) tensor as kernels take it: with its strides and whether items are dense."""
    from triton.language import constexpr

    return tensor, *tensor.stride(), constexpr(items_fast(tensor))


def items_fast(tensor: Tensor) -> bool:
    """Whether neighbours in memory of a (B, H, N, C) tensor are items and not channels."""
    return tensor.stride(2) == 1 != tensor.stride(3)


def shared_options(chosen: Any, itemsize: int, channels: int) -> dict[str, Any]:
    """What all tables' entries say to kernels: options, and ``channels`` in chunks."""
    tf32 = itemsize == 4 and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return {
        "TILE": chosen.tile,
        "CHUNK": chosen.chunk,
        "CHUNKS": -(-channels // chosen.chunk),
        "PRECISION": "tf32" if tf32 else "ieee",
        "warps": chosen.warps,
        "stages": chosen.stages,
    }
