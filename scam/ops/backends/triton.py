# SPDX-License-Identifier: Apache-2.0
"""Triton kernels in ``kernels/sca_triton``: fp32, bf16 and fp16 on a GPU.

Under ``TRITON_INTERPRET=1``, set before the first import of triton, they run on CPU tensors, for
tests. First order gradients only.
"""

import importlib.util
from typing import Any

import torch
from torch import Tensor

from scam.ops.attention_call import AttentionCall, Gradients
from scam.ops.backends.triton_affine import affine_backward as affine_backward
from scam.ops.backends.triton_affine import affine_forward as affine_forward
from scam.ops.backends.triton_launch import interpreted, items_fast, launch, rows, shared_options
from scam.ops.backends.triton_modulation import modulation_backward as modulation_backward
from scam.ops.backends.triton_modulation import modulation_forward as modulation_forward
from scam.ops.backends.triton_plan import TileTables, add_pieces, sort_sides
from scam.ops.problem import MINIMUM_CAPABILITY, Problem, capability_of, dtype_name
from scam.ops.tiles import PARTIAL_BYTES, PIECES, Pieces

name = "triton"

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def refusals(problem: Problem) -> list[str]:
    """Why the kernels cannot serve a problem, in words; [] when they can."""
    if problem.device_type != "cuda" and not (interpreted() and problem.device_type == "cpu"):
        return [f"computes on a GPU, the tensors are on {problem.device_type}"]
    reasons = []
    if importlib.util.find_spec("triton") is None:
        reasons.append("triton is not installed: pip install triton")
    if problem.dtype not in DTYPES:
        reasons.append(
            f"{dtype_name(problem.dtype)} is not supported on a GPU; use bf16, fp16 or fp32, "
            "or backend='reference'"
        )
    if problem.capability is not None and problem.capability < MINIMUM_CAPABILITY:
        major, minor = problem.capability
        reasons.append(f"needs compute capability 8.0 or higher, this GPU has {major}.{minor}")
    return reasons


def _tuned_for(device: torch.device) -> tuple[int, int]:
    """The capability whose tiles to use: 9.0 where there is no NVIDIA GPU."""
    return capability_of(device) or (9, 0)


def _pairs(call: AttentionCall) -> int:
    """Batch elements times heads."""
    return call.query.shape[0] * call.query.shape[1]


def _split(call: AttentionCall, made: TileTables, width: int) -> Pieces:
    """Pieces for partial rows of ``width`` numbers, one set for each head."""
    pairs = max(1, _pairs(call))
    pieces = -(-PIECES // (pairs if call.wide_queries else max(1, pairs // call.group)))
    return made.split(pieces, PARTIAL_BYTES // (4 * width * pairs))


def _setup(call: AttentionCall, kernel: str) -> tuple[TileTables, dict[str, Any]]:
    """Tiles, and the compile-time arguments that all kernels share."""
    from scam.kernels.sca_triton.configs import NARROW, config

    itemsize, (channels, value_channels) = call.query.element_size(), call.widths
    wide = call.query if call.wide_queries else call.key
    tuned_for = _tuned_for(wide.device)
    chosen = config(kernel, itemsize, max(call.widths), tuned_for, items_fast(wide))
    shared = shared_options(chosen, itemsize, channels) | {
        "KEYS" if call.wide_queries else "ROWS": NARROW,
        "VALUE_CHUNKS": -(-value_channels // chosen.chunk),
        "SHARED": call.value is None,
    }
    if max(shared["CHUNKS"], shared["VALUE_CHUNKS"]) > 1:
        # Loops over chunks would get stages too: more shared memory than some GPUs have.
        shared["stages"] = 1
    return TileTables(sort_sides(*call.sides), chosen.tile), shared


def forward(call: AttentionCall) -> tuple[Tensor, Tensor, Tensor]:
    """Attend; see :class:`scam.ops.backends.Backend`."""
    out, *logs = results = call.empty_results()
    (_forward_queries if call.wide_queries else _forward_keys)(call, out, tuple(logs))
    return results


def _forward_queries(call: AttentionCall, out: Tensor, logs: tuple[Tensor, ...]) -> None:
    from scam.kernels.sca_triton import queries

    made, shared = _setup(call, "queries_forward")
    rest = None
    if call.empty == "uniform" and call.key.shape[2]:
        rest = call.values.float().mean(2)
    copies = _pairs(call) * shared["VALUE_CHUNKS"]
    programs, turns = made.grid(made.tiles, copies)
    launch(
        queries.forward, copies * programs,
        rows(call.query), rows(call.key), rows(call.values), rows(out), logs, rest,
        *made.orders, made.tiles, made.tiles.shape[1], programs, turns,
        call.query.shape[1], call.group, call.query.shape[2],
        *call.widths, call.scale, call.empty_lse, **shared,
    )  # fmt: skip


def _forward_keys(call: AttentionCall, out: Tensor, logs: tuple[Tensor, ...]) -> None:
    from scam.kernels.sca_triton import keys
    from scam.kernels.sca_triton.configs import PARTS

    made, shared = _setup(call, "keys_forward")
    parts = _split(call, made, call.widths[1] + 2)
    batch, heads, positions = logs[0].shape
    partial = logs[0].new_empty(batch, heads, parts.rows, call.widths[1])
    partial_sums = tuple(logs[0].new_empty(batch, heads, parts.rows) for _ in range(2))
    copies = _pairs(call) // call.group * shared["VALUE_CHUNKS"]
    programs, turns = made.grid(parts.pieces, copies)
    launch(
        keys.forward, copies * programs,
        rows(call.query), rows(call.key), rows(call.values), rows(partial), partial_sums,
        *made.orders, parts.pieces, parts.pieces.shape[1], programs, turns, parts.rows,
        heads, call.group, *call.widths, call.scale, **shared,
    )  # fmt: skip
    rest = None
    if call.empty == "uniform":
        needed = (parts.spans[..., 2] == 0).any(1)
        rest = _sum_wide(call.values, made, shared, needed) / call.key.shape[2]
    chunks = {name: shared[name] for name in ("CHUNK", "VALUE_CHUNKS")}
    launch(
        keys.combine, _pairs(call) * positions * shared["VALUE_CHUNKS"],
        rows(partial), partial_sums, rows(out), logs, rest, parts.spans, *made.orders[2:],
        positions, parts.rows, heads, call.group, call.widths[1], call.empty_lse,
        BLOCK=PARTS, **chunks, warps=4, stages=1,
    )  # fmt: skip


def backward(
    call: AttentionCall,
    grad_out: Tensor,
    grad_lse: Tensor | None,
    out: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
) -> Gradients:
    """Return all gradients; see :class:`scam.ops.backends.Backend`."""
    grad_lse = None if grad_lse is None else grad_lse.contiguous()
    step = _backward_queries if call.wide_queries else _backward_keys
    return step(call, grad_out, grad_lse, out, (lse.contiguous(), lse_rest.contiguous()))


def _backward_queries(
    call: AttentionCall,
    grad_out: Tensor,
    grad_lse: Tensor | None,
    out: Tensor,
    logs: tuple[Tensor, Tensor],
) -> Gradients:
    from scam.kernels.sca_triton import queries

    made, shared = _setup(call, "queries_backward")
    grad_query, grad_key, grad_value = gradients = call.empty_gradients()
    channels, value_channels = call.widths
    separate = 0 if call.value is None else value_channels
    parts = _split(call, made, channels + separate)
    batch, heads, count = logs[0].shape
    partial_key = logs[0].new_empty(batch, heads, parts.rows, channels)
    partial_value = logs[0].new_empty(batch, heads, parts.rows, separate)
    copies = _pairs(call) * max(shared["CHUNKS"], shared["VALUE_CHUNKS"])
    programs, turns = made.grid(parts.pieces, copies)
    arguments = (
        rows(grad_out), grad_lse, rows(call.query), rows(call.key), rows(call.values), rows(out),
        logs, rows(grad_query), rows(partial_key), rows(partial_value),
        *made.orders, parts.pieces, parts.pieces.shape[1], programs, turns,
        heads, call.group, count, *call.widths, call.scale,
    )  # fmt: skip
    _launch_both(queries.backward, copies * programs, arguments, shared, call.most_narrow)
    rest = None
    if call.empty == "uniform":
        rest = _sum_wide(grad_out, made, shared, None)
        rest = rest.unflatten(1, (-1, call.group)).sum(2) / max(1, call.key.shape[2])
    add_pieces(partial_key, grad_key, rest if grad_value is None else None, made, parts, shared)
    if grad_value is not None:
        add_pieces(partial_value, grad_value, rest, made, parts, shared)
    return gradients


def _backward_keys(
    call: AttentionCall,
    grad_out: Tensor,
    grad_lse: Tensor | None,
    out: Tensor,
    logs: tuple[Tensor, Tensor],
) -> Gradients:
    from scam.kernels.sca_triton import keys

    made, shared = _setup(call, "keys_backward")
    grad_query, grad_key, grad_value = gradients = call.empty_gradients()
    channels = call.widths[0]
    parts = _split(call, made, channels)
    batch, heads, count = logs[0].shape
    partial = logs[0].new_empty(batch, heads, parts.rows, channels)
    rest = None
    if call.empty == "uniform":
        unmet = torch.zeros_like(made.narrow_order, dtype=torch.bool).scatter(
            1, made.narrow_order.long(), parts.spans[..., 2] == 0
        )
        rest = torch.where(unmet[:, None, :, None], grad_out.float(), 0).sum(2)
        rest = rest.unflatten(1, (-1, call.group)).sum(2) / call.key.shape[2]
    copies = _pairs(call) // call.group * max(shared["CHUNKS"], shared["VALUE_CHUNKS"])
    programs, turns = made.grid(parts.pieces, copies)
    arguments = (
        rows(grad_out), grad_lse, rows(call.query), rows(call.key), rows(call.values), rows(out),
        logs, rest, rows(grad_key), rows(grad_key if grad_value is None else grad_value),
        rows(partial), *made.orders, parts.pieces, parts.pieces.shape[1], programs, turns,
        heads, call.group, count,
        *call.widths, call.scale,
    )  # fmt: skip
    _launch_both(
        keys.backward, copies * programs, arguments, shared, call.most_narrow * call.group
    )
    add_pieces(partial, grad_query, None, made, parts, shared)
    return gradients


def _launch_both(
    kernel: Any, programs: int, arguments: tuple[Any, ...], shared: dict[str, Any], narrow: int
) -> None:
    """One launch for labels with at most NARROW rows; and one for the others, if there can be any:
    none has more than ``narrow``."""
    from scam.kernels.sca_triton.configs import NARROW

    launch(kernel, programs, *arguments, **shared, MANY=False)
    if narrow > NARROW:
        launch(kernel, programs, *arguments, **(shared | {"stages": 1}), MANY=True)


def _sum_wide(
    source: Tensor, made: TileTables, shared: dict[str, Any], needed: Tensor | None
) -> Tensor:
    """Sum source (B, H, N, C) over the items that meet nothing; or, with ``needed`` (B,), over
    all items of the batch elements it names, zeros elsewhere. Returns (B, H, C), fp32."""
    from scam.kernels.sca_triton.sums import add_tiles

    batch, heads, _, channels = source.shape
    tile_rows = made.tiles.shape[1]
    segment = max(1, -(-tile_rows // 64))
    segments = -(-tile_rows // segment)
    chunks = -(-channels // shared["CHUNK"])
    sums = source.new_empty(batch, heads, segments, channels, dtype=torch.float32)
    launch(
        add_tiles, batch * heads * segments * chunks,
        rows(source), sums, needed, *made.orders[:2], made.tiles, tile_rows,
        heads, channels, ONLY_UNMET=needed is None, TILE=made.tile, SEGMENT=segment,
        CHUNK=shared["CHUNK"], CHUNKS=chunks, warps=4, stages=1,
    )  # fmt: skip
    return sums.sum(2)
