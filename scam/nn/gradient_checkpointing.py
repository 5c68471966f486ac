# SPDX-License-Identifier: Apache-2.0
"""Gradient checkpointing: what happens inside a block is forgotten and computed again."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from scam.ops.dispatch import forced, use_backend

Result = TypeVar("Result")


def checkpointed(block: Callable[..., Result], *args: Any, on: bool) -> Result:
    """``block(*args)``; where ``on`` autograd keeps what enters and leaves it, no more.

    ``block`` must draw no random numbers. Results and gradients are the same bits either way: it
    is computed again by the same backend, though in a thread of autograd's on a GPU.
    """
    if not on or not torch.is_grad_enabled():
        return block(*args)
    again: dict[str, Any] = {}
    if (name := forced()) is not None:
        again["context_fn"] = lambda: (nullcontext(), use_backend(name))
    result: Result = checkpoint(
        block, *args, use_reentrant=False, preserve_rng_state=False, **again
    )
    return result
