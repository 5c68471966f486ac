# SPDX-License-Identifier: Apache-2.0
"""What backward does with sums over pixels: adds up partial rows, and finishes the gradient of x
by the means that they make."""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import (
    items_of,
    load_channels,
    load_rows,
    store_rows,
    widened,
)
from scam.kernels.sca_triton.rows import VARYING, own_place


@triton.jit(do_not_specialize=VARYING)
def add_tokens(
    partial_tokens, partial_bias, gamma, grad_keys, grad_key_bias, grad_gamma, grad_beta, through,
    spans, narrow_order, narrow_stride, tokens, partial_rows, heads, channels: tl.constexpr,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Add up the partial rows of one token and head in order; results are contiguous.

    ``through`` (B, heads, tokens, 2, channels), fp32: gamma times the gradients of beta and of
    gamma, what pixels of this token add to the norm's means beyond what ``add_channels`` sums.
    """
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
    token = tl.load(narrow_order + b * narrow_stride + place)
    item, head = token.to(tl.int64), (pair % heads).to(tl.int64)
    at = gamma[0] + b * gamma[1] + head * gamma[2] + item * gamma[3]
    # Where no pixel sees the token, gamma may be anything.
    factor = tl.load(at + channel.to(tl.int64) * gamma[4], mask=known & (count > 0), other=0.0)
    factor = factor.to(tl.float32)
    row = pair * tokens + token
    at = through + row * 2 * channels + channel
    tl.store(at, factor * of_beta, mask=known)
    tl.store(at + channels, factor * of_gamma, mask=known)
    tl.store(grad_key_bias + row, of_bias.to(grad_key_bias.dtype.element_ty), mask=chunk == 0)
    at = row * channels + channel
    tl.store(grad_keys + at, of_keys.to(grad_keys.dtype.element_ty), mask=known)
    tl.store(grad_gamma + at, of_gamma.to(grad_gamma.dtype.element_ty), mask=known)
    tl.store(grad_beta + at, of_beta.to(grad_beta.dtype.element_ty), mask=known)


@triton.jit(do_not_specialize=VARYING)
def add_channels(
    partial_channels, through, pieces, default_gamma, grad_default_gamma, grad_default_beta,
    mean_plain, mean_hat, noise_sums, piece_rows, token_rows, pixels, channels: tl.constexpr,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Gradients of the defaults, means for the norm, sums with noise: (B, channels).

    ``token_rows``: tokens times heads.
    """
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
    for block in range(0, token_rows, BLOCK):
        part = block + tl.arange(0, BLOCK)
        at = through + (b * token_rows + part)[:, None] * 2 * channels + channel[None, :]
        there = (part < token_rows)[:, None] & known[None, :]
        plain += tl.sum(tl.load(at, mask=there, other=0.0), 0)
        hat += tl.sum(tl.load(at + channels, mask=there, other=0.0), 0)
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


@triton.jit
def subtract_means(
    x, grad_x, mean, rstd, mean_plain, mean_hat, pixels, channels: tl.constexpr, blocks,
    WIDE: tl.constexpr, WHOLE: tl.constexpr, BLOCK: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Finish grad_x in place: BLOCK pixels and a chunk of channels."""
    # The last image first: of it the L2 cache still holds most.
    chunk, b, block = own_place(blocks, CHUNKS, True)
    item, inside = items_of(block * BLOCK, pixels, WIDE, WHOLE, BLOCK)
    deviation = load_channels(rstd, b, chunk, channels, CHUNK)
    slope = load_channels(mean_hat, b, chunk, channels, CHUNK) * deviation * deviation
    lift = slope * load_channels(mean, b, chunk, channels, CHUNK)
    lift -= load_channels(mean_plain, b, chunk, channels, CHUNK) * deviation
    here = widened(load_rows(x, b, 0, item, inside, chunk, channels, CHUNK))
    grad = widened(load_rows(grad_x, b, 0, item, inside, chunk, channels, CHUNK))
    grad += tl.fma(here, -slope, lift)
    store_rows(grad_x, b, item, inside, chunk, channels, grad, CHUNK)
