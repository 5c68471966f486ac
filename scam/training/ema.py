# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of a module's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """Average the weights of ``module`` over its updates; buffers are copied, not averaged.

    After ``t`` updates the next one keeps ``min(decay, (1 + t) / (10 + t))`` of the average, so
    that early on the initial weights are soon forgotten. Averages are held in fp32 (fp64 for fp64
    weights), on the devices the weights are on now: move the module first.

    Args:
        module: the networks to average, several of them in an ``nn.ModuleDict``.
        decay: what an update keeps of the average in the long run, from 0 to below 1.

    Raises:
        ValueError: ``decay`` outside that range.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.module = module
        self.decay = decay
        self.t = 0
        live = self._live()
        self._shadow = {name: _widened(tensor).clone() for name, tensor in live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's present weights into the average."""
        decay = min(self.decay, (1 + self.t) / (10 + self.t))
        live = self._live()
        averaged = [name for name, tensor in live.items() if _is_weight(tensor)]
        copied = [name for name in live if name not in set(averaged)]
        if averaged:
            torch._foreach_lerp_(
                [self._shadow[name] for name in averaged],
                [_widened(live[name]) for name in averaged],
                1 - decay,
            )
        _copy([self._shadow[name] for name in copied], [live[name] for name in copied])
        self.t += 1

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """Let the module hold the averaged weights within the block, then exactly its own again.

        Not to be nested, and no update within.
        """
        live = self._live()
        kept = [tensor.detach().clone() for tensor in live.values()]
        try:
            _copy(list(live.values()), [self._shadow[name] for name in live])
            yield self.module
        finally:
            _copy(list(live.values()), kept)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs: ``t`` and the tensors by name, not copied."""
        return {"t": self.t, "tensors": dict(self._shadow)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, to the bit.

        Raises:
            ValueError: it was taken from another module: names or shapes differ.
        """
        tensors: dict[str, Tensor] = state["tensors"]
        if other := tensors.keys() ^ self._shadow.keys():
            raise ValueError(f"the average is of another model: only one has {min(other)}")
        for name, own in self._shadow.items():
            if tensors[name].shape != own.shape:
                raise ValueError(
                    f"the average is of another model: {name} has shape "
                    f"{tuple(tensors[name].shape)}, expected {tuple(own.shape)}"
                )
        _copy(list(self._shadow.values()), [tensors[name] for name in self._shadow])
        self.t = int(state["t"])

    def _live(self) -> dict[str, Tensor]:
        # Looked up anew each time, since modules may assign a new tensor to a buffer; a tensor
        # shared under several names counts once, or it would be averaged twice.
        unique = {id(tensor): (name, tensor) for name, tensor in _tensors(self.module).items()}
        return dict(unique.values())


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    state = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _is_weight(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.is_floating_point()


def _widened(tensor: Tensor) -> Tensor:
    dtype = tensor.dtype
    if _is_weight(tensor):
        dtype = torch.promote_types(dtype, torch.float32)
    return tensor.detach().to(dtype)


@torch.no_grad()
def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(targets, sources)
