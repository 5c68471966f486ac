# SPDX-License-Identifier: Apache-2.0
"""Gradient checkpointing: what happens inside a block is forgotten and computed again."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def checkpointed(block: Callable[..., Result], *args: Any, on: bool) -> Result:
    """``block(*args)``; where ``on`` autograd keeps what enters and leaves it, no more.

    ``block`` must draw no random numbers. Results and gradients are the same bits either way.
    """
    if not on or not torch.is_grad_enabled():
        return block(*args)
    result: Result = checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)
    return result
