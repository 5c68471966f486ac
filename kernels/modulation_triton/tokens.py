# SPDX-License-Identifier: Apache-2.0
"""What pixels of one label make of its tokens.

Tokens stand in COLUMNS columns. Where all tokens of a label fit (*few*), column c is token
c % TOKENS of head c // TOKENS, HEADS * TOKENS == COLUMNS: a sum over columns is then a sum over
heads, and only the softmax needs to know where a head ends. Otherwise (*many*) columns hold
consecutive tokens of one head, HEADS == 1.

``first`` chunks of x and of what stands in the columns stay in registers where all channels are
one chunk; other chunks are read when they are needed.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import load_channels, load_items, load_rows
from scam.kernels.sca_triton.softmax import log_of_sum, parts_of, weights_from


@triton.jit
def is_many(first, last, heads, HEADS: tl.constexpr, COLUMNS: tl.constexpr):
    """Whether the tokens of all heads need more columns than there are."""
    return (first < last) & ((last - first > COLUMNS // HEADS) | (heads > HEADS))


@triton.jit
def columns(
    narrow_order, first, last, head, heads,
    WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Head and token of every column, and whether it holds one."""
    TOKENS: tl.constexpr = COLUMNS // HEADS
    column = tl.arange(0, COLUMNS)
    position, of_head = first + column % TOKENS, head + column // TOKENS
    seen = (position < last) & (of_head < heads)
    token = load_items(narrow_order, position, seen, WIDE)
    return of_head.to(token.dtype), token, seen


@triton.jit
def scores(
    x_first, x, position, key_first, keys, key_bias, b, item, inside, of_head, token, seen,
    channels, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(pixels, COLUMNS), -inf where there is no token.

    The products with x and with the position are added up in fp32, not their factors in less.
    """
    key = tl.trans(key_first)
    sums = tl.dot(x_first, key, input_precision=PRECISION)
    if position is not None:
        there = load_rows(position, 0, 0, item, inside, 0, channels, CHUNK)
        sums = tl.dot(there, key, sums, input_precision=PRECISION)
    for chunk in range(1, CHUNKS):
        key = tl.trans(load_rows(keys, b, of_head, token, seen, chunk, channels, CHUNK))
        here = load_rows(x, b, 0, item, inside, chunk, channels, CHUNK)
        sums = tl.dot(here, key, sums, input_precision=PRECISION)
        if position is not None:
            there = load_rows(position, 0, 0, item, inside, chunk, channels, CHUNK)
            sums = tl.dot(there, key, sums, input_precision=PRECISION)
    at = key_bias[0] + b * key_bias[1] + (of_head * key_bias[2] + token * key_bias[3])
    bias = tl.load(at, mask=seen, other=0.0).to(tl.float32)
    return tl.where(seen[None, :], sums + bias[None, :], float("-inf"))


@triton.jit
def scores_from(
    x_first, x, position, keys, key_bias, b, item, inside, narrow_order, first, last, head, heads,
    channels, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """:func:`scores` of the tokens from ``first`` on, and :func:`columns`, where they stand."""
    of_head, token, seen = columns(narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS)
    key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
    logits = scores(
        x_first, x, position, key_first, keys, key_bias, b, item, inside, of_head, token, seen,
        channels, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    return logits, of_head, token, seen


@triton.jit
def softmax(logits, heads, HEADS: tl.constexpr):
    """Weights (pixels, COLUMNS), 0 where no token stands, and lse and its rest (pixels, HEADS),
    finite where there is no head."""
    TILE: tl.constexpr = logits.shape[0]
    COLUMNS: tl.constexpr = logits.shape[1]
    logits = tl.reshape(logits, (TILE, HEADS, COLUMNS // HEADS))
    there = tl.arange(0, HEADS)[None, :] < heads
    highest = tl.where(there, tl.max(logits, 2), 0.0)
    raised = tl.exp(logits - highest[:, :, None])
    total = tl.where(there, tl.sum(raised, 2), 1.0)
    weights = tl.reshape(parts_of(raised, total[:, :, None]), (TILE, COLUMNS))
    lse, lse_rest = log_of_sum(highest, total)
    return weights, lse, lse_rest


@triton.jit
def weights_of(logits, lse, lse_rest, inside, seen):
    """Weights of logits whose lse and its rest (pixels, 1) are known; zeros where nothing is."""
    there = inside[:, None] & seen[None, :]
    return tl.where(there, weights_from(logits, lse, lse_rest), 0.0)


@triton.jit
def load_of_heads(source, head, heads, pixels, item, inside, HEADS: tl.constexpr):
    """(pixels, HEADS) of lse or alike (heads, pixels), from ``head`` on."""
    h = head + tl.arange(0, HEADS)
    at = h.to(item.dtype)[None, :] * pixels + item[:, None]
    return tl.load(source + at, mask=inside[:, None] & (h < heads)[None, :], other=0.0)


@triton.jit
def spread_over_tokens(of_heads, COLUMNS: tl.constexpr):
    """(pixels, HEADS) -> (pixels, COLUMNS)."""
    TILE: tl.constexpr = of_heads.shape[0]
    HEADS: tl.constexpr = of_heads.shape[1]
    if HEADS == 1:
        return tl.broadcast_to(of_heads, (TILE, COLUMNS))
    else:
        wide = tl.broadcast_to(of_heads[:, :, None], (TILE, HEADS, COLUMNS // HEADS))
        return tl.reshape(wide, (TILE, COLUMNS))


@triton.jit
def sum_over_tokens(of_columns, HEADS: tl.constexpr):
    """(pixels, COLUMNS) -> (pixels, HEADS)."""
    TILE: tl.constexpr = of_columns.shape[0]
    COLUMNS: tl.constexpr = of_columns.shape[1]
    return tl.sum(tl.reshape(of_columns, (TILE, HEADS, COLUMNS // HEADS)), 2)


@triton.jit
def mixed(scale, shift, weights, gammas, betas, PRECISION: tl.constexpr):
    """Scale and shift (pixels, CHUNK) with what these columns add."""
    weights = weights.to(gammas.dtype)
    scale = tl.dot(weights, gammas, scale, input_precision=PRECISION)
    return scale, tl.dot(weights, betas, shift, input_precision=PRECISION)


@triton.jit
def grad_of_weights(sums, grad, grad_hat, gammas, betas, PRECISION: tl.constexpr):
    """``sums`` and what a chunk of channels adds to the gradient of the weights."""
    sums = tl.dot(grad_hat, tl.trans(gammas), sums, input_precision=PRECISION)
    return tl.dot(grad, tl.trans(betas), sums, input_precision=PRECISION)


@triton.jit
def normalised(x, mean, rstd, b, chunk, channels, CHUNK: tl.constexpr):
    """A chunk of x (pixels, CHUNK), fp32."""
    centre = load_channels(mean, b, chunk, channels, CHUNK)
    return (x.to(tl.float32) - centre) * load_channels(rstd, b, chunk, channels, CHUNK)


@triton.jit
def load_noise(noise, b, item, inside, pixels):
    """(pixels,), fp32."""
    return tl.load(noise + b * pixels + item, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def before_activation(
    hat, scale, shift, noise, noise_scale, b, item, inside, pixels, chunk, channels,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``scale * hat + shift + noise_scale * noise``."""
    sums = scale * hat + shift
    if noise is not None:
        drawn = load_noise(noise, b, item, inside, pixels)
        sums += drawn[:, None] * load_channels(noise_scale, 0, chunk, channels, CHUNK)
    return sums


@triton.jit
def defaults(default_gamma, default_beta, b, chunk, channels, CHUNK: tl.constexpr):
    """Scale and shift (1, CHUNK) of pixels that see no token."""
    scale = tl.full((1, CHUNK), 1.0, tl.float32)
    shift = tl.zeros((1, CHUNK), tl.float32)
    if default_gamma is not None:
        scale += load_channels(default_gamma, b, chunk, channels, CHUNK)
    if default_beta is not None:
        shift += load_channels(default_beta, b, chunk, channels, CHUNK)
    return scale, shift
