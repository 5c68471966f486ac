# SPDX-License-Identifier: Apache-2.0
"""Words that follow numbers."""


def counted(count: int, word: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
