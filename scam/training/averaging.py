# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of a module's weights, in a copy of the module."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = list[Tensor] | tuple[Tensor, ...]


class Average:
    """A copy of ``module``, in evaluation mode, of its average weights; buffers are copied.

    After ``t`` updates the next one keeps ``min(decay, (1 + t) / (10 + t))`` of the average, so
    that early on the initial weights are soon forgotten. The copy lies where the module, of 32
    bits or more, is now: move that first, and compile it later.

    Raises ValueError unless ``decay`` is at least 0 and below 1.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self._live = module
        self._copy = AveragedModel(module, multi_avg_fn=self._approach)
        self._copy.n_averaged.fill_(1)  # the initial weights
        self.module: nn.Module = self._copy.module.eval()

    @property
    def t(self) -> int:
        """Updates so far."""
        return int(self._copy.n_averaged) - 1

    def update(self) -> None:
        """Take the module's present weights into the average."""
        self._copy.update_parameters(self._live)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs: ``t`` and the tensors by name, not copied."""
        return {"t": self.t, "tensors": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, to the bit."""
        self.module.load_state_dict(state["tensors"])
        self._copy.n_averaged.fill_(int(state["t"]) + 1)

    @torch.no_grad()
    def _approach(self, average: Tensors, live: Tensors, _: Tensor | int) -> None:
        # Not the number that is handed over: on a GPU it would have to be waited for.
        decay = min(self.decay, (1 + self.t) / (10 + self.t))
        torch._foreach_lerp_(average, live, 1 - decay)
