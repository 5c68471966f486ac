# SPDX-License-Identifier: Apache-2.0
"""The generator's noise, drawn before anything is painted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from scam.errors import InputError

Noise = torch.Generator | Sequence[torch.Generator]
"""Where noise comes from: one source for a batch, or one per picture, so that a picture's noise
does not depend on the batch it is in."""


def draw_noise(
    noise: Noise, batch: int, sizes: Sequence[tuple[int, int]], device: torch.device
) -> list[Tensor]:
    """A standard normal field (B, 1, h, w) for every size (h, w). InputError unless B sources."""
    if isinstance(noise, torch.Generator):
        return [torch.randn(batch, 1, *size, generator=noise, device=device) for size in sizes]
    if len(noise) != batch:
        raise InputError(f"noise has {len(noise)} generators, expected one per picture: {batch}")
    counts = [height * width for height, width in sizes]
    flat = [torch.randn(sum(counts), generator=source, device=device) for source in noise]
    fields = torch.stack(flat).split(counts, dim=1)
    return [field.view(batch, 1, *size) for field, size in zip(fields, sizes, strict=True)]
