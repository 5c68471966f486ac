# SPDX-License-Identifier: Apache-2.0
"""Which labels are the subject's, and where they are."""

import torch
from torch import Tensor

from scam.evaluation.pictures import Painter


def subject_labels(painter: Painter, labels: Tensor) -> Tensor:
    """Those of the labels (B, L) bool that do not belong to the scene."""
    numbers = torch.arange(labels.shape[1], device=labels.device)
    return labels & ~painter.is_background(numbers)


def pixels_of(labels: Tensor, chosen: Tensor) -> Tensor:
    """Where a map (B, H, W) holds one of the labels ``chosen`` (B, L) bool: bool (B, H, W)."""
    slots = labels.clamp(min=0).flatten(1).long()
    return (labels >= 0) & chosen.gather(1, slots).view_as(labels)
