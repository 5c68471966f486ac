# SPDX-License-Identifier: Apache-2.0
"""The settings of this task, beside those of any training run."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from scam.errors import InputError
from scam.settings.fields import bounded
from scam.synthesis.augment import parse_policy
from scam.synthesis.perceptual import Perceptual
from scam.training.options import MOST_STEPS, TrainOptions


@dataclass(frozen=True)
class SynthesisOptions(TrainOptions):
    """How to train a model to reconstruct pictures.

    The defaults are the paper's, plus flips, warm-up, weight averaging and gradient clipping.

    Attributes:
        lr_discriminator: the discriminator's (two time scales).
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
        fused_sca: the fused attention, or the dense one of the paper.
        gradient_checkpointing: keep less for the backward pass of encoder and generator, and
            compute it twice; the same bits.
        channels_last: keep feature maps with their channels innermost.
        flip: mirror every other training picture, exchanging left and right labels.
    """

    lr_discriminator: float = bounded(4e-4, above=0, most=1e6)
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
    fused_sca: bool = True
    gradient_checkpointing: bool = False
    channels_last: bool = False
    flip: bool = True

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


NAMES = tuple(field.name for field in fields(SynthesisOptions))
DEFAULTS = {field.name: field.default for field in fields(SynthesisOptions)}

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
