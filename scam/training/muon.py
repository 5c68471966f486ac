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
_POLYNOMIALS = (
    (8.0934, -23.6205, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6626, -1.9788, 0.4531),
)
"""Of each iteration ``a x + b x^3 + c x^5``: nearest to 1, at its worst, over what the one before
leaves of [1/100, 1] (N. Amsel et al., "The Polar Express", 2025)."""
_MARGIN = 1.02
"""Above 1 the first polynomial grows fast, and products are rounded."""
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

    ``matrices``, of a group with momentum, says how many are stacked in a weight. A step
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
                finite = torch.zeros((), device=group["params"][0].device)
                skipped = getattr(self, "found_inf", finite).reshape(()) > 0
                taken = (~skipped).float()
                alike: dict[object, list[nn.Parameter]] = {}
                for p in group["params"]:
                    if p.grad is not None:
                        alike.setdefault((p.shape, p.dtype), []).append(p)
                for parameters in alike.values():
                    self._step_alike(parameters, group, skipped, taken)
        super().step()
        return loss

    def _step_alike(
        self,
        parameters: list[nn.Parameter],
        group: dict[str, Any],
        skipped: Tensor,
        taken: Tensor,
    ) -> None:
        """Step ``parameters`` of equal shapes: their matrices are multiplied in one call."""
        count, lr, momentum = group["matrices"], group["lr"], group["momentum"]
        states = [self._state(p) for p in parameters]
        averages = [state["momentum_buffer"] for state in states]
        gradient = torch.cat([_matrices(p.grad, count) for p in parameters if p.grad is not None])
        gradient.masked_fill_(skipped, 0.0)
        average = torch.cat([_matrices(a, count) for a in averages])
        average.lerp_(gradient, (1 - momentum) * taken)
        # Of a step that is not taken this is 0, and so is its direction.
        direction = orthogonalised(gradient.lerp_(average, momentum * taken))
        rows, columns = direction.shape[1:]
        shape = len(parameters), *parameters[0].shape
        weights: list[Tensor] = list(parameters)
        torch._foreach_copy_(averages, list(average.view(shape)))
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"] * taken)
        step = lr * math.sqrt(max(1, rows / columns))
        torch._foreach_add_(weights, list(direction.reshape(shape)), alpha=-step)
        torch._foreach_add_([state["step"] for state in states], [taken] * len(states))
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
    """The nearest matrices with orthonormal rows or columns, roughly: singular values become ones
    between 0.7 and 1.3 (bfloat16: 0.6 and 1.4) if they are 1/100 or more of the fourth root of
    the sum of their fourth powers. Smaller ones grow up to 78-fold.

    matrices: (N, rows, columns); 0 stays 0. Three iterations, in bfloat16 on GPUs that multiply
    it, else in their own dtype.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    # Twice scaled: squares of small or large gradients leave the range of floats.
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=_LEAST_NORM)
    gram = torch.bmm(x, x.mT)
    # Nearer to the largest singular value than the norm of x, so that one iteration fewer does.
    square = torch.linalg.matrix_norm(gram, keepdim=True).clamp(min=_LEAST_NORM**2) * _MARGIN
    x, gram = x * square.rsqrt(), gram / square
    if gpu_multiplies_bfloat16(x.device):
        x = _iterated(x.bfloat16(), gram.bfloat16())
    elif x.shape[-1] >= 2 * x.shape[-2]:
        x = _iterated_gram(x, gram)
    else:
        x = _iterated(x, gram)
    return (x.mT if tall else x).to(matrices.dtype)


def _iterated(x: Tensor, gram: Tensor) -> Tensor:
    for i, (a, b, c) in enumerate(_POLYNOMIALS):
        if i > 0:
            gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _iterated_gram(x: Tensor, gram: Tensor) -> Tensor:
    """The same for wide matrices, whose columns meet twice instead of six times: every iterate is
    a polynomial of the Gram matrix times ``x``, and these commute. Not in bfloat16, in which a
    Gram matrix has lost the small singular values.
    """
    factor = product = None
    for a, b, c in _POLYNOMIALS:
        if factor is not None:
            gram = factor.bmm(gram).bmm(factor)
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor.bmm(product)
    assert product is not None
    return product.bmm(x)


def _matrices(weight: Tensor, count: int) -> Tensor:
    """(count, rows, columns) of a weight with ``count * rows`` rows."""
    return weight.detach().reshape(count, len(weight) // count, -1)


def _raw_weight(layer: nn.Module) -> nn.Parameter:
    """The parameter behind ``layer.weight``, which a spectral norm may compute from it."""
    if parametrize.is_parametrized(layer, "weight"):
        layer = cast(nn.ModuleDict, layer.parametrizations)["weight"]
        return cast(nn.Parameter, layer.original)
    return cast(nn.Parameter, layer.weight)
