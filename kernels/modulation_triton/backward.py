# SPDX-License-Identifier: Apache-2.0
"""Gradients of tokens, and of x but for the norm's means: one sweep over the pixels of a label.

The two means over pixels in the gradient of the norm are sums over all tiles, so x cannot be
finished in the sweep that makes them. The sweep writes all of it but what the means contribute,
which is linear in x: ``sums.subtract_means`` does the rest. This moves 6 maps (2 and a write,
twice) and rounds twice. A second sweep that recomputes would move 5 and round once, but takes
about as many instructions as the first, and instructions limit these kernels more than bytes do.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import (
    load_pixels,
    load_rows,
    load_run,
    store_rows,
)
from scam.kernels.modulation_triton.tokens import (
    beside_tokens,
    columns,
    defaults,
    extra_rows,
    grad_of_weights,
    is_many,
    less_mean,
    load_noise,
    load_norm,
    load_of_heads,
    load_position,
    mixed,
    normalised,
    scores,
    softmax,
    weights_of,
    whole,
)
from scam.kernels.sca_triton.rows import VARYING, load_piece, load_tile, own_place
from triton.language import target_info

WITNESSES = tl.constexpr(16)


@triton.constexpr_function
def on_hopper():
    """Whether sums of tokens have a row a channel: there a matrix product takes its left operand
    from the registers it was made in. Others convert it, and spill."""
    target = target_info.current_target()
    return target is not None and target.backend == "cuda" and target.arch // 10 == 9


@triton.jit
def tile_gradients(
    x_first, there_first, x_own, x, grad_y, grad_inner, key_first, gammas, betas, keys, key_bias,
    gamma, beta, position, noise, noise_scale, logs, mean, rstd, norm, delta, b, item, inside,
    head, of_head, token, seen, heads, pixels, chunk, channels, negative_slope,
    FEW: tl.constexpr, EXTRAS: tl.constexpr, HEADS: tl.constexpr, CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """What a tile's pixels make of the tokens in the columns.

    Returns:
        weights, EXTRAS among them, and the gradient of the scores (COLUMNS, pixels), fp32, zeros
        for pixels outside; of this chunk of channels (pixels, CHUNK), fp32: the scale, of MANY
        what these tokens add to it, the gradient before the activation, and, rounded for
        products, that times normalised x and that alone.
    """
    logits = scores(
        x_first, there_first, x, position, key_first, keys, key_bias, b, item, of_head, token,
        seen, channels, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    if FEW:
        weights, _, _ = softmax(logits, heads, HEADS)
        weights = tl.where(inside[None, :], weights, 0.0)
    else:
        lse = load_of_heads(logs[0], head, heads, pixels, item, inside, 1)
        lse_rest = load_of_heads(logs[1], head, heads, pixels, item, inside, 1)
        weights = weights_of(logits, lse, lse_rest, inside, seen)
    hat = normalised(x_own, norm)
    zeros = tl.zeros(hat.shape, tl.float32)
    mixing = weights
    if EXTRAS:
        mixing = beside_tokens(weights, noise, b, item, inside, pixels)
    scale, shift = mixed(zeros, zeros, mixing, gammas, betas, PRECISION)
    if FEW and not EXTRAS:
        scale, shift = whole(
            scale, shift, noise, noise_scale, b, item, pixels, chunk, channels, CHUNK
        )
    if FEW and CHUNKS == 1:
        grad = inner_gradient(
            grad_y, hat, scale, shift, b, item, chunk, channels, negative_slope, CHUNK
        )
    else:
        grad = load_pixels(grad_inner, b, item, chunk, channels, CHUNK).to(tl.float32)
    grad_hat, rounded = (grad * hat).to(x_own.dtype), grad.to(x_own.dtype)
    grad_weights = tl.zeros(weights.shape, tl.float32)
    if CHUNKS == 1:
        grad_weights = grad_of_weights(grad_weights, rounded, grad_hat, gammas, betas, PRECISION)
    else:
        for other in range(0, CHUNKS):
            here = load_pixels(x, b, item, other, channels, CHUNK)
            here = normalised(here, load_norm(mean, rstd, b, other, channels, CHUNK))
            slope = load_pixels(grad_inner, b, item, other, channels, CHUNK)
            there = (slope.to(tl.float32) * here).to(slope.dtype)
            others = load_rows(gamma, b, of_head, token, seen, other, channels, CHUNK)
            other_betas = load_rows(beta, b, of_head, token, seen, other, channels, CHUNK)
            grad_weights = grad_of_weights(
                grad_weights, slope, there, others, other_betas, PRECISION
            )
    if FEW:
        grad_logits = weights * less_mean(weights, grad_weights, HEADS)
    else:
        shared = tl.zeros((1, item.shape[0]), tl.float32)
        for other in range(0, CHUNKS):
            source = delta + (b * CHUNKS + other) * heads * pixels
            shared += load_of_heads(source, head, heads, pixels, item, inside, 1)
        grad_logits = weights * (grad_weights - shared)
    return mixing, grad_logits, scale, grad, grad_hat, rounded


@triton.jit
def inner_gradient(
    grad_y, hat, scale, shift, b, item, chunk, channels, negative_slope, CHUNK: tl.constexpr
):
    """Gradient before the activation (pixels, CHUNK), fp32."""
    grad = load_pixels(grad_y, b, item, chunk, channels, CHUNK).to(tl.float32)
    return tl.where(scale * hat + shift > 0.0, grad, grad * negative_slope)


@triton.jit
def without_means(grad, scale, norm):
    """The gradient of x through the norm (pixels, CHUNK), fp32, but for its two means."""
    return scale * (grad * norm[1])


@triton.jit(do_not_specialize=VARYING)
def token_gradients(
    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, default_gamma,
    default_beta, noise, noise_scale, logs, mean, rstd, delta, partial_tokens, partial_bias,
    partial_channels, order, order_stride, narrow_order, narrow_stride, pieces, piece_rows,
    programs, turns, partial_rows, heads, pixels, channels: tl.constexpr, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr,
    HEADS: tl.constexpr, COLUMNS: tl.constexpr, EXTRAS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums over pieces of a label's pixels, a chunk of channels; and, unless MANY, grad_x but for
    the norm's means.

    ``partial_tokens`` (B, heads, rows, 3, channels): gradients of keys, gamma, beta.
    ``partial_bias`` (B, heads, rows). ``partial_channels`` (B, pieces, 3, channels): sums of the
    gradient before the activation, of that times normalised x, and times noise; where no token is
    seen, the first two are gradients of the defaults.
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
        if (begin < end) & (is_many(first, last, heads, HEADS, COLUMNS, EXTRAS) == MANY):
            _sum_piece(
                x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position,
                default_gamma, default_beta, noise, noise_scale, logs, mean, rstd, delta,
                partial_tokens, partial_bias, partial_channels + row.to(tl.int64) * 3 * channels,
                order, narrow_order, begin, end, first, last, pieces + row.to(tl.int64) * 5 + 2,
                partial - first, partial_rows, b, heads, pixels, chunk, channels, negative_slope,
                TILE, MANY, WIDE, HEADS, COLUMNS, EXTRAS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip


@triton.jit
def _sum_piece(
    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, default_gamma,
    default_beta, noise, noise_scale, logs, mean, rstd, delta, partial_tokens,
    partial_bias, partial_channels, order, narrow_order, begin, end, first, last, tokens,
    partial, partial_rows, b, heads, pixels, chunk, channels, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr,
    COLUMNS: tl.constexpr, EXTRAS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One piece; ``partial_channels`` (3, channels) is its own, ``tokens`` points to ``first`` and
    ``last``."""
    if MANY:
        for h in range(0, heads):
            for block in range(first, last, COLUMNS):
                _sweep(
                    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, noise,
                    noise_scale, logs, mean, rstd, delta, partial_tokens, partial_bias,
                    partial_channels, order, narrow_order, begin, end, block, last, tokens, h,
                    partial, partial_rows, b, heads, pixels, chunk, channels, negative_slope,
                    TILE, False, WIDE, 1, COLUMNS, False, CHUNK, CHUNKS, PRECISION,
                )  # fmt: skip
    elif first == last:
        _sweep_unseeing(
            x, grad_y, grad_x, default_gamma, default_beta, noise, noise_scale, mean, rstd,
            partial_channels, order, begin, end, b, pixels, chunk, channels, negative_slope,
            TILE, WIDE, CHUNK, PRECISION,
        )  # fmt: skip
    else:
        _sweep(
            x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, noise,
            noise_scale, logs, mean, rstd, delta, partial_tokens, partial_bias, partial_channels,
            order, narrow_order, begin, end, first, last, tokens, 0, partial, partial_rows, b,
            heads, pixels, chunk, channels, negative_slope,
            TILE, True, WIDE, HEADS, COLUMNS, EXTRAS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip


@triton.jit
def _sweep_unseeing(
    x, grad_y, grad_x, default_gamma, default_beta, noise, noise_scale, mean, rstd,
    partial_channels, order, begin, end, b, pixels, chunk, channels, negative_slope,
    TILE: tl.constexpr, WIDE: tl.constexpr, CHUNK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The pixels of a piece that see no token: what they witness, and grad_x but for means."""
    witnessed = tl.zeros((WITNESSES, CHUNK), tl.float32)
    norm = load_norm(mean, rstd, b, chunk, channels, CHUNK)
    of_all, shift = defaults(default_gamma, default_beta, b, chunk, channels, CHUNK)
    for start in range(begin, end, TILE):
        item, inside = load_run(order, start, end, TILE, WIDE)
        x_own = load_pixels(x, b, item, chunk, channels, CHUNK)
        hat = normalised(x_own, norm)
        scale, with_noise = whole(
            of_all, shift, noise, noise_scale, b, item, pixels, chunk, channels, CHUNK
        )
        grad = inner_gradient(
            grad_y, hat, scale, with_noise, b, item, chunk, channels, negative_slope, CHUNK
        )
        grad_hat, rounded = (grad * hat).to(x_own.dtype), grad.to(x_own.dtype)
        witnessed = _witness(
            witnessed, rounded, grad_hat, noise, b, item, inside, pixels, PRECISION
        )
        grad = without_means(grad, scale, norm)
        store_rows(grad_x, b, item, inside, chunk, channels, grad, CHUNK)
    _store_witnessed(partial_channels, witnessed, chunk, channels, CHUNK)


@triton.jit
def _witness(witnessed, grad, grad_hat, noise, b, item, inside, pixels, PRECISION: tl.constexpr):
    """``witnessed`` (WITNESSES, CHUNK) and sums over pixels of ``grad``, of ``grad_hat`` and of
    noise times ``grad``, in its first three rows. As products with ones and noise they need no
    registers for vectors over channels, which every warp would hold, and no exchange between
    warps per tile."""
    which = tl.arange(0, WITNESSES)[:, None]
    rows = tl.where((which == 0) & inside[None, :], 1.0, 0.0)
    if noise is not None:
        drawn = load_noise(noise, b, item, pixels)[None, :]
        rows = tl.where((which == 2) & inside[None, :], drawn, rows)
    witnessed = tl.dot(rows.to(grad.dtype), grad, witnessed, input_precision=PRECISION)
    rows = tl.where((which == 1) & inside[None, :], 1.0, 0.0)
    return tl.dot(rows.to(grad.dtype), grad_hat, witnessed, input_precision=PRECISION)


@triton.jit
def _store_witnessed(partial_channels, witnessed, chunk, channels, CHUNK: tl.constexpr):
    which = tl.arange(0, WITNESSES)[:, None]
    channel = chunk * CHUNK + tl.arange(0, CHUNK)[None, :]
    at = partial_channels + which * channels + channel
    tl.store(at, witnessed, mask=(which < 3) & (channel < channels))


@triton.jit
def _sweep(
    x, grad_y, grad_inner, grad_x, keys, key_bias, gamma, beta, position, noise, noise_scale,
    logs, mean, rstd, delta, partial_tokens, partial_bias, partial_channels, order, narrow_order,
    begin, end, first, last, tokens, head, partial, partial_rows, b, heads, pixels,
    chunk, channels, negative_slope,
    TILE: tl.constexpr, FEW: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr,
    COLUMNS: tl.constexpr, EXTRAS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of tokens against all pixels of a piece; if FEW, grad_x but for means."""
    of_head, token, seen = columns(narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS)
    key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
    gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
    betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
    if EXTRAS:
        gammas, betas = extra_rows(gammas, betas, noise_scale, chunk, channels, CHUNK)
    norm = load_norm(mean, rstd, b, chunk, channels, CHUNK)
    grad_keys = tl.zeros((COLUMNS, CHUNK), tl.float32)
    tall: tl.constexpr = on_hopper()
    grad_gamma = tl.zeros((CHUNK, COLUMNS) if tall else (COLUMNS, CHUNK), tl.float32)
    grad_beta = tl.zeros((CHUNK, COLUMNS) if tall else (COLUMNS, CHUNK), tl.float32)
    grad_bias = tl.zeros((COLUMNS, TILE), tl.float32)
    witnessed = tl.zeros((WITNESSES, CHUNK), tl.float32)
    for start in range(begin, end, TILE):
        item, inside = load_run(order, start, end, TILE, WIDE)
        x_first = load_pixels(x, b, item, 0, channels, CHUNK)
        there_first = load_position(position, item, channels, CHUNK)
        x_own, there, key_own = x_first, there_first, key_first
        if CHUNKS > 1:
            x_own = load_pixels(x, b, item, chunk, channels, CHUNK)
            key_own = load_rows(keys, b, of_head, token, seen, chunk, channels, CHUNK)
            if position is not None:
                there = load_pixels(position, 0, item, chunk, channels, CHUNK)
        weights, grad_logits, scale, grad, grad_hat, rounded = tile_gradients(
            x_first, there_first, x_own, x, grad_y, grad_inner, key_first, gammas, betas, keys,
            key_bias, gamma, beta, position, noise, noise_scale, logs, mean, rstd, norm, delta, b,
            item, inside, head, of_head, token, seen, heads, pixels, chunk, channels,
            negative_slope, FEW, EXTRAS, HEADS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
        grad_bias += grad_logits
        grad_logits = grad_logits.to(x_own.dtype)
        if FEW:
            part = without_means(grad, scale, norm)
            part = tl.dot(tl.trans(grad_logits), key_own, part, input_precision=PRECISION)
            store_rows(grad_x, b, item, inside, chunk, channels, part, CHUNK)
        grad_keys = tl.dot(grad_logits, x_own, grad_keys, input_precision=PRECISION)
        if position is not None:
            grad_keys = tl.dot(grad_logits, there, grad_keys, input_precision=PRECISION)
        if not EXTRAS:
            witnessed = _witness(
                witnessed, rounded, grad_hat, noise, b, item, inside, pixels, PRECISION
            )
        weights = weights.to(x_own.dtype)
        if tall:
            weights, grad_hat, rounded = tl.trans(weights), tl.trans(grad_hat), tl.trans(rounded)
            grad_gamma = tl.dot(grad_hat, weights, grad_gamma, input_precision=PRECISION)
            grad_beta = tl.dot(rounded, weights, grad_beta, input_precision=PRECISION)
        else:
            grad_gamma = tl.dot(weights, grad_hat, grad_gamma, input_precision=PRECISION)
            grad_beta = tl.dot(weights, rounded, grad_beta, input_precision=PRECISION)
    if FEW:  # again, since they would spill if they were kept during the sweep
        first, last = tl.load(tokens), tl.load(tokens + 1)
        of_head, token, seen = columns(
            narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS
        )
    if tall:
        grad_gamma, grad_beta = tl.trans(grad_gamma), tl.trans(grad_beta)
    row = (b * heads + of_head) * partial_rows + partial
    row += first + tl.arange(0, COLUMNS) % (COLUMNS // HEADS)
    if chunk == 0:
        tl.store(partial_bias + row, tl.sum(grad_bias, 1), mask=seen)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)[None, :]
    known = seen[:, None] & (channel < channels)
    at = partial_tokens + row[:, None] * 3 * channels + channel
    tl.store(at, grad_keys, mask=known)
    tl.store(at + channels, grad_gamma, mask=known)
    tl.store(at + 2 * channels, grad_beta, mask=known)
    if EXTRAS:
        column = tl.arange(0, COLUMNS)[:, None]
        of_one, extra = column == COLUMNS - 2, column >= COLUMNS - 2
        at = partial_channels + tl.where(of_one, 0, 2 * channels) + channel
        tl.store(at, grad_beta, mask=extra & (channel < channels))
        tl.store(at + channels, grad_gamma, mask=of_one & (channel < channels))
    else:
        _store_witnessed(partial_channels, witnessed, chunk, channels, CHUNK)


@triton.jit(do_not_specialize=VARYING)
def input_gradient(
    x, grad_inner, grad_x, keys, key_bias, gamma, beta, position, logs, mean, rstd, delta,
    order, order_stride, narrow_order, narrow_stride, tiles, tile_rows, programs, turns,
    heads, pixels, channels: tl.constexpr,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr,
    HEADS: tl.constexpr, COLUMNS: tl.constexpr, EXTRAS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """grad_x but for the norm's means, of tiles with MANY tokens, a chunk of channels."""
    chunk, b, place = own_place(programs, CHUNKS)
    tiles += b * tile_rows * 4
    order += b * order_stride
    narrow_order += b * narrow_stride
    logs = logs[0] + b * heads * pixels, logs[1] + b * heads * pixels
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last = load_tile(tiles, row, tile_rows)
        if (begin < end) & (is_many(first, last, heads, HEADS, COLUMNS, EXTRAS) == MANY):
            item, inside = load_run(order, begin, end, TILE, WIDE)
            _tile_input_gradient(
                x, grad_inner, grad_x, keys, key_bias, gamma, beta, position, logs, mean, rstd,
                delta, b, item, inside, narrow_order, first, last, heads, pixels, chunk, channels,
                WIDE, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip


@triton.jit
def _tile_input_gradient(
    x, grad_inner, grad_x, keys, key_bias, gamma, beta, position, logs, mean, rstd, delta,
    b, item, inside, narrow_order, first, last, heads, pixels, chunk, channels,
    WIDE: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    x_first = load_pixels(x, b, item, 0, channels, CHUNK)
    there_first = load_position(position, item, channels, CHUNK)
    x_own = x_first
    if CHUNKS > 1:
        x_own = load_pixels(x, b, item, chunk, channels, CHUNK)
    norm = load_norm(mean, rstd, b, chunk, channels, CHUNK)
    scale = tl.full((item.shape[0], CHUNK), 1.0, tl.float32)
    through_scores = tl.zeros((item.shape[0], CHUNK), tl.float32)
    for h in range(0, heads):
        for block in range(first, last, COLUMNS):
            of_head, token, seen = columns(narrow_order, block, last, h, heads, WIDE, 1, COLUMNS)
            key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
            gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
            betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
            key_own = key_first
            if CHUNKS > 1:
                key_own = load_rows(keys, b, of_head, token, seen, chunk, channels, CHUNK)
            _, grad_logits, more, _, _, _ = tile_gradients(
                x_first, there_first, x_own, x, None, grad_inner, key_first, gammas, betas, keys,
                key_bias, gamma, beta, position, None, None, logs, mean, rstd, norm, delta, b,
                item, inside, h, of_head, token, seen, heads, pixels, chunk, channels, 0.0,
                False, False, 1, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip
            scale += more
            grad_logits = tl.trans(grad_logits.to(key_own.dtype))
            through_scores = tl.dot(
                grad_logits, key_own, through_scores, input_precision=PRECISION
            )
    grad = load_pixels(grad_inner, b, item, chunk, channels, CHUNK).to(tl.float32)
    # With one chunk, grad_inner is stored in grad_x: all threads have read theirs.
    tl.debug_barrier()
    grad = without_means(grad, scale, norm) + through_scores
    store_rows(grad_x, b, item, inside, chunk, channels, grad, CHUNK)
