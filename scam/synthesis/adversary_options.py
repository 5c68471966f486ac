# SPDX-License-Identifier: Apache-2.0
"""The settings of the adversarial part of this task."""

from dataclasses import dataclass
from typing import Any, Literal

from scam.settings.fields import setting
from scam.synthesis.augment import KINDS
from scam.training.options import MOST_STEPS, TrainOptions

_FEW = {"heading": "discriminator, and training on few pictures", "told": True}


def _of(*discriminators: str) -> dict[str, Any]:
    """What the settings of these discriminators have in common, or of any."""
    return {**_FEW, "needs": {"discriminator": discriminators}}


def _weight(help: str, *discriminators: str, metavar: str = "W") -> Any:
    return setting(0.0, help, least=0, metavar=metavar, **_of(*discriminators))


@dataclass(frozen=True)
class AdversaryOptions(TrainOptions):
    """Which discriminator, and what it is trained by; what only some can do says so."""

    lr_discriminator: float = setting(
        4e-4, "the discriminator's (two time scales)", above=0, most=1e6, may_change=True
    )
    gan: float = setting(
        1.0, "weight of the adversarial loss; 0: without a discriminator", least=0
    )
    gan_from: int = setting(
        0,
        "step after which discriminator and adversarial loss join in",
        least=0, most=MOST_STEPS, metavar="STEP", told=True,
        default_help="tiny: four fifths of --steps, others: 0",
    )  # fmt: skip
    discriminator: Literal["scam", "oasis", "patch", "sean"] = setting(
        "scam",
        "the paper's two-scale PatchGAN; oasis: one that segments; patch, sean: with spectral "
        "norms, as SPADE's and as SEAN's",
        **_of() | {"told": False},
    )
    gradient_norm: bool = setting(
        True, "of scam: divide logits by their gradient, as the paper does", **_of("scam")
    )
    gan_loss: Literal["hinge", "relativistic"] = setting("hinge", "of scam", **_of("scam"))
    feature_matching: float = _weight(
        "of patch and sean: weight of the difference of their features, such as 10",
        "patch", "sean",
    )  # fmt: skip
    feature_matching_maps: Literal["all", "last"] = setting(
        "all",
        "which of their features, of every layer or of the last before the logits",
        **_FEW, needs={"discriminator": ("patch", "sean"), "feature_matching": ()},
    )  # fmt: skip
    fresh_fake: bool = setting(
        False,
        "show the discriminator images that are generated again after the model's step",
        **_of(),
    )
    r1: float = _weight(
        "penalty on the discriminator's slope at real pictures, approximated", metavar="GAMMA"
    )
    """Adds r1 / 2 * |gradient of a logit|^2, by finite differences."""
    r2: float = _weight(
        "penalty on the discriminator's slope at generated pictures, approximated", metavar="GAMMA"
    )
    lecam: float = _weight("of scam: weight of the LeCam regulariser, such as 0.3", "scam")
    labelmix: float = _weight(
        "of oasis: weight of its consistency on mixed pictures, such as 10", "oasis"
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
        "leave out a label's latents of a training picture with this chance, such as 0.1",
        least=0, below=1, metavar="P", **_FEW,
    )  # fmt: skip
