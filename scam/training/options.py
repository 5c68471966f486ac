# SPDX-License-Identifier: Apache-2.0
"""The settings that any training run has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from scam.errors import InputError
from scam.settings.fields import Checked, bounded

MOST_STEPS = 1 << 40


@dataclass(frozen=True)
class TrainOptions(Checked):
    """How to train whatever it is; a task adds its own.

    Attributes:
        steps: how many.
        batch_size: what a forward pass takes, of all processes together.
        accumulate: forward passes per step; gradients are averaged over them.
        lr: learning rate of the model.
        warmup: steps over which learning rates rise linearly. Adam's first steps have full
            size whatever the gradient, and training is chaotic until they are damped.
        max_grad_norm: gradients are clipped to it, each optimiser's for itself; 0: no clipping.
            Now and then a batch has tenfold gradients, which Adam takes for a large step.
        weight_decay: AdamW's, decoupled.
        ema: what the weight average keeps per step in the long run.
        seed: of everything random.
        amp: 16-bit autocast where the device is fast at it.
        compile: the model by torch.compile.
        workers: loader processes, no more than processors; 0 loads in this one.
        wandb: project of Weights & Biases that gets the metrics, or None.
        eval_every, sample_every, save_every, log_every: intervals in steps.
    """

    steps: int = bounded(50_000, least=1, most=MOST_STEPS)
    batch_size: int = bounded(8, least=1, most=1 << 16)
    accumulate: int = bounded(1, least=1, most=1 << 16)
    lr: float = bounded(1e-4, above=0, most=1e6)
    warmup: int = bounded(100, least=0, most=MOST_STEPS)
    max_grad_norm: float = bounded(1.0, least=0)
    weight_decay: float = bounded(0.01, least=0)
    ema: float = bounded(0.999, least=0, below=1)
    seed: int = bounded(0, least=0, below=1 << 31)
    amp: bool = False
    compile: bool = False
    workers: int = bounded(4, least=0, most=1 << 12)
    wandb: str | None = None
    eval_every: int = bounded(1000, least=1, most=MOST_STEPS)
    sample_every: int = bounded(1000, least=1, most=MOST_STEPS)
    save_every: int = bounded(1000, least=1, most=MOST_STEPS)
    log_every: int = bounded(10, least=1, most=MOST_STEPS)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_dict`; an unknown key or unusable value raises InputError."""
        try:
            options: Self = super().from_dict(values)
        except InputError as error:
            raise InputError(f"training options: {error}") from error
        return options
