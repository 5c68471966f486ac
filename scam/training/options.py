# SPDX-License-Identifier: Apache-2.0
"""The settings that any training run has."""

from dataclasses import dataclass
from typing import Any, ClassVar

from scam.settings.fields import Checked, setting

MOST_STEPS = 1 << 40
_RUN: dict[str, Any] = {"heading": "run", "may_change": True}
_EVERY: dict[str, Any] = {"least": 1, "most": MOST_STEPS, "metavar": "STEPS", **_RUN}


@dataclass(frozen=True)
class TrainOptions(Checked):
    """How to train, whatever it is; a task adds its own. A resumed run may change what does not
    alter the numbers of a step (``compile``: but for rounding), or can save a run that diverged.
    """

    title: ClassVar[str] = "training options"
    heading: ClassVar[str] = "training"

    steps: int = setting(50_000, "optimisation steps", least=1, most=MOST_STEPS, may_change=True)
    batch_size: int = setting(
        8, "images per forward pass, over all processes", least=1, most=1 << 16
    )
    accumulate: int = setting(
        1, "batches per optimisation step, whose gradients are averaged", least=1, most=1 << 16
    )
    lr: float = setting(1e-4, "learning rate", above=0, most=1e6, may_change=True)
    warmup: int = setting(
        100, "steps over which learning rates rise", least=0, most=MOST_STEPS, metavar="STEPS"
    )
    """Adam's first steps have full size whatever the gradient, and training is chaotic until they
    are damped."""
    max_grad_norm: float = setting(
        1.0,
        "clip each optimiser's gradients to this norm; 0: no clipping",
        least=0, metavar="NORM", may_change=True,
    )  # fmt: skip
    """Now and then a batch has tenfold gradients, which Adam takes for a large step."""
    weight_decay: float = setting(0.01, "decoupled, as in AdamW", least=0)
    ema: float = setting(
        0.999, "decay of the weight average per step, in the long run", least=0, below=1
    )
    seed: int = setting(0, "random seed", least=0, below=1 << 31, told=True)
    amp: bool = setting(False, "mixed precision where the device is fast at it")
    compile: bool = setting(
        False, "torch.compile for the networks (minutes before the first step)", may_change=True
    )
    workers: int = setting(
        4,
        "loader processes, at most one per processor; 0: load in the main process",
        least=0, most=1 << 12, **_RUN,
    )  # fmt: skip
    wandb: str | None = setting(
        None, "send metrics to Weights & Biases; never asks to log in", metavar="PROJECT", **_RUN
    )
    eval_every: int = setting(1000, "steps between measurements", **_EVERY)
    sample_every: int = setting(1000, "steps between sheets", **_EVERY)
    sample_scale: int | None = setting(
        None,
        "enlarge the images of sheets by this factor",
        least=1, most=16, metavar="N",
        default_help="default: until they are at least 192 pixels high", **_RUN,
    )  # fmt: skip
    save_every: int = setting(1000, "steps between checkpoints", **_EVERY)
    log_every: int = setting(10, "steps between logged losses", **_EVERY)
