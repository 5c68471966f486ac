# SPDX-License-Identifier: Apache-2.0
"""How an operator is made known to PyTorch: schema, kernels, autograd, autocast.

The only file that uses ``torch.library``. Each operator carries the name of the backend that was
chosen, so a compiled graph states what it runs.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)
_library = torch.library.Library("scam", "FRAGMENT")

Kernel = Callable[..., Any]


def define(schema: str, kernel: Kernel, fake: Kernel, cast_inputs: Kernel) -> Any:
    """Register ``scam::<schema>`` for CPU and CUDA tensors and return the operator.

    Args:
        schema: name, arguments (all positional) and results.
        kernel: computes the results.
        fake: makes their shapes, dtypes and strides.
        cast_inputs: the arguments in autocast's dtypes.
    """
    _library.define(schema, tags=_TAGS)
    name = schema.partition("(")[0]
    for device in ("CPU", "CUDA"):
        _library.impl(name, kernel, device)
    torch.library.register_fake(f"scam::{name}", fake, lib=_library)
    op = getattr(torch.ops.scam, name).default
    for key in ("AutocastCPU", "AutocastCUDA"):
        _register_autocast(op, cast_inputs, key)
    return op


def define_constant(schema: str, kernel: Kernel, fake: Kernel) -> Any:
    """Register ``scam::<schema>``, which is given no tensor, and return the operator.

    A compiled graph calls it where tracing ``kernel`` would put its work into every pass.
    """
    _library.define(schema, tags=torch.Tag.pt2_compliant_tag)
    name = schema.partition("(")[0]
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"scam::{name}", fake, lib=_library)
    return getattr(torch.ops.scam, name).default


def as_saved(*args: Any) -> tuple[Any, ...]:
    """The ``cast_inputs`` of a backward operator: nothing to cast."""
    return args


def returnable(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    """The results of a backward operator: a schema cannot return an optional tensor.

    Args:
        gradients: the first is not None.
    """
    first = gradients[0]
    assert first is not None
    return tuple(first.new_empty(0) if gradient is None else gradient for gradient in gradients)


def register_autograd(op: Any, public_name: str, function: type[torch.autograd.Function]) -> None:
    """As torch.library.register_autograd, whose bookkeeping costs 0.1 ms for a dozen arguments.

    What the kernels cannot give, forward-mode gradients and the gradients of torch.func, is
    refused: below autograd a tangent would be lost without a word.
    """

    def differentiable(*args: Any) -> Any:
        if forward_ad._current_level >= 0 and any(map(_has_tangent, args)):
            raise NotImplementedError(
                f"{public_name}: the fused backends have no forward-mode gradients; "
                "pass backend='reference'"
            )
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            if torch._C._are_functorch_transforms_active():
                raise NotImplementedError(
                    f"{public_name}: the fused backends have no gradients under torch.func; "
                    "pass backend='reference'"
                )
            return function.apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    _library.impl(op._opname, differentiable, "Autograd")


def first_order_only(op: Any, public_name: str) -> None:
    """Register a backward operator's own gradient: an error in words."""

    class FirstOrderOnly(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
            with torch._C._AutoDispatchBelowAutograd():
                return op(*inputs)

        @staticmethod
        def backward(ctx: Any, *_: Tensor | None) -> NoReturn:
            raise NotImplementedError(
                f"{public_name}: the fused backends give first-order gradients only; "
                "pass backend='reference' to differentiate a gradient"
            )

    register_autograd(op, public_name, FirstOrderOnly)


def _has_tangent(x: Any) -> bool:
    return isinstance(x, Tensor) and forward_ad.unpack_dual(x).tangent is not None


def _register_autocast(op: Any, prepare: Kernel, name: str) -> None:
    """``torch.library.register_autocast`` fixes one dtype and would cast lse; hence by hand."""
    key = getattr(torch._C.DispatchKey, name)

    @op.py_impl(key)
    def autocast(*args: Any) -> Any:
        args = prepare(*args)  # outside the guard: inside, autocast looks switched off
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            return op(*args)

    _library.impl(op._opname, lambda _, *args: autocast(*args), name, with_keyset=True)
