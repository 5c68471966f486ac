# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of a module's weights, in a copy of the module."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Average:
    """A copy of ``module``, in evaluation mode, of its average weights; buffers are copied.

    After ``t`` updates the next one keeps ``min(decay, (1 + t) / (10 + t))`` of the average, so
    that early on the initial weights are soon forgotten. The copy has 32 bits or more and is on
    the module's device: move the module first, and compile it later.

    Raises ValueError unless ``decay`` is at least 0 and below 1.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self.t = 0
        """Updates so far."""
        self.module: nn.Module = copy.deepcopy(module).eval()
        # Not torch.optim.swa_utils.AveragedModel, which takes four times as long for hundreds of
        # small weights.
        self._average: list[torch.Tensor] = list(self.module.parameters())
        self._live: list[torch.Tensor] = list(module.parameters())
        modules = zip(self.module.modules(), module.modules(), strict=True)
        self._with_buffers = [pair for pair in modules if pair[1]._buffers]

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's present weights into the average."""
        decay = min(self.decay, (1 + self.t) / (10 + self.t))
        torch._foreach_lerp_(self._average, self._live, 1 - decay)
        for average, live in self._with_buffers:
            for name, buffer in live.named_buffers(recurse=False):
                average.get_buffer(name).copy_(buffer)
        self.t += 1

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs: ``t`` and the tensors by name, not copied."""
        return {"t": self.t, "tensors": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, to the bit."""
        self.module.load_state_dict(state["tensors"])
        self.t = int(state["t"])
