# SPDX-License-Identifier: Apache-2.0
"""Muon: momentum whose matrices are made orthogonal before each step.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from scam.training.precision import gpu_multiplies_bfloat16

MOMENTUM = 0.95
LEAST_SIDE = 8
"""Of a matrix: the few directions of a smaller one are left to AdamW."""
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_LEAST_NORM = 1e-7


def muon(
    module: nn.Module,
    lr: float,
    lr_muon: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> "Muon":
    """Muon at ``lr_muon`` over the weights of linear layers and convolutions of ``module``, AdamW
    at ``lr`` over all else: biases, norms, tables, matrices with a side below LEAST_SIDE.

    A convolution's weight is a matrix of its first dimension by the rest, in each of its groups.
    """
    found: dict[nn.Parameter, int] = {}
    for layer in module.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            continue
        weight, count = _raw_weight(layer), getattr(layer, "groups", 1)
        if min(_matrices(weight, count).shape[1:]) >= LEAST_SIDE:
            found[weight] = count
    groups: list[dict[str, Any]] = [
        {"params": [p for p in module.parameters() if p not in found]},
        *(
            {
                "params": [p for p, own in found.items() if own == count],
                "lr": lr_muon,
                "momentum": MOMENTUM,
                "matrices": count,
            }
            for count in sorted(set(found.values()))
        ),
    ]
    return Muon(groups, lr, betas, weight_decay=weight_decay, fused=True)


class Muon(torch.optim.AdamW):
    """Muon in groups of parameters that have ``momentum``, AdamW, fused, in the others.

    ``matrices``, of a group with momentum, says how many lie below each other in a weight. A step
    takes the gradients of those groups away. It looks at ``found_inf``, as the fused AdamW does,
    without a wait: where that is not 0, weights and momentum stay. Gradients are unscaled before.

    Why not ``torch.optim.Muon``: it takes 2-D parameters alone, and no ``found_inf``; it
    multiplies in bfloat16, slow on most CPUs, and one matrix after the other.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; ``closure``: see :meth:`torch.optim.Optimizer.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "momentum" in group:
                alike: dict[object, list[nn.Parameter]] = {}
                for p in group["params"]:
                    if p.grad is not None:
                        alike.setdefault((p.shape, p.dtype, p.device), []).append(p)
                for parameters in alike.values():
                    self._step_alike(parameters, group)
        super().step()
        return loss

    def _step_alike(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Step ``parameters`` of equal shapes: their matrices are multiplied in one call."""
        count, momentum, lr = group["matrices"], group["momentum"], group["lr"]
        states = [self._state(p) for p in parameters]
        averages = [state["momentum_buffer"] for state in states]
        gradients = [p.grad for p in parameters if p.grad is not None]
        weight, average, gradient = (
            torch.cat([_matrices(x, count) for x in tensors])
            for tensors in (parameters, averages, gradients)
        )
        averaged = average.lerp(gradient, 1 - momentum)
        direction = orthogonalised(gradient.lerp(averaged, momentum))
        rows, columns = weight.shape[1:]
        moved = weight * (1 - lr * group["weight_decay"])
        moved.sub_(direction, alpha=lr * math.sqrt(max(1, rows / columns)))
        found_inf = getattr(self, "found_inf", torch.zeros((), device=weight.device))
        skipped = found_inf.reshape(()) > 0
        olds: list[list[Tensor]] = [list(parameters), averages]
        for old, was, new in zip(olds, (weight, average), (moved, averaged), strict=True):
            kept = torch.where(skipped, was, new).split(count)
            torch._foreach_copy_(old, [x.reshape(parameters[0].shape) for x in kept])
        torch._foreach_add_([state["step"] for state in states], (~skipped).float())
        for parameter in parameters:
            parameter.grad = None  # AdamW passes by what has none

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What is kept of ``parameter``; ``step``, as AdamW counts: it looks for one."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest matrices with orthonormal rows or columns, roughly: what was a singular value
    becomes one between 0.68 and 1.21 (bfloat16: 0.6 and 1.3), if it is 1/600 of the norm or more.

    matrices: (N, rows, columns); 0 stays 0. Five Newton-Schulz iterations, in bfloat16 on GPUs
    that multiply it, else in their own dtype.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=_LEAST_NORM)
    if gpu_multiplies_bfloat16(x.device):
        x = _iterated(x.bfloat16())
    elif x.shape[-1] >= 2 * x.shape[-2]:
        x = _iterated_gram(x)
    else:
        x = _iterated(x)
    return (x.mT if tall else x).to(matrices.dtype)


def _iterated(x: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _iterated_gram(x: Tensor) -> Tensor:
    """The same for wide matrices, whose columns meet twice instead of ten times: every iterate is
    a polynomial of the Gram matrix times ``x``, and these commute. A tenth of the time for 128 x
    2304. Not in bfloat16, in which a Gram matrix has lost the small singular values.
    """
    a, b, c = _COEFFICIENTS
    gram = x @ x.mT
    product: Tensor | None = None
    for _ in range(_ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    assert product is not None
    return product @ x


def _matrices(weight: Tensor, count: int) -> Tensor:
    """(count, rows, columns) of a weight with ``count * rows`` rows."""
    return weight.detach().reshape(count, len(weight) // count, -1)


def _raw_weight(layer: nn.Module) -> nn.Parameter:
    """The parameter behind ``layer.weight``, which a spectral norm may compute from it."""
    if parametrize.is_parametrized(layer, "weight"):
        layer = cast(nn.ModuleDict, layer.parametrizations)["weight"]
        return cast(nn.Parameter, layer.original)
    return cast(nn.Parameter, layer.weight)
