# SPDX-License-Identifier: Apache-2.0
"""Normalisation without parameters."""

import torch.nn.functional as F
from torch import Tensor


def instance_norm(x: Tensor) -> Tensor:
    """Each channel of each image of x (B, C, H, W) to mean 0, biased variance 1 (eps 1e-5).

    As a group norm of single channels: on a CPU the gradient of ``F.instance_norm`` is wrong for
    one image when the gradient that arrives is channels-last (torch 2.15).
    """
    return F.group_norm(x, x.shape[1])
