# SPDX-License-Identifier: Apache-2.0
"""The settings of the adversarial part of this task."""

from dataclasses import dataclass
from typing import Any, Literal

from scam.settings.fields import setting
from scam.synthesis.augment import KINDS
from scam.training.options import MOST_STEPS, TrainOptions

_FEW = {"heading": "discriminator, and training on few images", "told": True}


def _of(*discriminators: str) -> dict[str, Any]:
    """What the settings of these discriminators have in common, or of any."""
    return {**_FEW, "needs": {"discriminator": discriminators}}


def _weight(help: str, *discriminators: str, metavar: str = "W") -> Any:
    return setting(0.0, help, least=0, metavar=metavar, **_of(*discriminators))


@dataclass(frozen=True)
class AdversaryOptions(TrainOptions):
    """Which discriminator, and what it is trained by; what only some can do says so."""

    lr_discriminator: float = setting(
        4e-4, "learning rate of the discriminator", above=0, most=1e6, may_change=True
    )
    gan: float = setting(
        1.0,
        "weight of the adversarial loss; 0: no discriminator",
        least=0,
        default_help="tiny: 0 unless another setting of a discriminator is given, others: 1",
    )
    gan_from: int = setting(
        0,
        "first step after which the discriminator and the adversarial loss are used",
        least=0, most=MOST_STEPS, metavar="STEP", told=True,
        default_help="tiny: four fifths of --steps, others: 0",
    )  # fmt: skip
    discriminator: Literal["scam", "oasis", "patch", "sean"] = setting(
        "scam",
        "the paper's two-scale PatchGAN; oasis: a segmentation network; patch, sean: with "
        "spectral norms, as in SPADE and SEAN",
        **_of() | {"told": False},
    )
    gradient_norm: bool = setting(
        True, "of scam: divide logits by their gradient, as the paper does", **_of("scam")
    )
    gan_loss: Literal["hinge", "relativistic"] = setting(
        "hinge", "loss of the discriminator scam", **_of("scam")
    )
    feature_matching: float = _weight(
        "of patch and sean: weight of the feature matching loss, such as 10",
        "patch", "sean",
    )  # fmt: skip
    feature_matching_maps: Literal["all", "last"] = setting(
        "all",
        "features to match: of every layer, or of the last before the logits",
        **_FEW, needs={"discriminator": ("patch", "sean"), "feature_matching": ()},
    )  # fmt: skip
    fresh_fake: bool = setting(
        False,
        "show the discriminator images generated after the model's step",
        **_of(),
    )
    r1: float = _weight("gradient penalty at real images, approximated", metavar="GAMMA")
    """Adds r1 / 2 * |gradient of a logit|^2, by finite differences."""
    r2: float = _weight("gradient penalty at generated images, approximated", metavar="GAMMA")
    lecam: float = _weight("of scam: weight of the LeCam regulariser, such as 0.3", "scam")
    labelmix: float = _weight(
        "of oasis: weight of its consistency on mixed images, such as 10", "oasis"
    )
    diffaugment: str = setting(
        "",
        f"augment what the discriminator sees, label maps too: some of {','.join(KINDS)}",
        **_of(), metavar="KIND,...",
    )  # fmt: skip
    augment_perceptual: str = setting(
        "", "augment what the perceptual loss compares: kinds as above", metavar="KIND,...", **_FEW
    )
    style_dropout: float = setting(
        0.0,
        "probability of dropping a label's latents from a training image, such as 0.1",
        least=0, below=1, metavar="P", **_FEW,
    )  # fmt: skip
