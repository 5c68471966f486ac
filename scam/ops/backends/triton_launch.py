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


Known = dict[tuple[Any, ...], tuple[Any, tuple[Any, ...]]]
"""What a launch depends on -> its compiled kernel, and its constants in the kernel's order."""
_known: Known = {}
MOST_KNOWN = 4096


def launch(kernel: Any, programs: int, *args: Any, warps: int, stages: int, **tile: Any) -> None:
    """Run ``programs`` programs of a kernel on the current stream.

    Triton takes as long to find what it compiled as to launch it. Here that is found by sizes,
    strides, dtypes and alignments, a finer key than Triton's own specialisation: what is new goes
    through Triton, what is known is launched as ``CompiledKernel`` is documented to be.
    """
    if not programs:
        return
    key = _key(kernel, warps, stages, args, tile) if _remembers() else None
    found = None if key is None else _known.get(key)
    if found is not None:
        compiled, constants = found
        compiled[programs, 1, 1](*args, *constants)
        return
    # Contraction into fused multiply-adds is Triton's default only up to 3.9.
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    compiled = kernel[(programs,)](*args, **tile, **options)
    if key is not None and compiled is not None:
        if len(_known) >= MOST_KNOWN:  # of sizes that never come back
            _known.clear()
        _known[key] = compiled, tuple(tile[name] for name in kernel.arg_names[len(args) :])


@cache
def _remembers() -> bool:
    """Not in the interpreter, nor on AMD, where Triton looks at the sizes of memory as well."""
    return not interpreted() and torch.version.hip is None and torch.cuda.is_available()


def _key(
    kernel: Any, warps: int, stages: int, args: tuple[Any, ...], tile: dict[str, Any]
) -> tuple[Any, ...]:
    """What Triton compiles for, and more."""
    key: list[Any] = [kernel.fn, torch.cuda.current_device(), warps, stages, *tile.values()]
    _add(key, args)
    return tuple(key)


def _add(key: list[Any], args: tuple[Any, ...]) -> None:
    """Of floating numbers only that they are: no kernel is compiled for their values."""
    for one in args:
        kind = type(one)
        if kind is int or one is None:
            key.append(one)
        elif kind is float:
            key.append(float)
        elif kind is not tuple:
            key.append(one.dtype)
            key.append(one.data_ptr() % 16 == 0)
        elif len(one) > 2:  # a tensor, its strides, and what rows() says
            key.append(one[0].dtype)
            key.append(one[0].data_ptr() % 16 == 0)
            key.append(one[1:])
        else:
            _add(key, one)


def rows(tensor: Tensor) -> tuple[Any, ...]:
    """A (B, H, N, C) tensor as kernels take it: with its strides and whether items are dense.

    If they are, channels are far apart, usually by a power of two. That is compiled for: one
    address then serves many loads, which takes a third of some kernels' instructions away. Other
    steps, of which there is no end, are not.
    """
    *strides, step = tensor.stride()
    dense = items_fast(tensor)
    far = dense and step >= 16 and step & (step - 1) == 0
    return tensor, *strides, _constant(step) if far else step, _constant(dense)


@cache
def _constant(value: int) -> Any:
    """One object for each value: keys of launches compare it by identity."""
    from triton.language import constexpr

    return constexpr(value)


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
