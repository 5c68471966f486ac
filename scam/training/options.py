# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run apart from the model's shapes and the data's place."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from scam.errors import InputError
from scam.settings.fields import Checked, setting
from scam.training.augment import KINDS, parse_policy
from scam.training.perceptual import Perceptual

MOST_STEPS = 1 << 40
_ADVERSARY = "discriminator, and training on few pictures"
_RUN = "run"


@dataclass(frozen=True)
class TrainOptions(Checked):
    """How to train.

    The defaults are the paper's, plus flips, warm-up, weight averaging and gradient clipping.
    What needs a discriminator says so: any, or that of a name. A resumed run may change what does
    not alter the numbers of a step (``compile``: but for rounding), and what can save a run that
    diverged.
    """

    title: ClassVar[str] = "training options"
    heading: ClassVar[str] = "training"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "steps": 500,
            "lr": 1e-3,
            "lr_discriminator": 1e-3,
            "workers": 0,
            "eval_every": 100,
            "sample_every": 200,
            "save_every": 200,
        },
    }
    """Where a preset departs from the paper's training."""

    steps: int = setting(
        50_000,
        "optimisation steps of encoder and generator, as many of the discriminator",
        least=1, most=MOST_STEPS, may_change=True,
    )  # fmt: skip
    batch_size: int = setting(
        8, "pictures per forward pass, over all processes", least=1, most=1 << 16
    )
    accumulate: int = setting(
        1, "batches per optimisation step, whose gradients are averaged", least=1, most=1 << 16
    )
    lr: float = setting(
        1e-4, "learning rate of encoder and generator", above=0, most=1e6, may_change=True
    )
    lr_discriminator: float = setting(
        4e-4, "the discriminator's (two time scales)", above=0, most=1e6, may_change=True
    )
    warmup: int = setting(
        100, "of rising learning rates", least=0, most=MOST_STEPS, metavar="STEPS"
    )
    """Adam's first steps have full size whatever the gradient, and training is chaotic until they
    are damped."""
    max_grad_norm: float = setting(
        1.0,
        "clip gradients to this norm, each optimiser's for itself; 0: no clipping",
        least=0, metavar="NORM", may_change=True,
    )  # fmt: skip
    """Now and then a batch has tenfold gradients, which Adam takes for a large step."""
    weight_decay: float = setting(0.01, "AdamW's, decoupled", least=0)
    gan: float = setting(
        1.0, "weight of the adversarial loss; 0: without a discriminator", least=0
    )
    gan_from: int = setting(
        0,
        "step after which discriminator and adversarial loss join in",
        least=0, most=MOST_STEPS, metavar="STEP", told=True,
        default_help="tiny: four fifths of --steps, others: 0",
    )  # fmt: skip
    discriminator: Literal["scam", "oasis"] = setting(
        "scam",
        "the paper's two-scale PatchGAN, or one that segments",
        heading=_ADVERSARY, needs="any",
    )  # fmt: skip
    gradient_norm: bool = setting(
        True,
        "of scam: divide logits by their gradient, as the paper does",
        heading=_ADVERSARY, told=True, needs="scam",
    )  # fmt: skip
    gan_loss: Literal["hinge", "relativistic"] = setting(
        "hinge", "of scam", heading=_ADVERSARY, told=True, needs="scam"
    )
    r1: float = setting(
        0.0,
        "penalty on the discriminator's slope at real pictures, approximated",
        least=0, metavar="GAMMA", heading=_ADVERSARY, told=True, needs="any",
    )  # fmt: skip
    """Adds r1 / 2 * |gradient of a logit|^2, by finite differences."""
    r2: float = setting(
        0.0,
        "penalty on the discriminator's slope at painted pictures, approximated",
        least=0, metavar="GAMMA", heading=_ADVERSARY, told=True, needs="any",
    )  # fmt: skip
    lecam: float = setting(
        0.0,
        "of scam: weight of the LeCam regulariser, such as 0.3",
        least=0, metavar="W", heading=_ADVERSARY, told=True, needs="scam",
    )  # fmt: skip
    labelmix: float = setting(
        0.0,
        "of oasis: weight of its consistency on mixed pictures, such as 10",
        least=0, metavar="W", heading=_ADVERSARY, told=True, needs="oasis",
    )  # fmt: skip
    diffaugment: str = setting(
        "",
        f"augment what the discriminator sees, label maps too: some of {','.join(KINDS)}",
        metavar="KIND,...", heading=_ADVERSARY, told=True, needs="any",
    )  # fmt: skip
    augment_perceptual: str = setting(
        "",
        "augment what the perceptual loss compares: kinds as above",
        metavar="KIND,...", heading=_ADVERSARY, told=True,
    )  # fmt: skip
    style_dropout: float = setting(
        0.0,
        "leave out a label's latents of a training picture with this chance, such as 0.1",
        least=0, below=1, metavar="P", heading=_ADVERSARY, told=True,
    )  # fmt: skip
    l1: float = setting(10.0, "weight of the mean absolute error in [-1, 1]", least=0)
    perceptual: Perceptual = setting(
        "pyramid",
        "distance of features",
        default_help="default: vgg19 where its weights are at hand, else pyramid",
    )
    perceptual_weight: float = setting(10.0, "of the perceptual loss", least=0)
    perceptual_weights: str | None = setting(None, "network weights behind it", metavar="FILE")
    ema: float = setting(
        0.999, "what the weight average keeps per step in the long run", least=0, below=1
    )
    seed: int = setting(
        0, "of initial weights, order, flips and noise", least=0, below=1 << 31, told=True
    )
    amp: bool = setting(False, "16-bit where the device is fast at it")
    fused_sca: bool = setting(True, "the fused attention, or the dense one of the paper")
    gradient_checkpointing: bool = setting(
        False,
        "less memory, more time, the same bits: compute encoder and generator twice",
        may_change=True,
    )
    channels_last: bool = setting(False, "feature maps with their channels innermost")
    compile: bool = setting(
        False,
        "torch.compile for encoder and generator (minutes before the first step)",
        may_change=True,
    )
    """The discriminator stays as it is: its gradient normalisation differentiates twice."""
    flip: bool = setting(
        True, "mirror every other training picture, left and right labels too", heading="data"
    )
    workers: int = setting(
        4,
        "loader processes, no more than processors; 0 loads in this one",
        least=0, most=1 << 12, heading=_RUN, may_change=True,
    )  # fmt: skip
    wandb: str | None = setting(
        None,
        "send metrics to Weights & Biases; never asks to log in",
        metavar="PROJECT", heading=_RUN, may_change=True,
    )  # fmt: skip
    eval_every: int = setting(
        1000, "between measurements",
        least=1, most=MOST_STEPS, metavar="STEPS", heading=_RUN, may_change=True,
    )  # fmt: skip
    sample_every: int = setting(
        1000, "between sheets",
        least=1, most=MOST_STEPS, metavar="STEPS", heading=_RUN, may_change=True,
    )  # fmt: skip
    save_every: int = setting(
        1000, "between checkpoints",
        least=1, most=MOST_STEPS, metavar="STEPS", heading=_RUN, may_change=True,
    )  # fmt: skip
    log_every: int = setting(
        10, "between logged losses",
        least=1, most=MOST_STEPS, metavar="STEPS", heading=_RUN, may_change=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        compares = self.perceptual != "none" and self.perceptual_weight > 0
        if self.gan == self.l1 == 0 and not compares:
            raise InputError(
                "{gan}, {l1} and no perceptual loss: nothing is left to learn from", gan=0, l1=0
            )
        parse_policy("diffaugment", self.diffaugment)
        parse_policy("augment_perceptual", self.augment_perceptual)
        if self.augment_perceptual and not compares:
            off = "perceptual" if self.perceptual == "none" else "perceptual_weight"
            raise InputError(
                f"{{augment_perceptual}}: expected a loss to augment, not {{{off}}}",
                **{"augment_perceptual": self.augment_perceptual, off: getattr(self, off)},
            )
        for name, what in self.settings().items():
            if what.needs is not None and getattr(self, name) != what.default:
                self._expect_discriminator(name, what.needs)

    def _expect_discriminator(self, name: str, needed: str) -> None:
        """InputError without one that the setting ``name`` is for."""
        given = {name: getattr(self, name)}
        if self.gan == 0:
            raise InputError(f"{{{name}}}: expected a discriminator, not {{gan}}", **given, gan=0)
        if self.gan_from >= self.steps:
            raise InputError(
                f"{{{name}}}: expected a discriminator that joins in before the last step, not "
                "{gan_from} of {steps}",
                **given, gan_from=self.gan_from, steps=self.steps,
            )  # fmt: skip
        if needed not in ("any", self.discriminator):
            message = f"{{{name}}}: expected together with {{discriminator}}"
            raise InputError(message, **given, discriminator=needed)


LATE_GAN = {"tiny": 0.8}
"""Part of its steps before the discriminator joins in, where nothing else is asked for."""
