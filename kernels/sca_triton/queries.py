# SPDX-License-Identifier: Apache-2.0
"""Wide queries: many pixels read few latents.

One key per label needs nothing special: the softmax over it is 1, the kernels then gather.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import (
    VARYING,
    load_items,
    load_numbers,
    load_piece,
    load_rows,
    load_run,
    load_tile,
    minus_grad_lse,
    own_chunk,
    own_place,
    products,
    row_delta,
    row_of,
    store_rows,
)
from scam.kernels.sca_triton.softmax import (
    attend,
    load_logs,
    log_of_sum,
    store_logs,
    weights_again,
)


@triton.jit(do_not_specialize=VARYING)
def forward(
    query, key, value, out, logs, rest, order, order_stride, narrow_order, narrow_stride, tiles,
    tile_rows, programs, turns, heads, group, queries, channels, value_channels, scale, empty_lse,
    TILE: tl.constexpr, KEYS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Tiles of queries, one head, one chunk of the output's channels."""
    chunk, pair, place = own_place(programs, VALUE_CHUNKS)
    b, h = pair // heads, pair % heads
    order += b * order_stride
    narrow_order += b * narrow_stride
    tiles += b * tile_rows * 4
    logs = logs[0] + pair * queries, logs[1] + pair * queries
    if rest is not None:
        rest += (pair // group) * value_channels
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last = load_tile(tiles, row, tile_rows)
        item, inside = load_run(order, begin, end, TILE)
        if first < last:
            _attend_tile(
                query, key, value, out, logs, narrow_order, item, inside, first, last, b, h, group,
                chunk, channels, value_channels, scale,
                KEYS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION,
            )  # fmt: skip
        elif begin < end:
            _store_unmet(
                out, logs, rest, b, h, item, inside, chunk, value_channels, empty_lse, CHUNK
            )


@triton.jit
def _store_unmet(
    out, logs, rest, b, h, item, inside, chunk, channels, empty_lse, CHUNK: tl.constexpr
):
    """What queries without a key get."""
    mean = tl.zeros((CHUNK,), tl.float32)
    if rest is not None:
        mean = load_numbers(rest, chunk, channels, CHUNK)
    mean = tl.broadcast_to(mean[None, :], (item.shape[0], CHUNK))
    store_rows(out, row_of(out, b, h, item), inside, chunk, channels, mean, CHUNK)
    if chunk == 0:
        zeros = tl.zeros((item.shape[0],), tl.float32)
        store_logs(logs, item, zeros + empty_lse, zeros, inside)


@triton.jit
def _attend_tile(
    query, key, value, out, logs, narrow_order, item, inside, first, last, b, h, group,
    chunk, channels, value_channels, scale,
    KEYS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, VALUE_CHUNKS: tl.constexpr,
    SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attention of one tile to the keys of its label."""
    query_row = row_of(query, b, h, item)
    q = load_rows(query, query_row, inside, 0, channels, CHUNK)
    highest = tl.full((item.shape[0],), float("-inf"), tl.float32)
    total = tl.zeros((item.shape[0],), tl.float32)
    mixed = tl.zeros((item.shape[0], CHUNK), tl.float32)
    for block in range(first, last, KEYS):
        narrow, seen = load_run(narrow_order, block, last, KEYS)
        key_row = row_of(key, b, h // group, narrow)
        value_row = row_of(value, b, h // group, narrow)
        highest, total, mixed = attend(
            highest, total, mixed, q, query, query_row, inside, key, key_row, value, value_row,
            seen, chunk, channels, value_channels, scale, CHUNK, CHUNKS, SHARED, PRECISION,
        )  # fmt: skip
    out_row = row_of(out, b, h, item)
    store_rows(out, out_row, inside, chunk, value_channels, mixed / total[:, None], CHUNK)
    if chunk == 0:
        lse, lse_rest = log_of_sum(highest, total)
        store_logs(logs, item, lse, lse_rest, inside)


@triton.jit(do_not_specialize=VARYING)
def backward(
    grad_out, grad_lse, query, key, value, out, logs, grad_query, partial_key, partial_value,
    order, order_stride, narrow_order, narrow_stride, pieces, piece_rows, programs, turns,
    heads, group, queries, channels, value_channels, scale,
    TILE: tl.constexpr, KEYS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
    MANY: tl.constexpr,
):  # fmt: skip
    """Pieces (consecutive tiles of a label), one head, one chunk of the gradients' channels.

    Labels with up to KEYS keys take one pass over the queries, the others, left to a second
    launch with MANY, one for each block of keys and one for the gradients of the queries.
    """
    OWN_CHUNKS: tl.constexpr = CHUNKS if CHUNKS > VALUE_CHUNKS else VALUE_CHUNKS
    chunk, pair, place = own_place(programs, OWN_CHUNKS)
    b, h = pair // heads, pair % heads
    pieces += b * piece_rows * 5
    order += b * order_stride
    narrow_order += b * narrow_stride
    logs = logs[0] + pair * queries, logs[1] + pair * queries
    if grad_lse is not None:
        grad_lse += pair * queries
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last, partial = load_piece(pieces, row, piece_rows)
        partial -= first
        if MANY:
            if last - first > KEYS:
                for block in range(first, last, KEYS):
                    _sweep_queries(
                        grad_out, grad_lse, query, key, value, out, logs, grad_query, partial_key,
                        partial_value, order, narrow_order, begin, end, block, last, partial, b, h,
                        group, chunk, channels, value_channels, scale,
                        TILE, KEYS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION, False,
                    )  # fmt: skip
                for start in range(begin, end, TILE):
                    _query_tile(
                        grad_out, grad_lse, query, key, value, out, logs, grad_query, order,
                        narrow_order, start, end, first, last, b, h, group, chunk, channels,
                        value_channels, scale,
                        TILE, KEYS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION,
                    )  # fmt: skip
        elif first == last:
            for start in range(begin, end, TILE):
                item, inside = load_run(order, start, end, TILE)
                grad_row = row_of(grad_query, b, h, item)
                zeros = tl.zeros((TILE, CHUNK), tl.float32)
                store_rows(grad_query, grad_row, inside, chunk, channels, zeros, CHUNK)
        elif last - first <= KEYS:
            _sweep_queries(
                grad_out, grad_lse, query, key, value, out, logs, grad_query, partial_key,
                partial_value, order, narrow_order, begin, end, first, last, partial, b, h, group,
                chunk, channels, value_channels, scale,
                TILE, KEYS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION, True,
            )  # fmt: skip


@triton.jit
def _sweep_queries(
    grad_out, grad_lse, query, key, value, out, logs, grad_query, partial_key, partial_value,
    order, narrow_order, begin, end, block, last, partial, b, h, group,
    chunk, channels, value_channels, scale,
    TILE: tl.constexpr, KEYS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
    ALL_KEYS: tl.constexpr,
):  # fmt: skip
    """Key and value gradients of a block of keys; with ALL_KEYS in it, query gradients too."""
    position = block + tl.arange(0, KEYS)
    seen = position < last
    narrow = load_items(narrow_order, position, seen)
    key_row, value_row = row_of(key, b, h // group, narrow), row_of(value, b, h // group, narrow)
    k = load_rows(key, key_row, seen, 0, channels, CHUNK)
    v = k if SHARED else load_rows(value, value_row, seen, 0, value_channels, CHUNK)
    k_own = own_chunk(k, key, key_row, seen, chunk, channels, CHUNK, CHUNKS)
    grad_k = tl.zeros((KEYS, CHUNK), tl.float32)
    grad_v = tl.zeros((KEYS, CHUNK), tl.float32)
    for start in range(begin, end, TILE):
        item, inside = load_run(order, start, end, TILE)
        query_row, grad_row = row_of(query, b, h, item), row_of(grad_out, b, h, item)
        q = load_rows(query, query_row, inside, 0, channels, CHUNK)
        g = load_rows(grad_out, grad_row, inside, 0, value_channels, CHUNK)
        logits = products(
            q, query, query_row, inside, k, key, key_row, seen, channels, CHUNK, CHUNKS, PRECISION
        )
        row_logs = None if ALL_KEYS else load_logs(logs, item, inside)
        weights, grad_weights = weights_again(
            logits, row_logs, g, grad_out, grad_row, inside, v, value, value_row, seen,
            value_channels, scale, CHUNK, VALUE_CHUNKS, PRECISION,
        )  # fmt: skip
        if ALL_KEYS:
            delta = tl.sum(weights * grad_weights, 1) + minus_grad_lse(grad_lse, item, inside)
        else:
            delta = row_delta(
                out, row_of(out, b, h, item), g, grad_out, grad_row, inside, grad_lse, item,
                value_channels, CHUNK, VALUE_CHUNKS, PRECISION,
            )  # fmt: skip
        grad_logits = (weights * (grad_weights - delta[:, None])).to(q.dtype)
        q_own = own_chunk(q, query, query_row, inside, chunk, channels, CHUNK, CHUNKS)
        g_own = own_chunk(
            g, grad_out, grad_row, inside, chunk, value_channels, CHUNK, VALUE_CHUNKS
        )
        if ALL_KEYS:
            grad_q = tl.dot(grad_logits, k_own, input_precision=PRECISION) * scale
            grad_query_row = row_of(grad_query, b, h, item)
            store_rows(grad_query, grad_query_row, inside, chunk, channels, grad_q, CHUNK)
        grad_k = tl.dot(tl.trans(grad_logits), q_own, grad_k, input_precision=PRECISION)
        weights = tl.trans(weights.to(g.dtype))
        grad_v = tl.dot(weights, g_own, grad_v, input_precision=PRECISION)
    grad_k *= scale
    if SHARED:
        grad_k += grad_v
    else:
        row = row_of(partial_value, b, h, partial + position)
        store_rows(partial_value, row, seen, chunk, value_channels, grad_v, CHUNK)
    row = row_of(partial_key, b, h, partial + position)
    store_rows(partial_key, row, seen, chunk, channels, grad_k, CHUNK)


@triton.jit
def _query_tile(
    grad_out, grad_lse, query, key, value, out, logs, grad_query, order, narrow_order,
    start, end, first, last, b, h, group, chunk, channels, value_channels, scale,
    TILE: tl.constexpr, KEYS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Query gradients of one tile, any number of keys."""
    item, inside = load_run(order, start, end, TILE)
    query_row, grad_row = row_of(query, b, h, item), row_of(grad_out, b, h, item)
    q = load_rows(query, query_row, inside, 0, channels, CHUNK)
    g = load_rows(grad_out, grad_row, inside, 0, value_channels, CHUNK)
    row_logs = load_logs(logs, item, inside)
    delta = row_delta(
        out, row_of(out, b, h, item), g, grad_out, grad_row, inside, grad_lse, item,
        value_channels, CHUNK, VALUE_CHUNKS, PRECISION,
    )  # fmt: skip
    grad_q = tl.zeros((TILE, CHUNK), tl.float32)
    for block in range(first, last, KEYS):
        narrow, seen = load_run(narrow_order, block, last, KEYS)
        key_row = row_of(key, b, h // group, narrow)
        value_row = row_of(value, b, h // group, narrow)
        k = load_rows(key, key_row, seen, 0, channels, CHUNK)
        v = k if SHARED else load_rows(value, value_row, seen, 0, value_channels, CHUNK)
        logits = products(
            q, query, query_row, inside, k, key, key_row, seen, channels, CHUNK, CHUNKS, PRECISION
        )
        weights, grad_weights = weights_again(
            logits, row_logs, g, grad_out, grad_row, inside, v, value, value_row, seen,
            value_channels, scale, CHUNK, VALUE_CHUNKS, PRECISION,
        )  # fmt: skip
        grad_logits = (weights * (grad_weights - delta[:, None])).to(q.dtype)
        k_own = own_chunk(k, key, key_row, seen, chunk, channels, CHUNK, CHUNKS)
        grad_q = tl.dot(grad_logits, k_own, grad_q, input_precision=PRECISION)
    grad_query_row = row_of(grad_query, b, h, item)
    store_rows(grad_query, grad_query_row, inside, chunk, channels, grad_q * scale, CHUNK)
