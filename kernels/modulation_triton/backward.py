# SPDX-License-Identifier: Apache-2.0
"""Gradients of the modulation in three launches: tokens, sums, x.

The two means over pixels in the gradient of the norm are sums over all tiles, so x cannot be
finished in the sweep that makes them. Reading x and grad_y twice and recomputing moves 5 maps
(2 + 2 and a write) and rounds once; writing a first part of grad_x and finishing it in a third
pass would move 6 (2 and a write, 2 and a write) and round twice.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import (
    load_channels,
    load_rows,
    load_run,
    store_rows,
)
from scam.kernels.modulation_triton.tokens import (
    before_activation,
    columns,
    defaults,
    grad_of_weights,
    is_many,
    load_noise,
    load_of_heads,
    mixed,
    normalised,
    scores,
    softmax,
    spread_over_tokens,
    sum_over_tokens,
    weights_of,
)
from scam.kernels.sca_triton.rows import VARYING, load_piece, load_tile, own_place

WITNESSES = tl.constexpr(16)


@triton.jit
def tile_gradients(
    x_first, x_own, x, grad_y, grad_inner, key_first, gammas, betas, keys, key_bias, gamma, beta,
    position, noise, noise_scale, logs, mean, rstd, delta, b, item, inside, head, of_head, token,
    seen, heads, pixels, chunk, channels, negative_slope,
    FEW: tl.constexpr, HEADS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """What a tile's pixels make of the tokens in the columns.

    Returns:
        weights and the gradient of the scores (pixels, COLUMNS), fp32; of this chunk of channels
        normalised x and the gradient before the activation (pixels, CHUNK), fp32, and these two
        multiplied and the latter alone, rounded for products.
    """
    logits = scores(
        x_first, x, position, key_first, keys, key_bias, b, item, inside, of_head, token, seen,
        channels, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    COLUMNS: tl.constexpr = logits.shape[1]
    if FEW:
        weights, _, _ = softmax(logits, heads, HEADS)
    else:
        lse = load_of_heads(logs[0], head, heads, pixels, item, inside, 1)
        lse_rest = load_of_heads(logs[1], head, heads, pixels, item, inside, 1)
        weights = weights_of(logits, lse, lse_rest, inside, seen)
    hat = normalised(x_own, mean, rstd, b, chunk, channels, CHUNK)
    if FEW and CHUNKS == 1:
        scale = tl.full(hat.shape, 1.0, tl.float32)
        scale, shift = mixed(scale, tl.zeros_like(scale), weights, gammas, betas, PRECISION)
        grad = inner_gradient(
            grad_y, hat, scale, shift, noise, noise_scale, b, item, inside, pixels,
            chunk, channels, negative_slope, CHUNK,
        )  # fmt: skip
    else:
        grad = load_rows(grad_inner, b, 0, item, inside, chunk, channels, CHUNK).to(tl.float32)
    grad_hat, rounded = (grad * hat).to(x_own.dtype), grad.to(x_own.dtype)
    grad_weights = tl.zeros(weights.shape, tl.float32)
    if CHUNKS == 1:
        grad_weights = grad_of_weights(grad_weights, rounded, grad_hat, gammas, betas, PRECISION)
    else:
        for other in range(0, CHUNKS):
            here = load_rows(x, b, 0, item, inside, other, channels, CHUNK)
            here = normalised(here, mean, rstd, b, other, channels, CHUNK)
            slope = load_rows(grad_inner, b, 0, item, inside, other, channels, CHUNK)
            there = (slope.to(tl.float32) * here).to(slope.dtype)
            others = load_rows(gamma, b, of_head, token, seen, other, channels, CHUNK)
            other_betas = load_rows(beta, b, of_head, token, seen, other, channels, CHUNK)
            grad_weights = grad_of_weights(
                grad_weights, slope, there, others, other_betas, PRECISION
            )
    if FEW:
        shared = sum_over_tokens(weights * grad_weights, HEADS)
    else:
        shared = tl.zeros((item.shape[0], 1), tl.float32)
        for other in range(0, CHUNKS):
            source = delta + (b * CHUNKS + other) * heads * pixels
            shared += load_of_heads(source, head, heads, pixels, item, inside, 1)
    grad_logits = weights * (grad_weights - spread_over_tokens(shared, COLUMNS))
    return weights, grad_logits, hat, grad, grad_hat, rounded


@triton.jit
def inner_gradient(
    grad_y, hat, scale, shift, noise, noise_scale, b, item, inside, pixels, chunk, channels,
    negative_slope, CHUNK: tl.constexpr,
):  # fmt: skip
    """Gradient before the activation (pixels, CHUNK), fp32."""
    sums = before_activation(
        hat, scale, shift, noise, noise_scale, b, item, inside, pixels, chunk, channels, CHUNK
    )
    grad = load_rows(grad_y, b, 0, item, inside, chunk, channels, CHUNK).to(tl.float32)
    return tl.where(sums > 0.0, grad, grad * negative_slope)


@triton.jit(do_not_specialize=VARYING)
def token_gradients(
    x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, default_gamma, default_beta,
    noise, noise_scale, logs, mean, rstd, delta, partial_tokens, partial_bias, partial_channels,
    order, order_stride, narrow_order, narrow_stride, pieces, piece_rows, programs, turns,
    partial_rows, heads, pixels, channels: tl.constexpr, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr,
    HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over pieces of a label's pixels, a chunk of channels.

    ``partial_tokens`` (B, heads, rows, 3, channels): gradients of keys, gamma, beta.
    ``partial_bias`` (B, heads, rows). ``partial_channels`` (B, pieces, 3, channels): sums of the
    gradient of normalised x, of that times normalised x, and of noise times the gradient before
    the activation; where no token is seen, the first two are gradients of the defaults.
    """
    chunk, b, place = own_place(programs, CHUNKS)
    pieces += b * piece_rows * 5
    partial_channels += b * piece_rows * 3 * channels
    order += b * order_stride
    narrow_order += b * narrow_stride
    logs = logs[0] + b * heads * pixels, logs[1] + b * heads * pixels
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last, partial = load_piece(pieces, row, piece_rows)
        if (begin < end) & (is_many(first, last, heads, HEADS, COLUMNS) == MANY):
            _sum_piece(
                x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, default_gamma,
                default_beta, noise, noise_scale, logs, mean, rstd, delta, partial_tokens,
                partial_bias, partial_channels + row.to(tl.int64) * 3 * channels,
                order, narrow_order, begin, end, first, last, partial - first, partial_rows, b,
                heads, pixels, chunk, channels, negative_slope,
                TILE, MANY, WIDE, HEADS, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip


@triton.jit
def _sum_piece(
    x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, default_gamma,
    default_beta, noise, noise_scale, logs, mean, rstd, delta, partial_tokens,
    partial_bias, partial_channels, order, narrow_order, begin, end, first, last, partial,
    partial_rows, b, heads, pixels, chunk, channels, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr,
    COLUMNS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One piece; ``partial_channels`` (3, channels) is its own."""
    witnessed = tl.zeros((WITNESSES, CHUNK), tl.float32)
    witnessed_hat = tl.zeros((WITNESSES, CHUNK), tl.float32)
    through_scale = tl.zeros((CHUNK,), tl.float32)
    through_scale_hat = tl.zeros((CHUNK,), tl.float32)
    if MANY:
        for h in range(0, heads):
            for block in range(first, last, COLUMNS):
                witnessed, witnessed_hat, plain, hat = _sweep(
                    x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, noise,
                    noise_scale, logs, mean, rstd, delta, partial_tokens, partial_bias, order,
                    narrow_order, begin, end, block, last, h, partial, partial_rows, b,
                    heads, pixels, chunk, channels, negative_slope,
                    TILE, False, WIDE, 1, COLUMNS, CHUNK, CHUNKS, PRECISION,
                )  # fmt: skip
                through_scale += plain
                through_scale_hat += hat
    elif first == last:
        scale, shift = defaults(default_gamma, default_beta, b, chunk, channels, CHUNK)
        for start in range(begin, end, TILE):
            item, inside = load_run(order, start, end, TILE, WIDE)
            x_own = load_rows(x, b, 0, item, inside, chunk, channels, CHUNK)
            hat = normalised(x_own, mean, rstd, b, chunk, channels, CHUNK)
            grad = inner_gradient(
                grad_y, hat, scale, shift, noise, noise_scale, b, item, inside, pixels,
                chunk, channels, negative_slope, CHUNK,
            )  # fmt: skip
            grad_hat, grad = (grad * hat).to(x_own.dtype), grad.to(x_own.dtype)
            rows = _witnesses(noise, b, item, inside, pixels).to(x_own.dtype)
            witnessed = tl.dot(rows, grad, witnessed, input_precision=PRECISION)
            witnessed_hat = tl.dot(rows, grad_hat, witnessed_hat, input_precision=PRECISION)
    else:
        witnessed, witnessed_hat, through_scale, through_scale_hat = _sweep(
            x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, noise, noise_scale,
            logs, mean, rstd, delta, partial_tokens, partial_bias, order, narrow_order,
            begin, end, first, last, 0, partial, partial_rows, b,
            heads, pixels, chunk, channels, negative_slope,
            TILE, True, WIDE, HEADS, COLUMNS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    known = channel < channels
    which = tl.arange(0, WITNESSES)[:, None]
    at = partial_channels + channel
    sums = tl.sum(tl.where(which == 0, witnessed, 0.0), 0)
    tl.store(at, sums + through_scale, mask=known)
    sums = tl.sum(tl.where(which == 0, witnessed_hat, 0.0), 0)
    tl.store(at + channels, sums + through_scale_hat, mask=known)
    sums = tl.sum(tl.where(which == 1, witnessed, 0.0), 0)
    tl.store(at + 2 * channels, sums, mask=known)


@triton.jit
def _witnesses(noise, b, item, inside, pixels):
    """(WITNESSES, pixels): ones, noise, zeros. Sums over pixels as a product: no registers for
    vectors over channels, which every warp would hold, and no exchange between warps per tile."""
    which = tl.arange(0, WITNESSES)[:, None]
    rows = tl.where((which == 0) & inside[None, :], 1.0, 0.0)
    if noise is None:
        return rows
    else:
        return tl.where(which == 1, load_noise(noise, b, item, inside, pixels)[None, :], rows)


@triton.jit
def _sweep(
    x, grad_y, grad_inner, keys, key_bias, gamma, beta, position, noise, noise_scale,
    logs, mean, rstd, delta, partial_tokens, partial_bias, order, narrow_order,
    begin, end, first, last, head, partial, partial_rows, b, heads, pixels,
    chunk, channels, negative_slope,
    TILE: tl.constexpr, FEW: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr,
    COLUMNS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of tokens against all pixels of a piece.

    Returns:
        Sums over pixels, of the gradient before the activation and of that times normalised x:
        witnessed, (WITNESSES, CHUNK), and with a factor of these tokens' part of the scale,
        (CHUNK,): gamma times the gradient of beta, and of gamma.
    """
    of_head, token, seen = columns(narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS)
    key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
    gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
    betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
    grad_keys = tl.zeros((COLUMNS, CHUNK), tl.float32)
    grad_gamma = tl.zeros((COLUMNS, CHUNK), tl.float32)
    grad_beta = tl.zeros((COLUMNS, CHUNK), tl.float32)
    grad_bias = tl.zeros((COLUMNS,), tl.float32)
    witnessed = tl.zeros((WITNESSES, CHUNK), tl.float32)
    witnessed_hat = tl.zeros((WITNESSES, CHUNK), tl.float32)
    for start in range(begin, end, TILE):
        item, inside = load_run(order, start, end, TILE, WIDE)
        x_first = load_rows(x, b, 0, item, inside, 0, channels, CHUNK)
        x_own = x_first
        if CHUNKS > 1:
            x_own = load_rows(x, b, 0, item, inside, chunk, channels, CHUNK)
        weights, grad_logits, _, _, grad_hat, rounded = tile_gradients(
            x_first, x_own, x, grad_y, grad_inner, key_first, gammas, betas, keys, key_bias,
            gamma, beta, position, noise, noise_scale, logs, mean, rstd, delta, b, item, inside,
            head, of_head, token, seen, heads, pixels, chunk, channels, negative_slope,
            FEW, HEADS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
        grad_bias += tl.sum(grad_logits, 0)
        grad_logits = tl.trans(grad_logits.to(x_own.dtype))
        grad_keys = tl.dot(grad_logits, x_own, grad_keys, input_precision=PRECISION)
        if position is not None:
            there = load_rows(position, 0, 0, item, inside, chunk, channels, CHUNK)
            grad_keys = tl.dot(grad_logits, there, grad_keys, input_precision=PRECISION)
        weights = tl.trans(weights.to(x_own.dtype))
        grad_gamma = tl.dot(weights, grad_hat, grad_gamma, input_precision=PRECISION)
        grad_beta = tl.dot(weights, rounded, grad_beta, input_precision=PRECISION)
        rows = _witnesses(noise, b, item, inside, pixels).to(x_own.dtype)
        witnessed = tl.dot(rows, rounded, witnessed, input_precision=PRECISION)
        witnessed_hat = tl.dot(rows, grad_hat, witnessed_hat, input_precision=PRECISION)
    row = (b * heads + of_head) * partial_rows + partial
    row += first + tl.arange(0, COLUMNS) % (COLUMNS // HEADS)
    if chunk == 0:
        tl.store(partial_bias + row, grad_bias, mask=seen)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    known = seen[:, None] & (channel < channels)[None, :]
    at = partial_tokens + row[:, None] * 3 * channels + channel[None, :]
    tl.store(at, grad_keys, mask=known)
    tl.store(at + channels, grad_gamma, mask=known)
    tl.store(at + 2 * channels, grad_beta, mask=known)
    factor = gammas.to(tl.float32)
    plain, hat = tl.sum(factor * grad_beta, 0), tl.sum(factor * grad_gamma, 0)
    return witnessed, witnessed_hat, plain, hat


@triton.jit(do_not_specialize=VARYING)
def add_tokens(
    partial_tokens, partial_bias, grad_keys, grad_key_bias, grad_gamma, grad_beta, spans,
    narrow_order, narrow_stride, tokens, partial_rows, heads, channels: tl.constexpr,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Add up the partial rows of one token and head in order; results are contiguous."""
    chunk, pair, place = own_place(tokens, CHUNKS)
    b = pair // heads
    span = spans + (b * tokens + place) * 3
    start, step, count = tl.load(span), tl.load(span + 1), tl.load(span + 2)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    known = channel < channels
    of_keys = tl.zeros((CHUNK,), tl.float32)
    of_gamma = tl.zeros((CHUNK,), tl.float32)
    of_beta = tl.zeros((CHUNK,), tl.float32)
    of_bias = tl.zeros((), tl.float32)
    for block in range(0, count, BLOCK):
        part = block + tl.arange(0, BLOCK)
        row = pair * partial_rows + start + part * step
        at = partial_tokens + row[:, None] * 3 * channels + channel[None, :]
        there = (part < count)[:, None] & known[None, :]
        of_keys += tl.sum(tl.load(at, mask=there, other=0.0), 0)
        of_gamma += tl.sum(tl.load(at + channels, mask=there, other=0.0), 0)
        of_beta += tl.sum(tl.load(at + 2 * channels, mask=there, other=0.0), 0)
        of_bias += tl.sum(tl.load(partial_bias + row, mask=part < count, other=0.0), 0)
    row = pair * tokens + tl.load(narrow_order + b * narrow_stride + place)
    tl.store(grad_key_bias + row, of_bias.to(grad_key_bias.dtype.element_ty), mask=chunk == 0)
    at = row * channels + channel
    tl.store(grad_keys + at, of_keys.to(grad_keys.dtype.element_ty), mask=known)
    tl.store(grad_gamma + at, of_gamma.to(grad_gamma.dtype.element_ty), mask=known)
    tl.store(grad_beta + at, of_beta.to(grad_beta.dtype.element_ty), mask=known)


@triton.jit(do_not_specialize=VARYING)
def add_channels(
    partial_channels, pieces, default_gamma, grad_default_gamma, grad_default_beta, mean_plain,
    mean_hat, noise_sums, piece_rows, pixels, channels: tl.constexpr,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Gradients of the defaults, means for the norm, sums with noise: (B, channels)."""
    program = tl.program_id(0)
    chunk = program % CHUNKS
    b = (program // CHUNKS).to(tl.int64)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    known = channel < channels
    plain = tl.zeros((CHUNK,), tl.float32)
    hat = tl.zeros((CHUNK,), tl.float32)
    noise = tl.zeros((CHUNK,), tl.float32)
    default_plain = tl.zeros((CHUNK,), tl.float32)
    default_hat = tl.zeros((CHUNK,), tl.float32)
    for block in range(0, piece_rows, BLOCK):
        part = block + tl.arange(0, BLOCK)
        row = b * piece_rows + part
        inside = part < piece_rows
        begin = tl.load(pieces + row * 5, mask=inside, other=0)
        end = tl.load(pieces + row * 5 + 1, mask=inside, other=0)
        first = tl.load(pieces + row * 5 + 2, mask=inside, other=0)
        last = tl.load(pieces + row * 5 + 3, mask=inside, other=0)
        there = (begin < end)[:, None] & known[None, :]
        at = partial_channels + row[:, None] * 3 * channels + channel[None, :]
        sees = (first < last)[:, None]
        found = tl.load(at, mask=there, other=0.0)
        plain += tl.sum(tl.where(sees, found, 0.0), 0)
        default_plain += tl.sum(tl.where(sees, 0.0, found), 0)
        found = tl.load(at + channels, mask=there, other=0.0)
        hat += tl.sum(tl.where(sees, found, 0.0), 0)
        default_hat += tl.sum(tl.where(sees, 0.0, found), 0)
        noise += tl.sum(tl.load(at + 2 * channels, mask=there, other=0.0), 0)
    scale = tl.full((CHUNK,), 1.0, tl.float32)
    if default_gamma is not None:
        at = default_gamma[0] + b * default_gamma[1] + channel.to(tl.int64) * default_gamma[2]
        scale += tl.load(at, mask=known, other=0.0).to(tl.float32)
    at = b * channels + channel
    tl.store(mean_plain + at, (plain + scale * default_plain) / pixels, mask=known)
    tl.store(mean_hat + at, (hat + scale * default_hat) / pixels, mask=known)
    if noise_sums is not None:
        tl.store(noise_sums + at, noise, mask=known)
    if grad_default_gamma is not None:
        kind = grad_default_gamma.dtype.element_ty
        tl.store(grad_default_gamma + at, default_hat.to(kind), mask=known)
    if grad_default_beta is not None:
        kind = grad_default_beta.dtype.element_ty
        tl.store(grad_default_beta + at, default_plain.to(kind), mask=known)


@triton.jit(do_not_specialize=VARYING)
def input_gradient(
    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, default_gamma,
    default_beta, noise, noise_scale, logs, mean, rstd, delta, mean_plain, mean_hat,
    order, order_stride, narrow_order, narrow_stride, tiles, tile_rows, programs, turns,
    heads, pixels, channels: tl.constexpr, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr,
    HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """grad_x of tiles, a chunk of channels."""
    chunk, b, place = own_place(programs, CHUNKS)
    tiles += b * tile_rows * 4
    order += b * order_stride
    narrow_order += b * narrow_stride
    logs = logs[0] + b * heads * pixels, logs[1] + b * heads * pixels
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last = load_tile(tiles, row, tile_rows)
        if (begin < end) & (is_many(first, last, heads, HEADS, COLUMNS) == MANY):
            item, inside = load_run(order, begin, end, TILE, WIDE)
            _tile_input_gradient(
                x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position,
                default_gamma, default_beta, noise, noise_scale, logs, mean, rstd, delta,
                mean_plain, mean_hat, b, item, inside, narrow_order, first, last, heads, pixels,
                chunk, channels, negative_slope,
                MANY, WIDE, HEADS, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip


@triton.jit
def _tile_input_gradient(
    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position,
    default_gamma, default_beta, noise, noise_scale, logs, mean, rstd, delta,
    mean_plain, mean_hat, b, item, inside, narrow_order, first, last, heads, pixels,
    chunk, channels, negative_slope,
    MANY: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    scale = tl.full((item.shape[0], CHUNK), 1.0, tl.float32)
    through_scores = tl.zeros((item.shape[0], CHUNK), tl.float32)
    if MANY:
        hat = tl.zeros((item.shape[0], CHUNK), tl.float32)
        grad = tl.zeros((item.shape[0], CHUNK), tl.float32)
        for h in range(0, heads):
            for block in range(first, last, COLUMNS):
                hat, grad, scale, through_scores = _pixels_against(
                    scale, through_scores, x, grad_y, grad_inner, keys, key_bias, gamma, beta,
                    position, noise, noise_scale, logs, mean, rstd, delta, b, item, inside,
                    narrow_order, block, last, h, heads, pixels, chunk, channels,
                    negative_slope, False, WIDE, 1, COLUMNS, CHUNK, CHUNKS, PRECISION,
                )  # fmt: skip
        # With one chunk, grad_inner is stored in grad_x: all threads have read theirs.
        tl.debug_barrier()
    elif first == last:
        x_own = load_rows(x, b, 0, item, inside, chunk, channels, CHUNK)
        hat = normalised(x_own, mean, rstd, b, chunk, channels, CHUNK)
        one_scale, shift = defaults(default_gamma, default_beta, b, chunk, channels, CHUNK)
        scale = tl.broadcast_to(one_scale, (item.shape[0], CHUNK))
        grad = inner_gradient(
            grad_y, hat, scale, shift, noise, noise_scale, b, item, inside, pixels,
            chunk, channels, negative_slope, CHUNK,
        )  # fmt: skip
    else:
        hat, grad, scale, through_scores = _pixels_against(
            scale, through_scores, x, grad_y, grad_inner, keys, key_bias, gamma, beta, position,
            noise, noise_scale, logs, mean, rstd, delta, b, item, inside, narrow_order,
            first, last, 0, heads, pixels, chunk, channels, negative_slope,
            True, WIDE, HEADS, COLUMNS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
    grad = grad * scale - load_channels(mean_plain, b, chunk, channels, CHUNK)
    grad -= hat * load_channels(mean_hat, b, chunk, channels, CHUNK)
    grad = grad * load_channels(rstd, b, chunk, channels, CHUNK) + through_scores
    store_rows(grad_x, b, item, inside, chunk, channels, grad, CHUNK)


@triton.jit
def _pixels_against(
    scale, through_scores, x, grad_y, grad_inner, keys, key_bias, gamma, beta, position,
    noise, noise_scale, logs, mean, rstd, delta, b, item, inside, narrow_order, first, last, head,
    heads, pixels, chunk, channels, negative_slope,
    FEW: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Normalised x, the gradient before the activation, and with what a block of tokens adds:
    the scale and the gradient of x through the scores."""
    of_head, token, seen = columns(narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS)
    key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
    gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
    betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
    x_first = load_rows(x, b, 0, item, inside, 0, channels, CHUNK)
    x_own, key_own = x_first, key_first
    if CHUNKS > 1:
        x_own = load_rows(x, b, 0, item, inside, chunk, channels, CHUNK)
        key_own = load_rows(keys, b, of_head, token, seen, chunk, channels, CHUNK)
    weights, grad_logits, hat, grad, _, _ = tile_gradients(
        x_first, x_own, x, grad_y, grad_inner, key_first, gammas, betas, keys, key_bias,
        gamma, beta, position, noise, noise_scale, logs, mean, rstd, delta, b, item, inside,
        head, of_head, token, seen, heads, pixels, chunk, channels, negative_slope,
        FEW, HEADS, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    weights, grad_logits = weights.to(gammas.dtype), grad_logits.to(key_own.dtype)
    scale = tl.dot(weights, gammas, scale, input_precision=PRECISION)
    through_scores = tl.dot(grad_logits, key_own, through_scores, input_precision=PRECISION)
    return hat, grad, scale, through_scores
