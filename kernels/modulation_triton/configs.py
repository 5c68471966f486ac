# SPDX-License-Identifier: Apache-2.0
"""Tile shapes by kernel, dtype and channels: a fixed table, nothing is tuned at run time.

A result's last bits depend on the tile, so an entry may change only with a new version of scam.
"""

from scam.kernels.sca_triton.configs import Config, Table, entry

TABLE: Table = {
    # pass, bytes per number, channels up to
    ("forward", 2, 64): Config(64, 64, 4, 1),
    ("forward", 2, 256): Config(64, 128, 8, 1),
    ("forward", 2, 512): Config(32, 128, 8, 1),  # the tile of 64 spills with many tokens a label
    ("backward", 2, 64): Config(32, 64, 4, 1),
    ("backward", 2, 128): Config(32, 128, 4, 1),
    ("backward", 2, 256): Config(32, 64, 8, 1),
    ("forward", 4, 256): Config(32, 64, 8, 1),
    ("forward", 4, 512): Config(16, 64, 8, 1),
    ("backward", 4, 64): Config(16, 64, 8, 1),
}

MANY_COLUMNS: Table = {
    # what replaces entries that spill or need 100 KB for more than 16 columns: several heads
    ("forward", 2, 64): Config(32, 64, 8, 1),
    ("forward", 2, 256): Config(32, 128, 8, 1),
    ("forward", 2, 512): Config(16, 128, 8, 1),
    ("backward", 2, 64): Config(32, 64, 8, 1),
    ("backward", 2, 128): Config(16, 64, 8, 1),
    ("backward", 2, 256): Config(16, 64, 8, 1),
}

CHANNELS_FAST: Table = {
    # what replaces entries that spill where neighbours in memory are channels
    ("backward", 2, 128): Config(32, 128, 8, 1),
}

STATISTICS = {"PIECE": 4096, "BLOCK": 256, "CHUNK": 16}
"""Pixels per program, pixels and channels handled together in the first look at x."""

MEANS = {"BLOCK": 512, "CHUNK": 16}
"""Pixels and channels per program in the last look at x."""

COLUMNS = 16, 32
"""Least and most columns for tokens; 16 is the least that a 16-bit matrix product takes. With
64, Triton 3.8 fails to compile products with x (TritonGPUOptimizeDotOperands)."""


def config(step: str, itemsize: int, channels: int, in_columns: int, items_fast: bool) -> Config:
    """The entry for ``forward`` or ``backward`` of tokens in so many columns, and how x is laid
    out in memory."""
    table = TABLE if items_fast else TABLE | CHANNELS_FAST
    table = table | MANY_COLUMNS if in_columns > COLUMNS[0] else table
    return entry(table, step, itemsize, channels)


def columns(heads: int, per_label: int) -> tuple[int, int]:
    """HEADS and COLUMNS for about ``per_label`` tokens a label: powers of two."""
    padded = 1 << (heads - 1).bit_length()
    least, most = COLUMNS
    wanted = padded * (1 << max(0, per_label - 1).bit_length())
    count = min(max(wanted, least), most)
    return min(padded, count), count
