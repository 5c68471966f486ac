# SPDX-License-Identifier: Apache-2.0
"""Tile shapes by architecture, dtype and width: a fixed table, nothing is tuned at run time.

A result's last bits depend on the tile, so an entry may change only with a new version of scam.
"""

from typing import NamedTuple


class Config(NamedTuple):
    """How a kernel is launched.

    Attributes:
        tile: wide items handled together.
        chunk: the most channels handled together, a power of two.
        warps, stages: of Triton.
    """

    tile: int
    chunk: int
    warps: int
    stages: int


NARROW = 16
"""Narrow items handled together: the least that a 16-bit matrix product takes, twice k = 8."""

PARTS = 16
"""Partial rows added at a time in second stages."""

Table = dict[tuple[str, int, int], Config]

TABLE: Table = {
    # kernel, bytes per number, channels up to
    ("queries_forward", 2, 64): Config(64, 64, 4, 2),
    ("queries_forward", 2, 128): Config(64, 128, 4, 2),
    ("queries_forward", 2, 256): Config(32, 256, 4, 2),
    ("queries_backward", 2, 64): Config(64, 64, 4, 3),
    ("queries_backward", 2, 128): Config(32, 128, 8, 3),
    ("queries_backward", 2, 256): Config(32, 256, 8, 3),
    ("keys_forward", 2, 64): Config(64, 64, 4, 3),
    ("keys_forward", 2, 128): Config(64, 128, 4, 3),
    ("keys_forward", 2, 256): Config(32, 256, 4, 2),
    ("keys_backward", 2, 64): Config(64, 64, 4, 3),
    ("keys_backward", 2, 128): Config(32, 128, 4, 3),
    ("keys_backward", 2, 256): Config(32, 256, 8, 3),
    # fp32 products are made without tensor cores, out of registers.
    ("queries_forward", 4, 64): Config(32, 64, 4, 1),
    ("queries_forward", 4, 128): Config(16, 128, 4, 1),
    ("queries_forward", 4, 256): Config(16, 256, 8, 1),
    ("queries_backward", 4, 64): Config(32, 64, 4, 1),
    ("queries_backward", 4, 256): Config(32, 32, 4, 1),
    # Equal chunks: backward takes weights from statistics of forward, so scores are the same sums.
    ("keys_forward", 4, 256): Config(32, 32, 4, 1),
    ("keys_backward", 4, 256): Config(32, 32, 4, 1),
}

SM_8X: Table = {
    # what replaces entries there that spill on compute capability 8.x
    ("queries_backward", 4, 256): Config(32, 64, 8, 1),
    ("keys_forward", 4, 256): Config(32, 64, 4, 1),
    ("keys_backward", 4, 256): Config(32, 64, 8, 1),
}

SM_10X: Table = {
    # likewise on 10.x, where Triton's code for fp32 products takes more registers
    ("queries_backward", 4, 64): Config(32, 64, 8, 1),
}

BY_CAPABILITY = {8: SM_8X, 10: SM_10X}

ITEMS_FAST: Table = {
    # what replaces entries that spill where channels of the wide side are far apart, as in NCHW
    # maps: their offsets take registers, and loads of 2 bytes cannot be asynchronous
    ("queries_forward", 2, 128): Config(64, 128, 8, 2),
    ("queries_backward", 2, 64): Config(32, 64, 8, 1),
    ("queries_backward", 2, 128): Config(16, 128, 8, 1),
    ("queries_backward", 2, 256): Config(16, 256, 8, 1),
    ("keys_forward", 2, 64): Config(64, 64, 8, 1),
    ("keys_forward", 2, 128): Config(32, 128, 8, 2),
    ("keys_forward", 2, 256): Config(16, 256, 8, 1),
    ("keys_backward", 2, 64): Config(32, 64, 8, 1),
    ("keys_backward", 2, 128): Config(16, 128, 8, 1),
    ("keys_backward", 2, 256): Config(16, 256, 8, 1),
}


def config(
    kernel: str, itemsize: int, channels: int, capability: tuple[int, int], items_fast: bool
) -> Config:
    """The entry for a kernel on an architecture, for the larger of D and Dv, and how the wide
    side is laid out in memory."""
    table = TABLE | BY_CAPABILITY.get(capability[0], {})
    return entry(table | ITEMS_FAST if items_fast else table, kernel, itemsize, channels)


def entry(table: Table, kernel: str, itemsize: int, channels: int) -> Config:
    """For the least width that holds ``channels``, else the most; chunks no wider than needed."""
    widths = [width for name, size, width in table if (name, size) == (kernel, itemsize)]
    fitting = [width for width in widths if width >= channels]
    found = table[kernel, itemsize, min(fitting) if fitting else max(widths)]
    return found._replace(chunk=min(found.chunk, max(16, 1 << (channels - 1).bit_length())))
