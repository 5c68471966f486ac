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
    inside = label_counts(labels, num_labels).clamp(min=1).unsqueeze(2)
    # In 16 bits a sum of many pixels is not finite, or rounded: divide before it is stored.
    return ((masks / inside).to(pixels.dtype) @ pixels).to(pixels.dtype)


def label_counts(labels: Tensor, num_labels: int) -> Tensor:
    """labels (B, h, w), none outside [0, L) -> pixels of each label, float64 (B, L)."""
    known = (labels >= 0) & (labels < num_labels)
    slots = torch.where(known, labels, num_labels).flatten(1).long()
    counts = torch.zeros(labels.shape[0], num_labels + 1, dtype=torch.int64, device=labels.device)
    return counts.scatter_add(1, slots, torch.ones_like(slots))[:, :num_labels].double()
