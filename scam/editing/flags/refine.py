# SPDX-License-Identifier: Apache-2.0
"""``--refine``: of every command that encodes images to edit them."""

import argparse


def add_refine(parser: argparse.ArgumentParser) -> None:
    """See ``--help``."""
    parser.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="STEPS",
        help="fit latents to their image by gradient descent: 100 for edits of that image, "
        "about 5 for transfers into another (default: 0)",
    )
