# SPDX-License-Identifier: Apache-2.0
"""Maps and tokens of any strides, with offsets no wider than they must be.

A tensor (B, H, N, C) comes as in :mod:`scam.kernels.sca_triton.rows`; a map is (B, 1, pixels,
channels), what is per channel (pointer, stride of B, stride of C). Offsets from a batch element
on have the dtype of ``item``: registers are what these kernels are short of.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import UPCAST


@triton.jit
def load_items(order, position, inside, WIDE: tl.constexpr):
    """Item numbers at positions of a sorted order; WIDE: 64-bit."""
    item = tl.load(order + position, mask=inside, other=0)
    return item.to(tl.int64) if WIDE else item


@triton.jit
def load_run(order, begin, end, COUNT: tl.constexpr, WIDE: tl.constexpr):
    """COUNT item numbers from ``begin`` on, and which of them are before ``end``."""
    inside = begin + tl.arange(0, COUNT) < end
    return load_items(order, begin + tl.arange(0, COUNT), inside, WIDE), inside


@triton.jit
def load_rows(tensor, b, h, item, inside, chunk, channels, CHUNK: tl.constexpr):
    """(rows, CHUNK) of items of heads ``h``, one or a head each; zeros outside."""
    base = tensor[0] + b * tensor[1]
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    row, column = h * tensor[2] + item * tensor[3], channel.to(item.dtype) * tensor[4]
    known = channel < channels
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        loaded = tl.trans(tl.load(base + (row[None, :] + column[:, None]), mask, other=0.0))
    else:
        mask = inside[:, None] & known[None, :]
        loaded = tl.load(base + (row[:, None] + column[None, :]), mask, other=0.0)
    return loaded.to(tl.float32) if UPCAST else loaded


@triton.jit
def store_rows(tensor, b, item, inside, chunk, channels, numbers, CHUNK: tl.constexpr):
    """Write (rows, CHUNK) of a map, rounded to its dtype."""
    base = tensor[0] + b * tensor[1]
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    row, column = item * tensor[3], channel.to(item.dtype) * tensor[4]
    known = channel < channels
    numbers = numbers.to(tensor[0].dtype.element_ty)
    if tensor[5]:
        mask = inside[None, :] & known[:, None]
        tl.store(base + (row[None, :] + column[:, None]), tl.trans(numbers), mask)
    else:
        mask = inside[:, None] & known[None, :]
        tl.store(base + (row[:, None] + column[None, :]), numbers, mask)


@triton.jit
def load_channels(tensor, b, chunk, channels, CHUNK: tl.constexpr):
    """(1, CHUNK), fp32."""
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    at = tensor[0] + b * tensor[1] + channel * tensor[2]
    return tl.load(at, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
