# SPDX-License-Identifier: Apache-2.0
"""Wide keys: few latents read many pixels.

A narrow row is a query and a head; the rows of all heads that share a kv head read a tile of keys
together. Row r of a label with n queries stands for head r // n of the group and query r % n.
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
    query, key, value, partial_out, partial_sums, order, order_stride, narrow_order, narrow_stride,
    pieces, piece_rows, programs, turns, partial_rows, heads, group, channels, value_channels,
    scale,
    TILE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attention of labels' rows to pieces of their keys: sums of exp(score - maximum) times
    values, and in ``partial_sums`` the maxima and the sums without values."""
    chunk, pair, place = own_place(programs, VALUE_CHUNKS)
    key_heads = heads // group
    b, kv = pair // key_heads, pair % key_heads
    pieces += b * piece_rows * 5
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last, partial = load_piece(pieces, row, piece_rows)
        partial -= first
        count = last - first
        for block in range(0, count * group, ROWS):
            known = block + tl.arange(0, ROWS) < count * group
            head = kv * group + (block + tl.arange(0, ROWS)) // count
            position = first + (block + tl.arange(0, ROWS)) % count
            narrow = load_items(narrow_order + b * narrow_stride, position, known)
            query_row = row_of(query, b, head, narrow)
            q = load_rows(query, query_row, known, 0, channels, CHUNK)
            highest = tl.full((ROWS,), float("-inf"), tl.float32)
            total = tl.zeros((ROWS,), tl.float32)
            mixed = tl.zeros((ROWS, CHUNK), tl.float32)
            for start in range(begin, end, TILE):
                item, inside = load_run(order + b * order_stride, start, end, TILE)
                key_row, value_row = row_of(key, b, kv, item), row_of(value, b, kv, item)
                highest, total, mixed = attend(
                    highest, total, mixed, q, query, query_row, known, key, key_row, value,
                    value_row, inside, chunk, channels, value_channels, scale,
                    CHUNK, CHUNKS, SHARED, PRECISION,
                )  # fmt: skip
            row_out = row_of(partial_out, b, head, partial + position)
            store_rows(partial_out, row_out, known, chunk, value_channels, mixed, CHUNK)
            if chunk == 0:
                at = (b * heads + head) * partial_rows + partial + position
                tl.store(partial_sums[0] + at, highest, known)
                tl.store(partial_sums[1] + at, total, known)


@triton.jit(do_not_specialize=VARYING)
def combine(
    partial_out, partial_sums, out, logs, rest, spans, narrow_order, narrow_stride,
    positions, partial_rows, heads, group, value_channels, empty_lse,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, VALUE_CHUNKS: tl.constexpr,
):  # fmt: skip
    """Put the pieces of one narrow row together, BLOCK at a time, in order."""
    chunk, pair, position = own_place(positions, VALUE_CHUNKS)
    b, h = pair // heads, pair % heads
    span = spans + (b * positions + position) * 3
    start, step, count = tl.load(span), tl.load(span + 1), tl.load(span + 2)
    item = tl.load(narrow_order + b * narrow_stride + position).to(tl.int64)
    one = tl.arange(0, 1)
    out_row = row_of(out, b, h, item + one)
    if count == 0:
        mean = tl.zeros((CHUNK,), tl.float32)
        if rest is not None:
            of_head = rest + (pair // group) * value_channels
            mean = load_numbers(of_head, chunk, value_channels, CHUNK)
        store_rows(out, out_row, one == 0, chunk, value_channels, mean[None, :], CHUNK)
        if chunk == 0:
            store_logs(logs, pair * positions + item, empty_lse, 0.0, None)
        return
    highest = tl.full((), float("-inf"), tl.float32)
    for block in range(0, count, BLOCK):
        part = block + tl.arange(0, BLOCK)
        row = pair * partial_rows + start + part * step
        tops = tl.load(partial_sums[0] + row, mask=part < count, other=float("-inf"))
        highest = tl.maximum(highest, tl.max(tops, 0))
    total = tl.zeros((), tl.float32)
    mixed = tl.zeros((CHUNK,), tl.float32)
    for block in range(0, count, BLOCK):
        part = block + tl.arange(0, BLOCK)
        row = pair * partial_rows + start + part * step
        tops = tl.load(partial_sums[0] + row, mask=part < count, other=float("-inf"))
        sums = tl.load(partial_sums[1] + row, mask=part < count, other=0.0)
        weights = tl.exp(tops - highest)
        row = row_of(partial_out, b, h, start + part * step)
        rows = load_rows(partial_out, row, part < count, chunk, value_channels, CHUNK)
        total += tl.sum(weights * sums, 0)
        mixed += tl.sum(weights[:, None] * rows, 0)
    mixed = mixed[None, :] / total
    store_rows(out, out_row, one == 0, chunk, value_channels, mixed, CHUNK)
    if chunk == 0:
        lse, lse_rest = log_of_sum(highest, total)
        store_logs(logs, pair * positions + item, lse, lse_rest, None)


@triton.jit(do_not_specialize=VARYING)
def backward(
    grad_out, grad_lse, query, key, value, out, logs, rest, grad_key, grad_value, partial_query,
    order, order_stride, narrow_order, narrow_stride, pieces, piece_rows, programs, turns,
    heads, group, queries, channels, value_channels, scale,
    TILE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
    MANY: tl.constexpr,
):  # fmt: skip
    """Pieces of a label's keys, one kv head, one chunk of the gradients' channels.

    Labels with up to ROWS rows take one pass over the keys, the others, left to a second launch
    with MANY, one for each block of rows and one for the gradients of the keys. Keys that nobody
    sees come here too: their gradients are 0 and ``rest``.
    """
    OWN_CHUNKS: tl.constexpr = CHUNKS if CHUNKS > VALUE_CHUNKS else VALUE_CHUNKS
    chunk, pair, place = own_place(programs, OWN_CHUNKS)
    key_heads = heads // group
    b, kv = pair // key_heads, pair % key_heads
    pieces += b * piece_rows * 5
    order += b * order_stride
    narrow_orders = narrow_order + b * narrow_stride
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last, partial = load_piece(pieces, row, piece_rows)
        narrow_order = narrow_orders + first
        count = last - first
        if MANY:
            if count * group > ROWS:
                for block in range(0, count * group, ROWS):
                    _sweep_keys(
                        grad_out, grad_lse, query, key, value, out, logs, rest, grad_key,
                        grad_value, partial_query, order, narrow_order, begin, end, block, count,
                        partial, b, kv, heads, group, chunk, queries, channels, value_channels,
                        scale, TILE, ROWS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION, False,
                    )  # fmt: skip
                for start in range(begin, end, TILE):
                    _key_tile(
                        grad_out, grad_lse, query, key, value, out, logs, rest, grad_key,
                        grad_value, order, narrow_order, start, end, count, b, kv, heads, group,
                        chunk, queries, channels, value_channels, scale,
                        TILE, ROWS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION,
                    )  # fmt: skip
        elif count == 0:
            for start in range(begin, end, TILE):
                item, inside = load_run(order, start, end, TILE)
                zeros = tl.zeros((TILE, CHUNK), tl.float32)
                _store_keys(
                    grad_key, grad_value, rest, b, kv, item, inside, zeros, zeros, key_heads,
                    chunk, channels, value_channels, CHUNK, SHARED,
                )  # fmt: skip
        elif count * group <= ROWS:
            _sweep_keys(
                grad_out, grad_lse, query, key, value, out, logs, rest, grad_key, grad_value,
                partial_query, order, narrow_order, begin, end, 0, count, partial, b, kv, heads,
                group, chunk, queries, channels, value_channels, scale,
                TILE, ROWS, CHUNK, CHUNKS, VALUE_CHUNKS, SHARED, PRECISION, True,
            )  # fmt: skip


@triton.jit
def _sweep_keys(
    grad_out, grad_lse, query, key, value, out, logs, rest, grad_key, grad_value, partial_query,
    order, narrow_order, begin, end, block, count, partial, b, kv, heads, group,
    chunk, queries, channels, value_channels, scale,
    TILE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
    ALL_ROWS: tl.constexpr,
):  # fmt: skip
    """Query gradients of a block of rows; with ALL_ROWS in it, key and value gradients too."""
    known, head, position, query_row, grad_row, q, g, row_logs, delta = _load_narrow(
        grad_out, grad_lse, query, out, logs, narrow_order, block, count, b, kv, heads, group,
        queries, channels, value_channels, ROWS, CHUNK, VALUE_CHUNKS, PRECISION,
    )  # fmt: skip
    q_own = own_chunk(q, query, query_row, known, chunk, channels, CHUNK, CHUNKS)
    g_own = own_chunk(g, grad_out, grad_row, known, chunk, value_channels, CHUNK, VALUE_CHUNKS)
    grad_q = tl.zeros((ROWS, CHUNK), tl.float32)
    for start in range(begin, end, TILE):
        item, inside = load_run(order, start, end, TILE)
        key_row, value_row = row_of(key, b, kv, item), row_of(value, b, kv, item)
        k = load_rows(key, key_row, inside, 0, channels, CHUNK)
        v = k if SHARED else load_rows(value, value_row, inside, 0, value_channels, CHUNK)
        logits = products(
            q, query, query_row, known, k, key, key_row, inside, channels, CHUNK, CHUNKS, PRECISION
        )
        weights, grad_weights = weights_again(
            logits, row_logs, g, grad_out, grad_row, known, v, value, value_row, inside,
            value_channels, scale, CHUNK, VALUE_CHUNKS, PRECISION,
        )  # fmt: skip
        grad_logits = (weights * (grad_weights - delta[:, None])).to(q.dtype)
        k_own = own_chunk(k, key, key_row, inside, chunk, channels, CHUNK, CHUNKS)
        grad_q = tl.dot(grad_logits, k_own, grad_q, input_precision=PRECISION)
        if ALL_ROWS:
            grad_k = tl.dot(tl.trans(grad_logits), q_own, input_precision=PRECISION)
            grad_v = tl.dot(tl.trans(weights.to(g.dtype)), g_own, input_precision=PRECISION)
            _store_keys(
                grad_key, grad_value, rest, b, kv, item, inside, grad_k * scale, grad_v,
                heads // group, chunk, channels, value_channels, CHUNK, SHARED,
            )  # fmt: skip
    row = row_of(partial_query, b, head, partial + position)
    store_rows(partial_query, row, known, chunk, channels, grad_q * scale, CHUNK)


@triton.jit
def _key_tile(
    grad_out, grad_lse, query, key, value, out, logs, rest, grad_key, grad_value,
    order, narrow_order, start, end, count, b, kv, heads, group,
    chunk, queries, channels, value_channels, scale,
    TILE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    VALUE_CHUNKS: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Key and value gradients of one tile, any number of rows."""
    item, inside = load_run(order, start, end, TILE)
    key_row, value_row = row_of(key, b, kv, item), row_of(value, b, kv, item)
    k = load_rows(key, key_row, inside, 0, channels, CHUNK)
    v = k if SHARED else load_rows(value, value_row, inside, 0, value_channels, CHUNK)
    grad_k = tl.zeros((TILE, CHUNK), tl.float32)
    grad_v = tl.zeros((TILE, CHUNK), tl.float32)
    for block in range(0, count * group, ROWS):
        known, _, _, query_row, grad_row, q, g, row_logs, delta = _load_narrow(
            grad_out, grad_lse, query, out, logs, narrow_order, block, count, b, kv, heads, group,
            queries, channels, value_channels, ROWS, CHUNK, VALUE_CHUNKS, PRECISION,
        )  # fmt: skip
        logits = products(
            q, query, query_row, known, k, key, key_row, inside, channels, CHUNK, CHUNKS, PRECISION
        )
        weights, grad_weights = weights_again(
            logits, row_logs, g, grad_out, grad_row, known, v, value, value_row, inside,
            value_channels, scale, CHUNK, VALUE_CHUNKS, PRECISION,
        )  # fmt: skip
        grad_logits = (weights * (grad_weights - delta[:, None])).to(q.dtype)
        q_own = own_chunk(q, query, query_row, known, chunk, channels, CHUNK, CHUNKS)
        g_own = own_chunk(g, grad_out, grad_row, known, chunk, value_channels, CHUNK, VALUE_CHUNKS)
        grad_k = tl.dot(tl.trans(grad_logits), q_own, grad_k, input_precision=PRECISION)
        weights = tl.trans(weights.to(g.dtype))
        grad_v = tl.dot(weights, g_own, grad_v, input_precision=PRECISION)
    _store_keys(
        grad_key, grad_value, rest, b, kv, item, inside, grad_k * scale, grad_v,
        heads // group, chunk, channels, value_channels, CHUNK, SHARED,
    )  # fmt: skip


@triton.jit
def _load_narrow(
    grad_out, grad_lse, query, out, logs, narrow_order, block, count, b, kv, heads, group,
    queries, channels, value_channels,
    ROWS: tl.constexpr, CHUNK: tl.constexpr, VALUE_CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """ROWS rows from ``block`` on: which exist, where they are, and what is constant over keys."""
    r = block + tl.arange(0, ROWS)
    known = r < count * group
    head, position = kv * group + r // count, r % count
    narrow = load_items(narrow_order, position, known)
    query_row, grad_row = row_of(query, b, head, narrow), row_of(grad_out, b, head, narrow)
    lse_row = (b * heads + head) * queries + narrow
    q = load_rows(query, query_row, known, 0, channels, CHUNK)
    g = load_rows(grad_out, grad_row, known, 0, value_channels, CHUNK)
    row_logs = load_logs(logs, lse_row, known)
    delta = row_delta(
        out, row_of(out, b, head, narrow), g, grad_out, grad_row, known, grad_lse, lse_row,
        value_channels, CHUNK, VALUE_CHUNKS, PRECISION,
    )  # fmt: skip
    return known, head, position, query_row, grad_row, q, g, row_logs, delta


@triton.jit
def _store_keys(
    grad_key, grad_value, rest, b, kv, item, inside, grad_k, grad_v, key_heads, chunk,
    channels, value_channels, CHUNK: tl.constexpr, SHARED: tl.constexpr,
):  # fmt: skip
    if rest is not None:
        of_head = rest + (b * key_heads + kv) * value_channels
        share = load_numbers(of_head, chunk, value_channels, CHUNK)
        grad_v += share[None, :]
    if SHARED:
        grad_k += grad_v
    else:
        row = row_of(grad_value, b, kv, item)
        store_rows(grad_value, row, inside, chunk, value_channels, grad_v, CHUNK)
    row = row_of(grad_key, b, kv, item)
    store_rows(grad_key, row, inside, chunk, channels, grad_k, CHUNK)
