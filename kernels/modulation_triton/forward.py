# SPDX-License-Identifier: Apache-2.0
"""Modulate, a tile of one label and a chunk of channels per program.

Scores run over all channels: x is read once where CHUNKS is 1, else its chunks come again, from
cache. The same kernel makes for backward what its kernels cannot recompute on the way.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import load_pixels, load_rows, load_run, store_rows
from scam.kernels.modulation_triton.tokens import (
    beside_tokens,
    defaults,
    extra_rows,
    grad_of_weights,
    is_many,
    load_norm,
    load_position,
    mixed,
    normalised,
    raised_from,
    scores_from,
    softmax,
    weights_of,
    whole,
)
from scam.kernels.sca_triton.rows import VARYING, load_tile, own_place
from scam.kernels.sca_triton.softmax import log_of_sum, store_logs


@triton.jit(do_not_specialize=VARYING)
def modulate(
    x, y, grad_y, keys, key_bias, gamma, beta, position, default_gamma, default_beta,
    noise, noise_scale, logs, mean, rstd, delta, order, order_stride, narrow_order, narrow_stride,
    tiles, tile_rows, programs, turns, heads, pixels, channels: tl.constexpr, negative_slope,
    TILE: tl.constexpr, MANY: tl.constexpr, WIDE: tl.constexpr,
    HEADS: tl.constexpr, COLUMNS: tl.constexpr, EXTRAS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write y and ``logs``: lse and its rest. With ``grad_y``: into ``y`` the gradient before the
    activation.

    Backward needs that gradient of all channels, where a program knows only its own chunk, and of
    mixtures of all tokens, where columns hold but a few. Tiles of many tokens also get ``delta``
    (B, CHUNKS, heads, pixels), this chunk's share of the sum over tokens of a weight times its
    gradient, and ``logs`` of scores as backward's tiles make them.
    """
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
            _modulate_tile(
                x, y, grad_y, keys, key_bias, gamma, beta, position, default_gamma, default_beta,
                noise, noise_scale, logs, mean, rstd, delta, b, item, inside, narrow_order,
                first, last, heads, pixels, chunk, channels, negative_slope,
                MANY, WIDE, HEADS, COLUMNS, EXTRAS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip


@triton.jit
def _modulate_tile(
    x, y, grad_y, keys, key_bias, gamma, beta, position, default_gamma, default_beta,
    noise, noise_scale, logs, mean, rstd, delta, b, item, inside, narrow_order,
    first, last, heads, pixels, chunk, channels, negative_slope,
    MANY: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    EXTRAS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    x_first = load_pixels(x, b, item, 0, channels, CHUNK)
    there_first = load_position(position, item, channels, CHUNK)
    if MANY:
        scale, shift = _mix_many(
            x_first, there_first, x, position, keys, key_bias, gamma, beta, logs, b, item, inside,
            narrow_order, first, last, heads, pixels, chunk, channels,
            WIDE, COLUMNS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
    elif first == last:
        scale, shift = _mix_nothing(
            default_gamma, default_beta, noise, noise_scale, logs, b, item, inside, heads, pixels,
            chunk, channels, grad_y is None, EXTRAS, CHUNK,
        )  # fmt: skip
    else:
        scale, shift = _mix_few(
            x_first, there_first, x, position, keys, key_bias, gamma, beta, logs, b, item, inside,
            narrow_order, first, last, noise, noise_scale, heads, pixels, chunk, channels,
            grad_y is None, WIDE, HEADS, COLUMNS, EXTRAS, CHUNK, CHUNKS, PRECISION,
        )  # fmt: skip
    if MANY or not EXTRAS:
        scale, shift = whole(
            scale, shift, noise, noise_scale, b, item, pixels, chunk, channels, CHUNK
        )
    x_own = x_first
    if CHUNKS > 1:
        x_own = load_pixels(x, b, item, chunk, channels, CHUNK)
    # Fused, more channels would take more registers than let two programs share an SM.
    norm = load_norm(mean, rstd, b, chunk, channels, CHUNK)
    hat = normalised(x_own, norm, CHUNK <= 64)
    sums = scale * hat + shift
    if grad_y is None:
        out = tl.where(sums > 0.0, sums, sums * negative_slope)
    else:
        out = load_pixels(grad_y, b, item, chunk, channels, CHUNK).to(tl.float32)
        out = tl.where(sums > 0.0, out, out * negative_slope)
        if MANY:
            _store_delta(
                out, hat, x_first, there_first, x, position, keys, key_bias, gamma, beta,
                delta + (b * CHUNKS + chunk) * heads * pixels, b, item, inside,
                narrow_order, first, last, heads, pixels, chunk, channels,
                WIDE, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip
    store_rows(y, b, item, inside, chunk, channels, out, CHUNK)


@triton.jit
def _mix_nothing(
    default_gamma, default_beta, noise, noise_scale, logs, b, item, inside, heads, pixels, chunk,
    channels, STORE: tl.constexpr, EXTRAS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Scale and shift where no token is seen, as :func:`_mix_few` would give them."""
    scale, shift = defaults(default_gamma, default_beta, b, chunk, channels, CHUNK)
    scale = tl.broadcast_to(scale, (item.shape[0], CHUNK))
    shift = tl.broadcast_to(shift, (item.shape[0], CHUNK))
    if EXTRAS:
        scale, shift = whole(
            scale, shift, noise, noise_scale, b, item, pixels, chunk, channels, CHUNK
        )
    if STORE and chunk == 0:
        for h in range(0, heads):
            nothing = tl.full((item.shape[0],), float("-inf"), tl.float32)
            at = tl.cast(h, item.dtype) * pixels + item
            store_logs(logs, at, nothing, tl.zeros_like(nothing), inside)
    return scale, shift


@triton.jit
def _mix_few(
    x_first, there_first, x, position, keys, key_bias, gamma, beta, logs, b, item, inside,
    narrow_order, first, last, noise, noise_scale, heads, pixels, chunk, channels,
    STORE: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    EXTRAS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scale and shift where all heads' tokens fit into the columns; STORE: ``logs`` too."""
    logits, of_head, token, seen = scores_from(
        x_first, there_first, x, position, keys, key_bias, b, item, narrow_order, first, last, 0,
        heads, channels, WIDE, HEADS, COLUMNS, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    weights, highest, total = softmax(logits, heads, HEADS)
    if STORE and chunk == 0:
        lse, lse_rest = log_of_sum(highest, total)
        h = tl.arange(0, HEADS)
        known = (h < heads)[:, None] & inside[None, :]
        at = h.to(item.dtype)[:, None] * pixels + item[None, :]
        store_logs(logs, at, lse, lse_rest, known)
    gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
    betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
    if EXTRAS:
        weights = beside_tokens(weights, noise, b, item, inside, pixels)
        gammas, betas = extra_rows(gammas, betas, noise_scale, chunk, channels, CHUNK)
    zeros = tl.zeros((item.shape[0], CHUNK), tl.float32)
    return mixed(zeros, zeros, weights, gammas, betas, PRECISION)


@triton.jit
def _mix_many(
    x_first, there_first, x, position, keys, key_bias, gamma, beta, logs, b, item, inside,
    narrow_order, first, last, heads, pixels, chunk, channels,
    WIDE: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scale and shift of any number of tokens; ``logs`` are found and stored."""
    scale = tl.zeros((item.shape[0], CHUNK), tl.float32)
    shift = tl.zeros((item.shape[0], CHUNK), tl.float32)
    for h in range(0, heads):
        highest = tl.full((item.shape[0],), float("-inf"), tl.float32)
        total = tl.zeros((item.shape[0],), tl.float32)
        for block in range(first, last, COLUMNS):
            logits, _, _, _ = scores_from(
                x_first, there_first, x, position, keys, key_bias, b, item, narrow_order, block,
                last, h, heads, channels, WIDE, 1, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip
            before = highest
            highest = tl.maximum(highest, tl.max(logits, 0))
            total = total * raised_from(before, highest)
            total += tl.sum(raised_from(logits, highest[None, :]), 0)
        lse, lse_rest = log_of_sum(highest, total)
        if chunk == 0:
            store_logs(logs, tl.cast(h, item.dtype) * pixels + item, lse, lse_rest, inside)
        for block in range(first, last, COLUMNS):
            logits, of_head, token, seen = scores_from(
                x_first, there_first, x, position, keys, key_bias, b, item, narrow_order, block,
                last, h, heads, channels, WIDE, 1, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip
            weights = weights_of(logits, lse[None, :], lse_rest[None, :], inside, seen)
            gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
            betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
            scale, shift = mixed(scale, shift, weights, gammas, betas, PRECISION)
    return scale, shift


@triton.jit
def _store_delta(
    grad, hat, x_first, there_first, x, position, keys, key_bias, gamma, beta, delta, b, item,
    inside, narrow_order, first, last, heads, pixels, chunk, channels, WIDE: tl.constexpr,
    COLUMNS: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """This chunk's share of the sum over a head's tokens of a weight times its gradient."""
    grad_hat, grad = (grad * hat).to(x_first.dtype), grad.to(x_first.dtype)
    for h in range(0, heads):
        highest = tl.full((item.shape[0],), float("-inf"), tl.float32)
        total = tl.zeros((item.shape[0],), tl.float32)
        share = tl.zeros((item.shape[0],), tl.float32)
        for block in range(first, last, COLUMNS):
            logits, of_head, token, seen = scores_from(
                x_first, there_first, x, position, keys, key_bias, b, item, narrow_order, block,
                last, h, heads, channels, WIDE, 1, COLUMNS, CHUNK, CHUNKS, PRECISION,
            )  # fmt: skip
            gammas = load_rows(gamma, b, of_head, token, seen, chunk, channels, CHUNK)
            betas = load_rows(beta, b, of_head, token, seen, chunk, channels, CHUNK)
            zeros = tl.zeros((COLUMNS, item.shape[0]), tl.float32)
            slopes = grad_of_weights(zeros, grad, grad_hat, gammas, betas, PRECISION)
            before = highest
            highest = tl.maximum(highest, tl.max(logits, 0))
            shrink = raised_from(before, highest)
            weights = raised_from(logits, highest[None, :])
            total = total * shrink + tl.sum(weights, 0)
            share = share * shrink + tl.sum(weights * slopes, 0)
        tl.store(delta + tl.cast(h, item.dtype) * pixels + item, share / total, mask=inside)
