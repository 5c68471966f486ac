# SPDX-License-Identifier: Apache-2.0
"""Memory in which nothing is right by luck."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fill memory that PyTorch hands out uninitialised with NaN (the largest number, for ints).

    Covers ``torch.empty`` and its kin in Python and inside compiled operators. A result that
    some kernel forgot to write is NaN, not by luck 0.
    """
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]
