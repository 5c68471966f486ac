# SPDX-License-Identifier: Apache-2.0
"""How metrics use the networks of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
