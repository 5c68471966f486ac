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
        help="gradient steps, such as 100, that fit the latents to their image: sharper and "
        "slower (default: 0)",
    )
