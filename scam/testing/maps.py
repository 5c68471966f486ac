# SPDX-License-Identifier: Apache-2.0
"""What the ops on feature maps share: their arguments as one thing, memory orders, gradients."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

MAPS = ("channels_first", "channels_last", "sliced")


@dataclass(frozen=True)
class Arguments:
    """Arguments of an op; a subclass has a field for each, named like the op's parameter.

    Attributes:
        constant: names of those that get no gradient.
        wide: names of those that stay fp32 where the others are narrower.
    """

    constant: ClassVar[tuple[str, ...]] = ()
    wide: ClassVar[tuple[str, ...]] = ()

    def to(self, dtype: torch.dtype) -> Self:
        """The same numbers in another dtype."""
        widest = torch.promote_types(dtype, torch.float32)
        floating = {
            name: tensor.to(widest if name in self.wide else dtype)
            for name, tensor in self._floating().items()
        }
        return replace(self, **floating)

    def leaves(self) -> Self:
        """The same memory, with gradients collected separately."""
        leaves = {
            name: tensor.detach().requires_grad_()
            for name, tensor in self._floating().items()
            if name not in self.constant
        }
        return replace(self, **leaves)

    def arguments(self) -> dict[str, Any]:
        """By the names of the op's parameters."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def gradients(self) -> dict[str, Tensor]:
        """``grad_<name>`` of every leaf that has one."""
        held = {name: tensor.grad for name, tensor in self._floating().items()}
        return {f"grad_{name}": grad for name, grad in held.items() if grad is not None}

    def _floating(self) -> dict[str, Tensor]:
        return {
            name: value
            for name, value in self.arguments().items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }


def lay_out_map(x: Tensor, memory: str) -> Tensor:
    """x (B, C, H, W) in an order of ``MAPS``; the numbers around a sliced one are NaN."""
    if memory == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if memory == "sliced":
        wider = x.new_full((*x.shape[:-1], x.shape[-1] + 3), torch.nan)
        wider[..., 1:-2] = x
        return wider[..., 1:-2]
    if memory != "channels_first":
        raise ValueError(f"memory: expected one of {', '.join(MAPS)}, got {memory!r}")
    return x


def drawn_gradient(
    y: Tensor, *, dtype: torch.dtype, comparable: Tensor | None = None, seed: int = 1
) -> Tensor:
    """The gradient of y of a map-shaped result as every outcome draws it, rounded to ``dtype``."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(y.shape, generator=random, dtype=torch.float64)
    if comparable is not None:
        drawn = drawn.masked_fill(~comparable.to(drawn.device), 0)
    return drawn.to(dtype).to(y.device, y.dtype)
