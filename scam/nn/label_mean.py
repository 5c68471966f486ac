# SPDX-License-Identifier: Apache-2.0
"""Means of features over the pixels of each label."""

import torch
from torch import Tensor

from scam.nn.pyramid import one_hot
from scam.ops import semantic_cross_attention


def label_mean(features: Tensor, labels: Tensor, num_labels: int, *, fused: bool) -> Tensor:
    """features (B, C, h, w), labels (B, h, w), below 0 for none -> (B, L, C), absent ones 0.

    The fused form is semantic cross attention with one query of zeros per label, which weighs
    the pixels of its label alike; it reads every pixel once, whatever L is.
    """
    pixels = features.flatten(2).transpose(1, 2)
    if fused:
        query = pixels.new_zeros(pixels.shape[0], 1, num_labels, pixels.shape[2])
        number = torch.arange(num_labels, dtype=labels.dtype, device=labels.device)
        found = semantic_cross_attention(
            query, pixels.unsqueeze(1), None, number, labels.flatten(1)
        )
        return found.squeeze(1)
    masks = one_hot(labels, num_labels).flatten(2).to(pixels.dtype)
    return masks @ pixels / masks.sum(2, keepdim=True).clamp(min=1)
