# SPDX-License-Identifier: Apache-2.0
"""The settings of this task, beside those of any training run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from scam.errors import InputError
from scam.pretrained.vgg import VGG_SLICES
from scam.settings.fields import setting
from scam.synthesis.adversary_options import AdversaryOptions
from scam.synthesis.augment import parse_policy
from scam.synthesis.perceptual import Perceptual

_VGG = {"told": True, "needs": {"perceptual": ("vgg19",), "perceptual_weight": ()}}


@dataclass(frozen=True)
class SynthesisOptions(AdversaryOptions):
    """How to train a model that reconstructs images.

    The defaults are the paper's, plus flips, warm-up, weight averaging and gradient clipping.
    ``compile`` leaves the discriminator as it is: its gradient normalisation differentiates twice.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "steps": 1500,
            "lr": 1e-3,
            "lr_discriminator": 1e-3,
            "workers": 0,
            "eval_every": 250,
            "sample_every": 500,
            "save_every": 500,
        },
    }
    """Where a preset departs from the paper's training."""

    l1: float = setting(10.0, "weight of the mean absolute error in [-1, 1]", least=0)
    perceptual: Perceptual = setting(
        "pyramid",
        "loss that compares features of images",
        default_help="default: vgg19 if its weights are found, else pyramid",
    )
    perceptual_weight: float = setting(10.0, "weight of the perceptual loss", least=0)
    perceptual_weights: str | None = setting(None, "weights file of that loss", metavar="FILE")
    vgg_slices: tuple[float, float, float, float, float] = setting(
        VGG_SLICES,
        "of vgg19: weights of its five depths, from shallow to deep",
        least=0, metavar=("W1", "W2", "W3", "W4", "W5"), **_VGG,
    )  # fmt: skip
    vgg_normalise: bool = setting(
        True, "of vgg19: show it images normalised as it was trained; off: in [-1, 1]", **_VGG
    )
    optimizer: Literal["adamw", "muon"] = setting(
        "adamw",
        "optimiser of the model; muon: Muon for matrices and convolutions, AdamW for the rest",
        told=True,
    )
    lr_muon: float = setting(
        5e-3, "of muon: learning rate of matrices and convolutions; --lr is the rest's",
        above=0, most=1e6, may_change=True, told=True, needs={"optimizer": ("muon",)},
    )  # fmt: skip
    betas: tuple[float, float] = setting(
        (0.9, 0.999), "of Adam, in both optimisers",
        least=0, below=1, metavar=("B1", "B2"), told=True,
    )  # fmt: skip
    decay_from: float = setting(
        1.0,
        "share of --steps after which learning rates decay linearly to 0; 1: never",
        least=0, most=1, metavar="SHARE", told=True,
    )  # fmt: skip
    fused_sca: bool = setting(True, "fused attention and norms; off: dense, as in the papers")
    gradient_checkpointing: bool = setting(
        False,
        "less memory, more time, identical results: recompute encoder and generator",
        may_change=True,
    )
    channels_last: bool = setting(False, "feature maps with their channels innermost")
    flip: bool = setting(
        True, "mirror every other training image, left and right labels too", heading="data"
    )
    recolour: float = setting(
        0.0,
        "probability of recolouring every label of a training image but the background, "
        "until learning rates have fallen to half",
        least=0, most=1, metavar="P", heading="data", told=True,
    )  # fmt: skip
    warp: float = setting(
        0.0,
        "probability of warping a training image and its label map: rotate, scale, shift, bend",
        least=0, most=1, metavar="P", heading="data", told=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        compares = self.perceptual != "none" and self.perceptual_weight > 0
        if self.gan == self.l1 == 0 and not compares:
            raise InputError(
                "{gan}, {l1} and no perceptual loss: nothing is left to learn from; give one of "
                "{:gan}, {:l1} and {:perceptual}",
                gan=0,
                l1=0,
            )
        parse_policy("diffaugment", self.diffaugment)
        parse_policy("augment_perceptual", self.augment_perceptual)
        if self.augment_perceptual and not compares:
            off = "perceptual" if self.perceptual == "none" else "perceptual_weight"
            raise InputError(
                f"{{augment_perceptual}}: expected a loss to augment, not {{{off}}}",
                **{"augment_perceptual": self.augment_perceptual, off: getattr(self, off)},
            )
        if not any(self.vgg_slices):
            raise InputError("{vgg_slices}: expected one above 0", vgg_slices=self.vgg_slices)
        for name, what in self.settings().items():
            if getattr(self, name) != what.default and (error := self.idle(name, vars(self))):
                raise error

    @classmethod
    def idle(cls, name: str, values: Mapping[str, Any]) -> InputError | None:
        """Why the setting ``name`` has no effect beside ``values`` of others; None: it has one.

        Settings that ``values`` lacks have their defaults.
        """
        found = {other: what.default for other, what in cls.settings().items()} | dict(values)
        needs = cls.settings()[name].needs

        def without(expected: str, **mentions: Any) -> InputError:
            return InputError(
                f"{{{name}}}: expected {expected}", **{name: found[name]}, **mentions
            )

        if "discriminator" in needs:
            if found["gan"] == 0:
                return without("a discriminator, not {gan}", gan=0)
            if found["gan_from"] >= found["steps"]:
                return without(
                    "a discriminator that joins in before the last step, "
                    "not {gan_from} of {steps}",
                    **{other: found[other] for other in ("gan_from", "steps")},
                )
        for other, choices in needs.items():
            if choices and found[other] not in choices:
                words = " or ".join([f"{{{other}}}", *choices[1:]])
                return without(f"together with {words}", **{other: choices[0]})
            if not choices and not found[other]:
                return without(f"{{:{other}}} above 0")
        return None


SHORT = ("tiny",)
"""Presets of minutes. In equal time, training without a discriminator makes better images
(docs/results.md); one that is asked for joins in after ``LATE`` of the steps."""
LATE = 0.8
NEW_RUN: dict[str, Any] = {"optimizer": "muon", "recolour": 0.5, "warp": 0.5}
"""Defaults of a new run whose model has no recipe of its own. Not defaults of the fields: a run
that was begun before there were these settings is resumed without them."""
WITH_MUON: dict[str, Any] = {"warmup": 30, "decay_from": 0.5}
"""Defaults beside ``optimizer="muon"``."""


def chosen_training(
    preset: str, recipe: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings of a new run: ``asked`` for, else of the model's ``recipe``, else of ``preset``.

    What they leave out has the default of its field. Settings of the recipe that have no effect
    beside those asked for are left out.
    """
    training = {**NEW_RUN, **SynthesisOptions.presets.get(preset, {}), **recipe, **asked}
    if training["optimizer"] == "muon":
        training = WITH_MUON | training
    if preset in SHORT:
        if _asking_for_a_discriminator() & (recipe.keys() | asked.keys()):
            training.setdefault("gan_from", int(LATE * training["steps"]))
        else:
            training["gan"] = 0.0
    for name in recipe.keys() - asked.keys():
        if SynthesisOptions.idle(name, training):
            del training[name]
    return training


def _asking_for_a_discriminator() -> set[str]:
    """Settings that do, whatever their value."""
    own = {n for n, what in SynthesisOptions.settings().items() if "discriminator" in what.needs}
    return own | {"gan", "gan_from", "lr_discriminator"}
