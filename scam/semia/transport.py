# SPDX-License-Identifier: Apache-2.0
"""Transport: pixels of the target read pixels of the source that have their label."""

import torch
from torch import Tensor, nn

from scam.ops import semantic_cross_attention


class Transport(nn.Module):
    """Add to target features what their label's pixels in the source hold, where it fits.

    Which fits is learned: queries are made of image and label features of the target, keys of
    those of the source. Memory grows with the pixels, not with their product.

    Args:
        channels: of image and label features.
        width: of queries and keys.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(2 * channels, width, 1, bias=False)
        self.key = nn.Conv2d(2 * channels, width, 1, bias=False)
        self.value = nn.Conv2d(channels, width, 1, bias=False)
        self.leave = nn.Conv2d(width, channels, 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        x: Tensor,
        around: Tensor,
        labels: Tensor,
        source_x: Tensor,
        source_around: Tensor,
        source_labels: Tensor,
    ) -> Tensor:
        """x and around, image and label features of the target: (B, C, h, w); labels (B, h, w).

        The same of the source, of any size. Returns (B, C, h, w).
        """
        query = self.query(torch.cat([x, around], 1))
        source = torch.cat([source_x, source_around], 1)
        read = semantic_cross_attention(
            _tokens(query),
            _tokens(self.key(source)),
            _tokens(self.value(source_x)),
            labels.flatten(1).int(),
            source_labels.flatten(1).int(),
        )
        read = read.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])
        moved: Tensor = x + self.leave(read)
        return moved


def _tokens(maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 1, h * w, C)."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)
