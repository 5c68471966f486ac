# SPDX-License-Identifier: Apache-2.0
"""How the paper's baselines were trained: by their authors, and as copied by SCAM's authors.

Names are those of ``scam.synthesis``'s settings. Lengths and batches are left to who trains.
"""

from collections.abc import Mapping
from typing import Any, Literal

Fidelity = Literal["matched", "paper", "released"]
"""Of a baseline: the authors' networks trained as SCAM is; everything as the authors had it; or
the copies that SCAM was compared with."""

PUBLISHED: Mapping[str, Any] = {"optimizer": "adamw", "recolour": 0.0, "warp": 0.0}
"""What all published training has in common: Adam, and images as they are, but for flips."""
_COMMON: dict[str, Any] = {
    **PUBLISHED,
    "lr": 1e-4,
    "lr_discriminator": 4e-4,
    "weight_decay": 0.0,
    "warmup": 0,
    "max_grad_norm": 0.0,
    "ema": 0.0,
    "l1": 0.0,
    "gan_from": 0,
    "discriminator": "patch",
    "feature_matching": 10.0,
    "perceptual": "vgg19",
    "vgg_normalise": False,
}
RELEASED: Mapping[str, Any] = {**_COMMON, "betas": (0.0, 0.999), "flip": False}
"""Of SCAM's copies, whichever."""
# Rates fall over the second half: SEAN's code, SPADE's and GroupDNet's longer runs.
PAPER: Mapping[str, Any] = {**_COMMON, "betas": (0.0, 0.9), "fresh_fake": True, "decay_from": 0.5}
"""Of SPADE's, CLADE's and GroupDNet's authors; the other models depart from it."""
