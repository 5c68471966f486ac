# SPDX-License-Identifier: Apache-2.0
"""Rivals: other ways to compute the same attention or modulation with what PyTorch offers."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from scam.testing import Inputs

Attend = Callable[[Inputs], Tensor]
"""Inputs of the op -> out (B, H, Nq, Dv)."""


@dataclass(frozen=True)
class Peer:
    """One contender.

    Attributes:
        name: as tables show it.
        kind: ``ours``, ``dense`` (every pixel meets every latent) or ``sparse``.
        prepare: inputs -> function of inputs. What happens in here is not timed.
        refuses: (inputs, backward) -> why it cannot run, or None.
        compiled: needs torch.compile, which takes seconds to minutes before the first call.
        waits: the host reads group sizes from the device, so no CUDA graph can hold it.
    """

    name: str
    kind: str
    prepare: Callable[[Inputs], Attend]
    refuses: Callable[[Inputs, bool], str | None] = lambda inputs, backward: None
    compiled: bool = False
    waits: bool = False


def ungrouped(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, the keys standing in where values are absent."""
    return inputs.query, inputs.key, inputs.key if inputs.value is None else inputs.value
