# SPDX-License-Identifier: Apache-2.0
"""A model's noise, drawn before anything is generated."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from scam.errors import InputError

Noise = torch.Generator | Sequence[torch.Generator]
"""Where noise comes from: one source for a batch, or one per image, so that an image's noise
does not depend on the batch it is in."""


def draw_noise(
    noise: Noise, batch: int, shapes: Sequence[tuple[int, ...]], device: torch.device
) -> list[Tensor]:
    """Standard normal numbers (B, *shape) for every shape. InputError unless B sources."""
    if isinstance(noise, torch.Generator):
        return [torch.randn(batch, *shape, generator=noise, device=device) for shape in shapes]
    if len(noise) != batch:
        raise InputError(f"noise has {len(noise)} generators, expected one per image: {batch}")
    counts = [prod(shape) for shape in shapes]
    flat = [torch.randn(sum(counts), generator=source, device=device) for source in noise]
    parts = torch.stack(flat).split(counts, dim=1)
    return [part.view(batch, *shape) for part, shape in zip(parts, shapes, strict=True)]
