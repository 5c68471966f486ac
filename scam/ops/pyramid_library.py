# SPDX-License-Identifier: Apache-2.0
"""``scam::label_pyramid``: label maps of lower resolution, on a GPU in a few launches."""

from typing import Any

import torch
from torch import Tensor

from scam.ops.constant import constant_when_compiled
from scam.ops.problem import MINIMUM_CAPABILITY, capability_of
from scam.ops.registration import as_saved, define

_SCHEMA = (
    "label_pyramid(Tensor labels, SymInt num_labels, int first, int last) -> "
    "(Tensor maps, Tensor coarse, Tensor present)"
)


def served(labels: Tensor, num_labels: int) -> bool:
    """Whether :func:`label_pyramid` can make the maps of ``labels``; else PyTorch has to."""
    return labels.is_cuda and _served(num_labels, capability_of(labels.device))


@constant_when_compiled
def _served(num_labels: int, capability: tuple[int, int] | None) -> bool:
    from scam.ops.backends import triton_launch, triton_pyramid

    able = capability is None or capability >= MINIMUM_CAPABILITY
    return able and triton_launch.installed() and num_labels <= triton_pyramid.MOST_LABELS


def _label_pyramid(labels: Tensor, num_labels: int, first: int, last: int) -> tuple[Tensor, ...]:
    from scam.ops.backends import triton_pyramid

    with torch.cuda.device_of(labels):
        return triton_pyramid.label_pyramid(labels, num_labels, first, last)


def _fake(labels: Tensor, num_labels: Any, first: int, last: int) -> tuple[Tensor, ...]:
    batch, height, width = labels.shape
    cells: Any = 0
    for level in range(first, last + 1):
        cells = cells + -(-height // (1 << level)) * -(-width // (1 << level))
    return (
        labels.new_empty((batch, height, width), dtype=torch.int32),
        labels.new_empty((batch, cells), dtype=torch.int32),
        labels.new_empty((batch, num_labels), dtype=torch.bool),
    )


label_pyramid = define(_SCHEMA, _label_pyramid, _fake, as_saved)
"""labels (B, H, W), any integer dtype -> int32 maps (B, H, W), -1 where labels are not in
[0, num_labels); coarse (B, cells), levels ``first`` >= 1 to ``last`` one after the other; present
(B, num_labels), bool. The rule is that of :func:`scam.nn.coarse_labels.coarse_maps`."""
