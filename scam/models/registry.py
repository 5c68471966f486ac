# SPDX-License-Identifier: Apache-2.0
"""Every kind of model by its name: ``--model``, and ``model.kind`` of a ``config.json``."""

from collections.abc import Mapping
from typing import Any

from scam.errors import InputError, did_you_mean
from scam.models.base import SynthesisModel
from scam.models.clade import Clade
from scam.models.config import ModelConfig
from scam.models.groupdnet import GroupDNet
from scam.models.hub import HubModel
from scam.models.inade import Inade
from scam.models.scam.model import Scam
from scam.models.sean import Sean
from scam.models.sean_clade import SeanClade
from scam.models.spade import Spade

MODELS: dict[str, type[SynthesisModel]] = {
    model.Config.kind: model for model in (Scam, Spade, Clade, Sean, SeanClade, Inade, GroupDNet)
}
"""A new kind is one entry more."""
HubModel.kinds = MODELS  # what it opens says which of them it is


def model_class(kind: object) -> type[SynthesisModel]:
    """The model of that kind. InputError for an unknown one."""
    if not isinstance(kind, str) or kind not in MODELS:
        message = f"{{kind}}: expected one of {', '.join(MODELS)}"
        raise InputError(message + did_you_mean(kind, MODELS), kind=kind)
    return MODELS[kind]


def build(config: ModelConfig) -> SynthesisModel:
    """A model of that configuration, freshly initialised."""
    kind: Any = MODELS[config.kind]
    model: SynthesisModel = kind(config)
    return model


def stored_kind(values: Mapping[str, Any]) -> str:
    """The kind that the section ``model`` of a ``config.json`` names. InputError without one."""
    return str(HubModel.stored_kind(values).Config.kind)


def stored_config(values: Mapping[str, Any]) -> ModelConfig:
    """The section ``model`` of a ``config.json``. InputError if it is of no model."""
    config: ModelConfig = HubModel.stored_kind(values).Config.from_stored(values)
    return config
