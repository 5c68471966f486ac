# SPDX-License-Identifier: Apache-2.0
"""Attention weights, as models with attention return them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AttentionMap:
    """One layer at its own resolution, mean over heads.

    labels: (B, h, w), -1 where there is none. weights: (B, h, w, k), k the most latents of any
    label; entry j belongs to the j-th latent of the pixel's label and is 0 where there is none.
    In the generator it is how much of that latent the pixel reads: they sum to 1 over j. In the
    encoder it is how much of the pixel that latent reads: they sum to 1 over the label's pixels.
    """

    labels: Tensor
    weights: Tensor
