# SPDX-License-Identifier: Apache-2.0
"""What rows of queries make of a block of keys, whichever of the two is the wide side.

``logs`` are two arrays: lse, and what rounding leaves of it.

Scores are rounded as they leave :func:`scores_of`, the same in forward and backward: what a
maximum or lse is subtracted from is what it was found among, to the bit. The select in it keeps
the compiler from fusing the product with that subtraction.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import load_rows, own_chunk, products


@triton.jit
def scores_of(logits, inside, scale):
    """Scores of products of rows and keys, -inf where a column holds no key."""
    return tl.where(inside[None, :], logits * scale, float("-inf"))


@triton.jit
def attend(
    highest, total, mixed, q, query, query_row, known, key, key_row, value, value_row, inside,
    chunk, channels, value_channels, scale,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The running maximum, sum and mixture of values after one more block.

    ``known`` says which rows are queries, ``inside`` which columns are keys.
    """
    k = load_rows(key, key_row, inside, 0, channels, CHUNK)
    logits = products(
        q, query, query_row, known, k, key, key_row, inside, channels, CHUNK, CHUNKS, PRECISION
    )
    scores = scores_of(logits, inside, scale)
    before = highest
    highest = tl.maximum(highest, tl.max(scores, 1))
    shrink = tl.exp(before - highest)
    weights = tl.exp(scores - highest[:, None])
    total = total * shrink + tl.sum(weights, 1)
    if SHARED:
        v = own_chunk(k, key, key_row, inside, chunk, channels, CHUNK, CHUNKS)
    else:
        v = load_rows(value, value_row, inside, chunk, value_channels, CHUNK)
    mixed = mixed * shrink[:, None]
    mixed = tl.dot(weights.to(v.dtype), v, mixed, input_precision=PRECISION)
    return highest, total, mixed


@triton.jit
def log_of_sum(highest, total):
    """lse = log(total * exp(highest)), and what rounding leaves of it: 0 where lse is -inf."""
    log = tl.log(total)
    lse = highest + log
    of_log = lse - highest
    rest = (highest - (lse - of_log)) + (log - of_log)  # Knuth's TwoSum
    return lse, tl.where(lse == float("-inf"), 0.0, rest)


@triton.jit
def load_logs(logs, at, inside):
    """lse and its rest; zeros outside."""
    return tl.load(logs[0] + at, inside, other=0.0), tl.load(logs[1] + at, inside, other=0.0)


@triton.jit
def store_logs(logs, at, lse, lse_rest, inside):
    """The way back."""
    tl.store(logs[0] + at, lse, inside)
    tl.store(logs[1] + at, lse_rest, inside)


@triton.jit
def weights_from(scores, lse, lse_rest):
    """Softmax of scores by its statistics, which have their shape; at most 1, and NaN of NaN."""
    logs = (scores - lse) - lse_rest
    return tl.exp(tl.minimum(logs, 0.0, propagate_nan=tl.PropagateNan.ALL))


@triton.jit
def parts_of(raised, total):
    """``raised / total``, at most 1 though GPUs divide approximately; NaN of NaN."""
    return tl.minimum(raised / total, 1.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def weights_again(
    logits, logs, g, grad_out, grad_row, known, v, value, value_row, inside, channels, scale,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Softmax of products of rows and keys, and its gradient: (rows, keys), fp32.

    ``logs``: (rows,) lse and its rest; None where all keys that rows see are here. ``channels``
    are those of the values.
    """
    scores = scores_of(logits, inside, scale)
    if logs is None:
        raised = tl.exp(scores - tl.max(scores, 1)[:, None])
        weights = parts_of(raised, tl.sum(raised, 1)[:, None])
    else:
        weights = weights_from(scores, logs[0][:, None], logs[1][:, None])
    weights = tl.where(known[:, None] & inside[None, :], weights, 0.0)
    grad_weights = products(
        g, grad_out, grad_row, known, v, value, value_row, inside, channels,
        CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    return weights, grad_weights
