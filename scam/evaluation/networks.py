# SPDX-License-Identifier: Apache-2.0
"""How metrics use the networks of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scam.pretrained.weights import package
from scam.training import perceptual

LPIPS_TRUNKS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}  # torchvision's


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions in fp32 and repeatable on a GPU, whose own choice, TF32, moves distances."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark
    cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = "ieee", True, False
    try:
        yield
    finally:
        cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = before


def lpips_distance(net: str, weights: Path) -> nn.Module:
    """As :func:`scam.training.perceptual.lpips_distance`; MissingError without package lpips."""
    package("lpips")
    return perceptual.lpips_distance(net, weights)
