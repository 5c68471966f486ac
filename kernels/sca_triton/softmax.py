# SPDX-License-Identifier: Apache-2.0
"""What rows of queries make of a block of keys, whichever of the two is the wide side."""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import load_rows, own_chunk, products

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def attend(
    highest, total, mixed, q, query, query_row, known, key, key_row, value, value_row, inside,
    chunk, channels, value_channels, scale,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The running maximum, sum and mixture of values, to the base 2, after one more block.

    ``known`` says which rows are queries, ``inside`` which columns are keys.
    """
    k = load_rows(key, key_row, inside, 0, channels, CHUNK)
    logits = products(
        q, query, query_row, known, k, key, key_row, inside, channels, CHUNK, CHUNKS, PRECISION
    )
    logits = tl.where(inside[None, :], logits * (scale * LOG2E), float("-inf"))
    before = highest
    highest = tl.maximum(highest, tl.max(logits, 1))
    shrink = tl.exp2(before - highest)
    weights = tl.exp2(logits - highest[:, None])
    total = total * shrink + tl.sum(weights, 1)
    if SHARED:
        v = own_chunk(k, key, key_row, inside, chunk, channels, CHUNK, CHUNKS)
    else:
        v = load_rows(value, value_row, inside, chunk, value_channels, CHUNK)
    mixed = mixed * shrink[:, None]
    mixed = tl.dot(weights.to(v.dtype), v, mixed, input_precision=PRECISION)
    return highest, total, mixed


@triton.jit
def weights_again(
    logits, row_lse, g, grad_out, grad_row, known, v, value, value_row, inside, channels, scale,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Softmax of products of rows and keys, from lse, and its gradient: (rows, keys), fp32.

    ``channels`` are those of the values.
    """
    weights = tl.exp2(logits * (scale * LOG2E) - (row_lse * LOG2E)[:, None])
    weights = tl.where(known[:, None] & inside[None, :], weights, 0.0)
    grad_weights = products(
        g, grad_out, grad_row, known, v, value, value_row, inside, channels,
        CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    return weights, grad_weights
