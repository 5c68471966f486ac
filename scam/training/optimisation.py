# SPDX-License-Identifier: Apache-2.0
"""One optimiser and all that belongs to a step of it."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.precision import Precision

Losses = dict[str, Tensor]
"""Scalars by name, without gradients."""
Terms = Mapping[str, tuple[float, Tensor]]
"""Losses by name, each with its weight in the sum that is minimised."""


def adamw(
    module: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """AdamW over all parameters of ``module``, which is where it will stay."""
    return torch.optim.AdamW(module.parameters(), lr, betas, weight_decay=weight_decay, fused=True)


def warm_up(step: int, steps: int) -> float:
    """The part of a learning rate that is used at ``step``, from 1 on: it rises over ``steps``."""
    return min(1.0, step / max(steps, 1))


def decay(step: int, steps: int, start: float) -> float:
    """The part of a learning rate that is left at ``step``, from 1 on, of ``steps``: 1 for the
    share ``start`` of them; then it falls linearly, and would be 0 after the last.
    """
    whole = round(start * steps)
    return min(1.0, (steps + 1 - step) / max(steps - whole, 1))


def tried(network: nn.Module, loss_of: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """A loss, detached, and the norm of its gradients, with ``network`` in evaluation mode; leaves
    no gradients, and the mode as it was.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad():
            loss = loss_of()
            loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        return loss.detach(), nn.utils.get_total_norm(gradients)
    finally:
        network.zero_grad(set_to_none=True)
        network.train(was_training)


@dataclass(eq=False)
class Optimisation:
    """An optimiser with its scaler, its clipping, and its part in a run of several processes.

    For every part of a step's batch :meth:`backward`, then one :meth:`step`. A step whose losses
    or gradients are not finite leaves the weights as they are.

    Args:
        optimizer: a fused one of Adam's family, or Muon, which leave a step out without a wait.
        precision: of the forward passes.
        scaler: of the gradients. Several optimisations may share one; its creator updates it
            once all of them have made their steps.
        world: the processes over which gradients are averaged.
        accumulate: calls of :meth:`backward` in a step.
        max_grad_norm: gradients are clipped to it; 0: no clipping.
        per_step: how often it steps, at most, in one step of the run.
    """

    optimizer: torch.optim.Optimizer
    precision: Precision
    scaler: torch.amp.GradScaler
    world: World = SINGLE_PROCESS
    _: KW_ONLY
    accumulate: int = 1
    max_grad_norm: float = 0.0
    per_step: int = 1

    def __post_init__(self) -> None:
        groups = self.optimizer.param_groups
        self.parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._rates = [float(group["lr"]) for group in groups]
        self._losses: Losses = {}
        self._skipped: list[Tensor] = []

    def backward(self, terms: Terms, weight: float = 1.0) -> None:
        """Add the gradients of ``weight`` times the sum of ``terms``."""
        with self.precision.autocast(self.parameters[0].device):
            total = torch.stack([factor * loss for factor, loss in terms.values()]).sum()
        self.scaler.scale(weight * total / self.accumulate).backward()
        for name, (_, loss) in terms.items():
            share = loss.detach() / self.accumulate
            self._losses[name] = self._losses[name] + share if name in self._losses else share

    def step(self, rate: float = 1.0) -> tuple[Losses, Tensor]:
        """One step at ``rate`` times the optimiser's own learning rates, or none. Returns losses,
        means over the parts of the step, and the norm of the gradient.
        """
        losses, self._losses = self._losses, {}
        for group, own in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = own * rate
        # A loss can be infinite and its gradient not, as that of |x| is: 0 * inf is not a number.
        for gradient in self._gradients()[:1]:
            gradient.add_(0 * sum(losses.values()))
        self.world.average_gradients(self.parameters)
        if not (gradients := self._gradients()):
            return losses, torch.zeros((), device=self.parameters[0].device)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.get_total_norm(gradients)
        skipped = (~norm.isfinite()).float()
        if self.max_grad_norm > 0:
            nn.utils.clip_grads_with_norm_(self.parameters, self.max_grad_norm, norm)
        if not self.scaler.is_enabled():
            # What a gradient scaler sets: the fused optimiser looks at it without a wait.
            self.optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self.scaler.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        self._skipped.append(skipped)
        return losses, norm

    def take_skipped(self) -> list[Tensor]:
        """For each step since the last call 1 if it was left out, else 0."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]
