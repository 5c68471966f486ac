# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.semia evaluate``."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> None:
    """To come."""
