# SPDX-License-Identifier: Apache-2.0
"""The affine by index on the Triton kernels in ``kernels/affine_triton``."""

from typing import Any

import torch
from torch import Tensor

from scam.ops.affine_call import AffineCall
from scam.ops.backends.triton_launch import launch, rows
from scam.ops.backends.triton_plan import TileTables, add_pieces, sort_sides
from scam.ops.sorting import Side
from scam.ops.tiles import PARTIAL_BYTES, PIECES


def affine_forward(call: AffineCall) -> Tensor:
    """As :meth:`scam.ops.backends.AffineBackend.affine_forward`."""
    y = torch.empty_like(call.x)
    _apply(call, y, None, None)
    return y


def affine_backward(call: AffineCall, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    """As :meth:`scam.ops.backends.AffineBackend.affine_backward`."""
    grad_x = torch.empty_like(call.x)
    grad_mean = grad_rstd = partial = None
    if call.mean is not None:
        batch, channels, pixels = call.x.shape
        tiles = -(-pixels // _config(call, "apply")["TILE"])
        partial = call.mean.new_empty(batch, tiles, 2, channels)
    _apply(call, grad_x, grad_y, partial)
    if partial is not None and call.rstd is not None:
        of_mean, grad_rstd = partial.sum(1).unbind(1)
        grad_mean, grad_rstd = -of_mean * call.rstd, grad_rstd.contiguous()
    return grad_x, *_row_gradients(call, grad_y), grad_mean, grad_rstd


def _apply(call: AffineCall, out: Tensor, grad_y: Tensor | None, partial: Tensor | None) -> None:
    from scam.kernels.affine_triton import apply

    (batch, channels, pixels), shared = call.x.shape, _config(call, "apply")
    tiles = -(-pixels // shared["TILE"])
    launch(
        apply.apply, batch * tiles * shared["CHUNKS"], _by_image(call.x), _by_image(out),
        None if grad_y is None else _by_image(grad_y), (call.index, *call.index.stride()),
        *_tables(call), *(None if t is None else (t, *t.stride()) for t in (call.mean, call.rstd)),
        partial, call.scale.shape[0], tiles, pixels, channels, call.negative_slope, **shared,
    )  # fmt: skip


def _row_gradients(call: AffineCall, grad_y: Tensor) -> tuple[Tensor, Tensor]:
    """Of scale and shift: sums over each row's pixels, piece by piece, then over pieces."""
    from scam.kernels.affine_triton import apply

    (_, channels, pixels), shared = call.x.shape, _config(call, "rows")
    made = TileTables(sort_sides(*_sides(call)), shared["TILE"])
    parts = made.split(PIECES, PARTIAL_BYTES // (8 * channels))
    partial = call.x.new_empty((1, 2, parts.rows, channels), dtype=torch.float32)
    programs, turns = made.grid(parts.pieces, shared["CHUNKS"])
    launch(
        apply.row_gradients, programs * shared["CHUNKS"], _in_one_go(call.x),
        _in_one_go(grad_y), *_tables(call),
        *(None if t is None else rows(t[None, :, None]) for t in (call.mean, call.rstd)),
        partial, made.order, parts.pieces, parts.pieces.shape[1], programs, turns, parts.rows,
        pixels, channels, call.negative_slope, **shared,
    )  # fmt: skip
    both = call.scale.new_empty((1, 2, *call.scale.shape))
    add_pieces(partial, both, None, made, parts, shared)
    return both[0, 1].clone(), both[0, 0].clone()  # an operator's results share no memory


def _sides(call: AffineCall) -> tuple[Side, Side]:
    """All pixels in one go, and the rows of the tables, each a label of its own."""
    count = call.scale.shape[0]
    numbers = torch.arange(count + 1, dtype=torch.int32, device=call.x.device)[None]
    of_rows = numbers[:, :-1]
    return (call.index.reshape(1, -1), (None, None)), (of_rows, (of_rows, numbers))


def _config(call: AffineCall, kernel: str) -> dict[str, Any]:
    """Compile-time arguments and launch options."""
    from scam.kernels.affine_triton.configs import config

    channels = call.x.shape[1]
    chosen = config(kernel, call.x.stride(2) == 1 != call.x.stride(1), channels)
    return {
        "TILE": chosen.tile,
        "CHUNK": chosen.chunk,
        "CHUNKS": -(-channels // chosen.chunk),
        "warps": chosen.warps,
        "stages": chosen.stages,
    }


def _by_image(tensor: Tensor) -> tuple[Any, ...]:
    """(B, C, N) as kernels take (B, 1, N, C)."""
    return rows(tensor.mT[:, None])


def _in_one_go(tensor: Tensor) -> tuple[Any, ...]:
    """(B, C, N) as kernels take (1, B, N, C)."""
    return rows(tensor.mT[None])


def _tables(call: AffineCall) -> tuple[Any, ...]:
    return rows(call.scale[None, None]), rows(call.shift[None, None])
