# SPDX-License-Identifier: Apache-2.0
"""Rows of channels in memory of any strides, and products of them.

A tensor (B, H, N, C) comes to a kernel as the tuple (pointer, stride of B, of H, of N, of C,
items_fast), the last a compile-time flag: neighbouring items are closer together than
neighbouring channels. ``row`` is the 64-bit offset of each row's first channel.

Channels are handled in chunks of CHUNK. What a row is multiplied with runs over all chunks: the
first stays in registers, others are read again. What is written is one chunk per program.
"""

import triton
import triton.language as tl

# Sizes that change from batch to batch, and that no vector load depends on: without these a last,
# smaller batch would be compiled for again, as would a size of 1 or a multiple of 16.
VARYING = (
    "items", "order_stride", "wide_stride", "narrow_stride", "positions", "queries", "tokens",
    "labels", "narrow_labels", "tile_rows", "piece_rows", "programs", "partial_rows", "wanted",
    "extra",
)  # fmt: skip

# numpy, behind the interpreter, has no bf16 and sums fp16 products in fp16.
UPCAST = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def own_place(rows, CHUNKS: tl.constexpr, LAST_FIRST: tl.constexpr = False):
    """Of this program: chunk of channels, batch element times head, row of a table of ``rows``."""
    program = tl.program_id(0)
    if LAST_FIRST:
        program = tl.num_programs(0) - 1 - program
    chunk = program % CHUNKS
    program = program // CHUNKS
    return chunk, (program // rows).to(tl.int64), program % rows


@triton.jit
def load_ranges(table, row, rows, WIDTH: tl.constexpr):
    """begin, end, first, last of a row of a table, empty behind the last row.

    Each program takes ``turns`` rows, ``programs`` apart: usually one, known when compiling.
    """
    place = table + tl.minimum(row, rows - 1).to(tl.int64) * WIDTH
    begin, first = tl.load(place), tl.load(place + 2)
    end = tl.where(row < rows, tl.load(place + 1), begin)
    return begin, end, first, tl.where(row < rows, tl.load(place + 3), first)


@triton.jit
def load_tile(tiles, row, rows):
    """``load_ranges`` of a tile."""
    return load_ranges(tiles, row, rows, 4)


@triton.jit
def load_piece(pieces, row, rows):
    """``load_ranges`` of a piece, and its first partial row."""
    begin, end, first, last = load_ranges(pieces, row, rows, 5)
    partial = tl.load(pieces + tl.minimum(row, rows - 1).to(tl.int64) * 5 + 4)
    return begin, end, first, last, partial


@triton.jit
def load_items(order, position, inside):
    """Item numbers at positions of a sorted order, 64-bit."""
    return tl.load(order + position, mask=inside, other=0).to(tl.int64)


@triton.jit
def load_run(order, begin, end, COUNT: tl.constexpr):
    """COUNT item numbers from ``begin`` on, and which of them are before ``end``."""
    inside = begin + tl.arange(0, COUNT) < end
    return load_items(order, begin + tl.arange(0, COUNT), inside), inside


@triton.jit
def load_numbers(source, chunk, channels, CHUNK: tl.constexpr):
    """(CHUNK,) of as many numbers as there are channels, dense; zeros beyond."""
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    return tl.load(source + channel, mask=channel < channels, other=0.0)


@triton.jit
def row_of(tensor, b, h, item):
    """Offset of an item's first channel, 64-bit whatever the item."""
    return b * tensor[1] + h * tensor[2] + item.to(tl.int64) * tensor[3]


@triton.jit
def load_rows(tensor, row, inside, chunk, channels, CHUNK: tl.constexpr):
    """(rows, CHUNK), zeros outside."""
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    column = channel.to(tl.int64) * tensor[4]
    known = channel < channels
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        loaded = tl.trans(tl.load(tensor[0] + row[None, :] + column[:, None], mask, other=0.0))
    else:
        mask = inside[:, None] & known[None, :]
        loaded = tl.load(tensor[0] + row[:, None] + column[None, :], mask, other=0.0)
    if UPCAST:
        loaded = loaded.to(tl.float32)
    return loaded


@triton.jit
def store_rows(tensor, row, inside, chunk, channels, numbers, CHUNK: tl.constexpr):
    """Write (rows, CHUNK), rounded to the tensor's dtype."""
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    column = channel.to(tl.int64) * tensor[4]
    known = channel < channels
    numbers = numbers.to(tensor[0].dtype.element_ty)
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        tl.store(tensor[0] + row[None, :] + column[:, None], tl.trans(numbers), mask)
    else:
        mask = inside[:, None] & known[None, :]
        tl.store(tensor[0] + row[:, None] + column[None, :], numbers, mask)


@triton.jit
def own_chunk(
    loaded, tensor, row, inside, chunk, channels, CHUNK: tl.constexpr, CHUNKS: tl.constexpr
):
    """Rows of this program's chunk; ``loaded`` is chunk 0."""
    if CHUNKS == 1:
        return loaded
    else:
        return load_rows(tensor, row, inside, chunk, channels, CHUNK)


@triton.jit
def products(
    a, a_tensor, a_row, a_inside, b, b_tensor, b_row, b_inside, channels,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Inner products of rows over all channels, fp32; ``a`` and ``b`` are their chunk 0."""
    sums = tl.dot(a, tl.trans(b), input_precision=PRECISION)
    for chunk in range(1, CHUNKS):
        a_next = load_rows(a_tensor, a_row, a_inside, chunk, channels, CHUNK)
        b_next = load_rows(b_tensor, b_row, b_inside, chunk, channels, CHUNK)
        sums = tl.dot(a_next, tl.trans(b_next), sums, input_precision=PRECISION)
    return sums


@triton.jit
def row_delta(
    out, out_row, g, grad_out, grad_row, inside, grad_lse, lse_row, channels,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sum(out * grad_out) - grad_lse of each row, fp32; ``g`` is chunk 0 of the latter.

    In one chunk made as the gradients of weights are, by a product of matrices, of which the
    diagonal counts: where one key has all the weight, out is its value and both are equal to the
    bit. In several chunks that would spill.
    """
    delta = minus_grad_lse(grad_lse, lse_row, inside)
    o = load_rows(out, out_row, inside, 0, channels, CHUNK)
    if CHUNKS == 1:
        sums = tl.dot(g, tl.trans(o), input_precision=PRECISION)
        row = tl.arange(0, inside.shape[0])
        delta += tl.sum(tl.where(row[:, None] == row[None, :], sums, 0.0), 1)
    else:
        delta += tl.sum(o.to(tl.float32) * g.to(tl.float32), 1)
        for chunk in range(1, CHUNKS):
            o = load_rows(out, out_row, inside, chunk, channels, CHUNK)
            g = load_rows(grad_out, grad_row, inside, chunk, channels, CHUNK)
            delta += tl.sum(o.to(tl.float32) * g.to(tl.float32), 1)
    return delta


@triton.jit
def minus_grad_lse(grad_lse, lse_row, inside):
    """Zeros without a gradient of lse."""
    if grad_lse is None:
        return tl.zeros(inside.shape, tl.float32)
    else:
        return -tl.load(grad_lse + lse_row, mask=inside, other=0.0)
