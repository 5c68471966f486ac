# SPDX-License-Identifier: Apache-2.0
"""Maps and tokens of any strides, with offsets no wider than they must be.

A tensor (B, H, N, C) comes as in :mod:`scam.kernels.sca_triton.rows`; a map is (B, 1, pixels,
channels), what is per channel (pointer, stride of B, stride of C). Offsets from a batch element
on have the dtype of ``item``: registers are what these kernels are short of.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import UPCAST

# Where no dimension is known to be dense, as of gathered items, older versions of Triton let lanes
# take neighbouring channels, a cache line each. Newer ones take neighbouring items.
UNDECIDED = tl.constexpr(tuple(map(int, triton.__version__.split(".")[:2])) < (3, 8))


@triton.jit
def load_run(order, begin, end, COUNT: tl.constexpr, WIDE: tl.constexpr):
    """COUNT item numbers from ``begin`` on, and which of them are before ``end``; WIDE: 64-bit.

    Behind the end the last item comes again, so that no load by these numbers needs a mask.
    """
    position = begin + tl.arange(0, COUNT)
    item = tl.load(order + tl.minimum(position, end - 1))
    if UNDECIDED:
        # Items mostly follow each other. No vector load comes of saying so, as nothing is said of
        # alignment.
        item = tl.max_contiguous(item, COUNT)
    return item.to(tl.int64) if WIDE else item, position < end


@triton.jit
def items_of(begin, pixels, WIDE: tl.constexpr, WHOLE: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK pixels from ``begin`` on, and which of them exist: WHOLE, all."""
    item = begin + tl.arange(0, BLOCK)
    inside = tl.full((BLOCK,), True, tl.int1) if WHOLE else item < pixels
    return item.to(tl.int64) if WIDE else item, inside


@triton.jit
def _places(base, row, channel, step):
    """(channels, rows) addresses.

    UNDECIDED: offsets of channels are 64-bit and added last, so that a step that is known when
    compiling, an int here, becomes part of the instructions that load.
    """
    if UNDECIDED and isinstance(step, int):
        return (base + row)[None, :] + (channel.to(tl.int64) * step)[:, None]
    else:
        return base + (row[None, :] + (channel.to(row.dtype) * step)[:, None])


@triton.jit
def load_rows(tensor, b, h, item, inside, chunk, channels, CHUNK: tl.constexpr):
    """(rows, CHUNK) of items of heads ``h``, one or a head each; zeros outside."""
    base = tensor[0] + b * tensor[1]
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    row = h * tensor[2] + item * tensor[3]
    known = channel < channels
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        loaded = tl.trans(tl.load(_places(base, row, channel, tensor[4]), mask, other=0.0))
    else:
        mask = inside[:, None] & known[None, :]
        column = channel.to(item.dtype) * tensor[4]
        loaded = tl.load(base + (row[:, None] + column[None, :]), mask, other=0.0)
    return loaded.to(tl.float32) if UPCAST else loaded


@triton.jit
def load_pixels(tensor, b, item, chunk, channels, CHUNK: tl.constexpr):
    """(pixels, CHUNK) of a map; every item exists. Where pixels are dense, each thread loads four
    channels of one, which it can hand on together."""
    base, row = tensor[0] + b * tensor[1], item * tensor[3]
    if tensor[5]:
        first = _load_quarter(base, row, tensor[4], chunk, channels, CHUNK, 0)
        second = _load_quarter(base, row, tensor[4], chunk, channels, CHUNK, 1)
        third = _load_quarter(base, row, tensor[4], chunk, channels, CHUNK, 2)
        fourth = _load_quarter(base, row, tensor[4], chunk, channels, CHUNK, 3)
        loaded = tl.join(tl.join(first, third), tl.join(second, fourth))
        loaded = tl.reshape(tl.permute(loaded, (1, 0, 2, 3)), (item.shape[0], CHUNK))
    else:
        channel = chunk * CHUNK + tl.arange(0, CHUNK)
        places = base + (row[:, None] + (channel.to(item.dtype) * tensor[4])[None, :])
        if channels % CHUNK == 0:
            loaded = tl.load(places)
        else:
            loaded = tl.load(places, (channel < channels)[None, :], other=0.0)
    return loaded.to(tl.float32) if UPCAST else loaded


@triton.jit
def _load_quarter(base, row, step, chunk, channels, CHUNK: tl.constexpr, PART: tl.constexpr):
    """(CHUNK / 4, rows): every fourth channel from PART on."""
    channel = chunk * CHUNK + PART + 4 * tl.arange(0, CHUNK // 4)
    places = _places(base, row, channel, step)
    if channels % CHUNK == 0:
        return tl.load(places)
    else:
        return tl.load(places, (channel < channels)[:, None], other=0.0)


@triton.jit
def store_rows(tensor, b, item, inside, chunk, channels, numbers, CHUNK: tl.constexpr):
    """Write (rows, CHUNK) of a map, rounded to its dtype."""
    base = tensor[0] + b * tensor[1]
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    row = item * tensor[3]
    known = channel < channels
    numbers = numbers.to(tensor[0].dtype.element_ty)
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        tl.store(_places(base, row, channel, tensor[4]), tl.trans(numbers), mask)
    else:
        mask = inside[:, None] & known[None, :]
        column = channel.to(item.dtype) * tensor[4]
        tl.store(base + (row[:, None] + column[None, :]), numbers, mask)


@triton.jit
def load_channels(tensor, b, chunk, channels, CHUNK: tl.constexpr):
    """(1, CHUNK), fp32."""
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    at = tensor[0] + b * tensor[1] + channel * tensor[2]
    return tl.load(at, mask=channel < channels, other=0.0).to(tl.float32)[None, :]


@triton.jit
def widened(numbers):
    """In fp32; of bf16 by its bits, which takes one instruction each where a cast takes more."""
    if numbers.dtype == tl.bfloat16:
        bits = numbers.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        return bits.to(tl.float32, bitcast=True)
    else:
        return numbers.to(tl.float32)
