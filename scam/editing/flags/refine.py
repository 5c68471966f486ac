# SPDX-License-Identifier: Apache-2.0
"""``--refine``: of every command that encodes pictures to edit them."""

import argparse


def add_refine(parser: argparse.ArgumentParser) -> None:
    """See ``--help``."""
    parser.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="STEPS",
        help="fit latents to their picture by so many steps of gradient descent, which brings "
        "patterns that the encoder misses: about 20 (default: 0)",
    )
