# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run apart from the model's shapes and the data's place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from scam.errors import InputError
from scam.settings.fields import Checked, bounded
from scam.synthesis.augment import parse_policy
from scam.synthesis.perceptual import Perceptual

MOST_STEPS = 1 << 40


@dataclass(frozen=True)
class TrainOptions(Checked):
    """How to train.

    The defaults are the paper's, plus flips, warm-up, weight averaging and gradient clipping.

    Attributes:
        steps: optimisation steps of encoder and generator, as many of the discriminator.
        batch_size: pictures per forward pass, of all processes together.
        accumulate: forward passes per step; gradients are averaged over them.
        lr: learning rate of encoder and generator.
        lr_discriminator: the discriminator's (two time scales).
        warmup: steps over which both learning rates rise linearly. Adam's first steps have full
            size whatever the gradient, and training is chaotic until they are damped.
        max_grad_norm: gradients are clipped to it, each optimiser's for itself; 0: no clipping.
            Now and then a batch has tenfold gradients, which Adam takes for a large step.
        weight_decay: AdamW's, decoupled.
        gan: weight of the adversarial loss; 0 trains without a discriminator.
        gan_from: steps before the discriminator and the adversarial loss join in.
        discriminator: "scam", the paper's two-scale PatchGAN, or "oasis", which segments.
        gradient_norm: divide the PatchGAN's logits by their gradient, as the paper does.
        gan_loss: of the PatchGAN, "hinge" or "relativistic".
        r1, r2: weights gamma of the penalties gamma / 2 * |gradient of a logit|^2 on real and on
            painted pictures, approximated by finite differences.
        lecam: weight of the LeCam regulariser of the PatchGAN.
        labelmix: weight of the consistency of "oasis" on mixed pictures.
        diffaugment: what the discriminator's pictures and label maps are augmented by, some of
            "color,translation,cutout".
        augment_perceptual: the same for the pictures of the perceptual distance.
        style_dropout: chance of a label's latents to be left out of a training picture's.
        perceptual_weight: weight of the perceptual distance.
        l1: weight of the mean absolute error in [-1, 1].
        perceptual: "vgg19", "lpips", "pyramid" or "none".
        perceptual_weights: path of the network weights behind it, or None.
        ema: what the weight average keeps per step in the long run.
        seed: of initial weights, order, flips and noise.
        amp: 16-bit autocast where the device is fast at it.
        fused_sca: the fused attention, or the dense one of the paper.
        gradient_checkpointing: keep less for the backward pass of encoder and generator, and
            compute it twice; the same bits.
        channels_last: keep feature maps with their channels innermost.
        compile: encoder and generator by torch.compile; the discriminator stays as it is, since
            its gradient normalisation differentiates twice.
        flip: mirror every other training picture, exchanging left and right labels.
        workers: loader processes, no more than processors; 0 loads in this one.
        wandb: project of Weights & Biases that gets the metrics, or None.
        eval_every, sample_every, save_every, log_every: intervals in steps.
    """

    steps: int = bounded(50_000, least=1, most=MOST_STEPS)
    batch_size: int = bounded(8, least=1, most=1 << 16)
    accumulate: int = bounded(1, least=1, most=1 << 16)
    lr: float = bounded(1e-4, above=0, most=1e6)
    lr_discriminator: float = bounded(4e-4, above=0, most=1e6)
    warmup: int = bounded(100, least=0, most=MOST_STEPS)
    max_grad_norm: float = bounded(1.0, least=0)
    weight_decay: float = bounded(0.01, least=0)
    gan: float = bounded(1.0, least=0)
    gan_from: int = bounded(0, least=0, most=MOST_STEPS)
    discriminator: Literal["scam", "oasis"] = "scam"
    gradient_norm: bool = True
    gan_loss: Literal["hinge", "relativistic"] = "hinge"
    r1: float = bounded(0.0, least=0)
    r2: float = bounded(0.0, least=0)
    lecam: float = bounded(0.0, least=0)
    labelmix: float = bounded(0.0, least=0)
    diffaugment: str = ""
    augment_perceptual: str = ""
    style_dropout: float = bounded(0.0, least=0, below=1)
    perceptual_weight: float = bounded(10.0, least=0)
    l1: float = bounded(10.0, least=0)
    perceptual: Perceptual = "pyramid"
    perceptual_weights: str | None = None
    ema: float = bounded(0.999, least=0, below=1)
    seed: int = bounded(0, least=0, below=1 << 31)
    amp: bool = False
    fused_sca: bool = True
    gradient_checkpointing: bool = False
    channels_last: bool = False
    compile: bool = False
    flip: bool = True
    workers: int = bounded(4, least=0, most=1 << 12)
    wandb: str | None = None
    eval_every: int = bounded(1000, least=1, most=MOST_STEPS)
    sample_every: int = bounded(1000, least=1, most=MOST_STEPS)
    save_every: int = bounded(1000, least=1, most=MOST_STEPS)
    log_every: int = bounded(10, least=1, most=MOST_STEPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gan == self.l1 == 0 and (self.perceptual == "none" or not self.perceptual_weight):
            raise InputError("gan=0, l1=0 and no perceptual loss: nothing is left to learn from")
        parse_policy("diffaugment", self.diffaugment)
        parse_policy("augment_perceptual", self.augment_perceptual)
        if self.augment_perceptual and (self.perceptual == "none" or not self.perceptual_weight):
            off = "perceptual='none'" if self.perceptual == "none" else "perceptual_weight=0"
            raise InputError(
                f"augment_perceptual={self.augment_perceptual!r}: "
                f"expected a loss to augment, not {off}"
            )
        self._check_adversary()

    def _check_adversary(self) -> None:
        """Check the settings that need a discriminator, or one of a certain kind."""
        for name, of in (
            ("discriminator", None), ("r1", None), ("r2", None), ("diffaugment", None),
            ("gradient_norm", "scam"), ("gan_loss", "scam"), ("lecam", "scam"),
            ("labelmix", "oasis"),
        ):  # fmt: skip
            value = getattr(self, name)
            if value == DEFAULTS[name]:
                continue
            if self.gan == 0:
                raise InputError(f"{name}={value!r}: expected a discriminator, not gan=0")
            if self.gan_from >= self.steps:
                raise InputError(
                    f"{name}={value!r}: expected a discriminator that joins in before the last "
                    f"step, not gan_from={self.gan_from} of steps={self.steps}"
                )
            if of not in (None, self.discriminator):
                raise InputError(f"{name}={value!r}: expected together with discriminator={of!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainOptions":
        """Inverse of :meth:`as_dict`; an unknown key or unusable value raises InputError."""
        try:
            options: TrainOptions = super().from_dict(values)
        except InputError as error:
            raise InputError(f"training options: {error}") from error
        return options


NAMES = tuple(field.name for field in fields(TrainOptions))
DEFAULTS = {field.name: field.default for field in fields(TrainOptions)}

PRESET_OPTIONS: dict[str, dict[str, Any]] = {
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
LATE_GAN = {"tiny": 0.8}
"""Part of its steps before the discriminator joins in, where nothing else is asked for."""
