# SPDX-License-Identifier: Apache-2.0
"""Adversarial losses on the logit maps of every discriminator scale."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_generator(fake: list[Tensor]) -> Tensor:
    """``-mean(D(fake))``, averaged over scales; each entry is (B, 1, p, q)."""
    return torch.stack([-logits.mean() for logits in fake]).mean()


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """``mean(relu(1 - D(real))) + mean(relu(1 + D(fake)))``, averaged over scales."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in pairs]).mean()
