# SPDX-License-Identifier: Apache-2.0
"""Tile shapes by memory order: a fixed table, nothing is tuned at run time.

A result's last bits depend on the tile, so an entry may change only with a new version of scam.
"""

from scam.kernels.sca_triton.configs import Config

TABLE = {
    # kernel, whether pixels adjoin in memory, else channels
    ("apply", True): Config(64, 32, 4, 1),
    ("apply", False): Config(32, 64, 4, 1),
    ("rows", True): Config(32, 32, 4, 1),  # 64-bit offsets of each number take registers
    ("rows", False): Config(32, 64, 8, 1),
}


def config(kernel: str, pixels_adjoin: bool, channels: int) -> Config:
    """The entry of ``apply``, or of the sums over ``rows``."""
    found = TABLE[kernel, pixels_adjoin]
    return found._replace(chunk=min(found.chunk, max(16, 1 << (channels - 1).bit_length())))
