# SPDX-License-Identifier: Apache-2.0
"""What is compared: kinds of models, or lists of settings for each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scam.errors import NAMED, InputError, did_you_mean
from scam.models.config import FIRST_KIND
from scam.models.registry import MODELS

Settings = dict[str, Any]
"""Settings of ``scam.train`` by name."""
_COLOUR = "color,translation,cutout"
_OASIS = {"discriminator": "oasis", "lr_discriminator": 4e-4}
_LABELMIX = {**_OASIS, "labelmix": 10.0}

ABLATIONS: dict[str, Settings] = {
    "full": {},
    "no_pyramid": {"pyramid": False},
    "no_self_attention": {"self_attention": False},
    "simplex": {"duplex": False},
    "sean_encoder": {"encoder": "sean", "token_dim": 64},
    "no_gan": {"gan": 0.0},
    "no_l1": {"l1": 0.0},
    "no_perceptual": {"perceptual": "none"},
    "k4": {"latents_per_label": 4, "background_latents": 4},
    "k16": {"latents_per_label": 16, "background_latents": 16},
    "k32": {"latents_per_label": 32, "background_latents": 32},
    "k8_background16": {"latents_per_label": 8, "background_latents": 16},
}
"""The rows of the paper's Table 2, and its study of k."""
SMALL_DATA: dict[str, Settings] = {
    "base": {},
    "unchanged": {"recolour": 0.0, "warp": 0.0},
    "no_gan": {"gan": 0.0},
    "diffaugment": {"diffaugment": _COLOUR},
    "translation_cutout": {"diffaugment": "translation,cutout"},
    "lecam": {"lecam": 0.3},
    "diffaugment_lecam": {"diffaugment": _COLOUR, "lecam": 0.3},
    "oasis": _OASIS,
    "oasis_labelmix": _LABELMIX,
    "oasis_labelmix_diffaugment": {**_LABELMIX, "diffaugment": _COLOUR},
    "style_dropout": {"style_dropout": 0.1},
    "relativistic": {"gan_loss": "relativistic"},
    "relativistic_r1_r2": {
        "gan_loss": "relativistic",
        "gradient_norm": False,
        "r1": 0.1,
        "r2": 0.1,
    },
    "augment_perceptual": {"augment_perceptual": "translation,cutout"},
}
"""Options for few images."""
LISTS = {"ablations": ABLATIONS, "small-data": SMALL_DATA}
_WITH_GAN: Settings = {"gan": 1.0}
"""Of every row of a list unless it or the command says otherwise: preset tiny has none."""


@dataclass(frozen=True)
class Variant:
    """name: of its row and its run folder. kind: of model. settings: where it departs. defaults:
    settings that those of the command replace.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def choose(
    models: Sequence[str] | None, listed: str | None, only: Sequence[str] | None
) -> list[Variant]:
    """The variants to compare.

    models: ``KIND`` or ``KIND:FIDELITY``; by default every kind, of a list the first. listed: a
    name of :data:`LISTS`, whose variants each model is trained in. only: some of them.

    InputError for what is not there, or twice.
    """
    if listed is not None and listed not in LISTS:
        raise InputError(f"{{variants}}: expected {' or '.join(LISTS)}", variants=listed)
    if only is not None and listed is None:
        raise InputError("{only}: expected together with {:variants}", only=NAMED)
    if models is None:
        models = list(MODELS) if listed is None else [FIRST_KIND]
    known = {"": {}} if listed is None else LISTS[listed]
    defaults = {} if listed is None else _WITH_GAN
    wanted = list(known) if only is None else only
    _expect_some("only", wanted, list(known))
    chosen = [_model(word) for word in models]
    _expect_some("models", [model.name for model in chosen])
    return [
        Variant(
            _name(model.name, row, len(chosen)),
            model.kind,
            {**model.settings, **known[row]},
            defaults,
        )
        for model in chosen
        for row in wanted
    ]


def _model(word: str) -> Variant:
    kind, colon, setting = word.partition(":")
    if kind not in MODELS:
        message = f"{{models}}: expected some of {','.join(MODELS)}"
        raise InputError(message + did_you_mean(kind, MODELS), models=word)
    if not colon:
        return Variant(kind, kind, {})
    return Variant(f"{kind}-{setting}", kind, {"fidelity": setting})


def _name(model: str, row: str, models: int) -> str:
    return model if not row else row if models == 1 else f"{model}-{row}"


def _expect_some(argument: str, words: Sequence[str], known: Sequence[str] | None = None) -> None:
    for word in words:
        if known is not None and word not in known:
            message = f"{{{argument}}}: expected some of {','.join(known)}"
            raise InputError(message + did_you_mean(word, known), **{argument: word})
        if words.count(word) > 1:
            raise InputError(f"{{{argument}}}: {word} is there twice", **{argument: NAMED})
