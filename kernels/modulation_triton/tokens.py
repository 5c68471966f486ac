# SPDX-License-Identifier: Apache-2.0
"""What pixels of one label make of its tokens.

Tokens stand in COLUMNS columns, and come first where a matrix is of tokens and pixels,
(COLUMNS, pixels): products with so few tokens then share pixels out among warps. Where all tokens
of a label fit (*few*), column c is token c % TOKENS of head c // TOKENS, HEADS * TOKENS ==
COLUMNS: a sum over columns is then a sum over heads, and only the softmax needs to know where a
head ends. Otherwise (*many*) columns hold consecutive tokens of one head, HEADS == 1.

With EXTRAS the last two columns are for no token, but for what every pixel sees: 1 and the noise.
The gamma of 1 is 1, the beta of the noise is ``noise_scale``. So products with weights make the
whole scale and shift, and gradients of gamma and beta are sums over pixels of what belongs to no
token.

``first`` chunks of x and of what stands in the columns stay in registers where all channels are
one chunk; other chunks are read when they are needed.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import load_channels, load_pixels, load_rows
from scam.kernels.sca_triton.softmax import weights_from


@triton.jit
def is_many(first, last, heads, HEADS: tl.constexpr, COLUMNS: tl.constexpr, EXTRAS: tl.constexpr):
    """Whether the tokens of all heads need more columns than there are."""
    fitting = COLUMNS // HEADS - 2 if EXTRAS else COLUMNS // HEADS
    return (first < last) & ((last - first > fitting) | (heads > HEADS))


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
    token = tl.load(narrow_order + position, mask=seen, other=0)
    token = token.to(tl.int64) if WIDE else token
    return of_head.to(token.dtype), token, seen


@triton.jit
def scores(
    x_first, there_first, x, position, key_first, keys, key_bias, b, item, of_head, token, seen,
    channels, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(COLUMNS, pixels), -inf where there is no token: its key is 0, its bias -inf.

    The products with x and with the position are added up in fp32, not their factors in less.
    """
    sums = tl.dot(key_first, tl.trans(x_first), input_precision=PRECISION)
    if position is not None:
        sums = tl.dot(key_first, tl.trans(there_first), sums, input_precision=PRECISION)
    for chunk in range(1, CHUNKS):
        key = load_rows(keys, b, of_head, token, seen, chunk, channels, CHUNK)
        here = load_pixels(x, b, item, chunk, channels, CHUNK)
        sums = tl.dot(key, tl.trans(here), sums, input_precision=PRECISION)
        if position is not None:
            there = load_pixels(position, 0, item, chunk, channels, CHUNK)
            sums = tl.dot(key, tl.trans(there), sums, input_precision=PRECISION)
    at = key_bias[0] + b * key_bias[1] + (of_head * key_bias[2] + token * key_bias[3])
    bias = tl.load(at, mask=seen, other=float("-inf")).to(tl.float32)
    return sums + bias[:, None]


@triton.jit
def load_position(position, item, channels, CHUNK: tl.constexpr):
    """The first chunk of the position (pixels, CHUNK), or None."""
    if position is None:
        return None
    else:
        return load_pixels(position, 0, item, 0, channels, CHUNK)


@triton.jit
def scores_from(
    x_first, there_first, x, position, keys, key_bias, b, item, narrow_order, first, last, head,
    heads, channels, WIDE: tl.constexpr, HEADS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """:func:`scores` of the tokens from ``first`` on, and :func:`columns`, where they stand."""
    of_head, token, seen = columns(narrow_order, first, last, head, heads, WIDE, HEADS, COLUMNS)
    key_first = load_rows(keys, b, of_head, token, seen, 0, channels, CHUNK)
    logits = scores(
        x_first, there_first, x, position, key_first, keys, key_bias, b, item, of_head, token,
        seen, channels, CHUNK, CHUNKS, PRECISION,
    )  # fmt: skip
    return logits, of_head, token, seen


@triton.jit
def softmax(logits, heads, HEADS: tl.constexpr):
    """Weights (COLUMNS, pixels), 0 where no token stands, and the largest score and the sum of
    exp(score - largest) (HEADS, pixels), finite where there is no head.

    A sum is at least 1, so that no weight is above 1 whichever way 1 / sum is rounded.
    """
    COLUMNS: tl.constexpr = logits.shape[0]
    TILE: tl.constexpr = logits.shape[1]
    logits = tl.reshape(logits, (HEADS, COLUMNS // HEADS, TILE))
    there = tl.arange(0, HEADS)[:, None] < heads
    highest = tl.where(there, tl.max(logits, 1), 0.0)
    raised = raised_from(logits, highest[:, None, :])
    total = tl.where(there, tl.sum(raised, 1), 1.0)
    weights = tl.reshape(raised * (1.0 / total)[:, None, :], (COLUMNS, TILE))
    return weights, highest, total


@triton.jit
def raised_from(logits, highest):
    """exp(logits - highest)."""
    return tl.exp2((logits - highest) * 1.4426950408889634)


@triton.jit
def weights_of(logits, lse, lse_rest, inside, seen):
    """Weights of logits whose lse and its rest (1, pixels) are known; zeros where nothing is."""
    there = seen[:, None] & inside[None, :]
    return tl.where(there, weights_from(logits, lse, lse_rest), 0.0)


@triton.jit
def load_of_heads(source, head, heads, pixels, item, inside, HEADS: tl.constexpr):
    """(HEADS, pixels) of lse or alike (heads, pixels), from ``head`` on."""
    h = head + tl.arange(0, HEADS)
    at = h.to(item.dtype)[:, None] * pixels + item[None, :]
    return tl.load(source + at, mask=(h < heads)[:, None] & inside[None, :], other=0.0)


@triton.jit
def less_mean(weights, slopes, HEADS: tl.constexpr):
    """``slopes`` (COLUMNS, pixels), less the mean of a pixel's by ``weights``, head by head."""
    COLUMNS: tl.constexpr = weights.shape[0]
    TILE: tl.constexpr = weights.shape[1]
    shape: tl.constexpr = (HEADS, COLUMNS // HEADS, TILE)
    slopes = tl.reshape(slopes, shape)
    mean = tl.sum(tl.reshape(weights, shape) * slopes, 1)
    return tl.reshape(slopes - mean[:, None, :], (COLUMNS, TILE))


@triton.jit
def beside_tokens(weights, noise, b, item, inside, pixels):
    """``weights`` (COLUMNS, pixels) with 1 and the noise in the last two columns."""
    COLUMNS: tl.constexpr = weights.shape[0]
    column = tl.arange(0, COLUMNS)[:, None]
    weights = tl.where((column == COLUMNS - 2) & inside[None, :], 1.0, weights)
    if noise is not None:
        drawn = load_noise(noise, b, item, pixels)[None, :]
        weights = tl.where((column == COLUMNS - 1) & inside[None, :], drawn, weights)
    return weights


@triton.jit
def extra_rows(gammas, betas, noise_scale, chunk, channels, CHUNK: tl.constexpr):
    """``gammas`` and ``betas`` (COLUMNS, CHUNK) with those of 1 and of the noise."""
    COLUMNS: tl.constexpr = gammas.shape[0]
    column = tl.arange(0, COLUMNS)[:, None]
    gammas = tl.where(column == COLUMNS - 2, 1.0, gammas).to(gammas.dtype)
    if noise_scale is not None:
        scale = load_channels(noise_scale, 0, chunk, channels, CHUNK).to(betas.dtype)
        betas = tl.where(column == COLUMNS - 1, scale, betas)
    return gammas, betas


@triton.jit
def mixed(scale, shift, weights, gammas, betas, PRECISION: tl.constexpr):
    """Scale and shift (pixels, CHUNK) with what these columns add."""
    weights = tl.trans(weights.to(gammas.dtype))
    scale = tl.dot(weights, gammas, scale, input_precision=PRECISION)
    return scale, tl.dot(weights, betas, shift, input_precision=PRECISION)


@triton.jit
def grad_of_weights(sums, grad, grad_hat, gammas, betas, PRECISION: tl.constexpr):
    """``sums`` (COLUMNS, pixels) and what a chunk of channels adds to the gradient of weights."""
    sums = tl.dot(gammas, tl.trans(grad_hat), sums, input_precision=PRECISION)
    return tl.dot(betas, tl.trans(grad), sums, input_precision=PRECISION)


@triton.jit
def load_norm(mean, rstd, b, chunk, channels, CHUNK: tl.constexpr):
    """mean and rstd of a chunk, each (1, CHUNK), fp32."""
    centre = load_channels(mean, b, chunk, channels, CHUNK)
    return centre, load_channels(rstd, b, chunk, channels, CHUNK)


@triton.jit
def normalised(x, norm, FUSED: tl.constexpr = True):
    """A chunk of x (pixels, CHUNK), fp32.

    FUSED: of 16-bit x in one instruction, with an error of the size of rounding the mean to fp32;
    16 bits say far less about how x differs from a mean far above its deviation.
    """
    centre, deviation = norm
    if x.dtype == tl.float32 or not FUSED:
        return (x.to(tl.float32) - centre) * deviation
    else:
        return tl.fma(x.to(tl.float32), deviation, -(centre * deviation))


@triton.jit
def load_noise(noise, b, item, pixels):
    """(pixels,), fp32."""
    return tl.load(noise + b * pixels + item).to(tl.float32)


@triton.jit
def whole(scale, shift, noise, noise_scale, b, item, pixels, chunk, channels, CHUNK: tl.constexpr):
    """Scale and shift of what tokens add alone: with 1, and with ``noise_scale * noise``."""
    if noise is not None:
        drawn = load_noise(noise, b, item, pixels)
        shift += drawn[:, None] * load_channels(noise_scale, 0, chunk, channels, CHUNK)
    return scale + 1.0, shift


@triton.jit
def defaults(default_gamma, default_beta, b, chunk, channels, CHUNK: tl.constexpr):
    """Scale, less 1, and shift (1, CHUNK) of pixels that see no token."""
    scale = tl.zeros((1, CHUNK), tl.float32)
    shift = tl.zeros((1, CHUNK), tl.float32)
    if default_gamma is not None:
        scale += load_channels(default_gamma, b, chunk, channels, CHUNK)
    if default_beta is not None:
        shift += load_channels(default_beta, b, chunk, channels, CHUNK)
    return scale, shift
