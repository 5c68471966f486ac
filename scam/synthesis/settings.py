# SPDX-License-Identifier: Apache-2.0
"""The settings of a run, as ``config.json`` keeps them: asked for, completed, checked."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from scam.checkpoints.weights import CONFIG
from scam.commandline.flags import given
from scam.data import MERGES, SOURCES, PairSource, open_source
from scam.data.labels import merge_content, read_merge
from scam.data.options import DataOptions
from scam.errors import InputError, within
from scam.models.checkpoint import describe, describe_labels
from scam.models.config import FIRST_KIND, ModelConfig
from scam.models.description import expect_about
from scam.models.registry import model_class, stored_config, stored_kind
from scam.storage.reading import file_digest, read_json
from scam.synthesis.options import SynthesisOptions, chosen_training
from scam.synthesis.perceptual import resolve_perceptual
from scam.training.run_folder import RunFolder

ABILITIES = {
    "gradient_checkpointing": "checkpoints_gradients",
    "style_dropout": "styles_per_label",
}
"""Settings that not every kind of model can follow, and what it has to be able to."""
Sources = tuple[PairSource, PairSource]
"""Training images, held-out images."""


def config_of(kind: str | None, run: str | Path | None) -> type[ModelConfig]:
    """The settings of the ``kind`` of model that is asked for, else of the run to resume."""
    stored = None if run is None else Path(run) / CONFIG
    if kind is None and stored is not None and stored.is_file():
        model = read_json(stored).get("model", {})
        with within(stored):
            return model_class(stored_kind(model)).Config
    return model_class(FIRST_KIND if kind is None else kind).Config


def asked_settings(asked: Mapping[str, Any], config: type[ModelConfig]) -> dict[str, Any]:
    """Sort the flags that were given into the sections of ``config.json``.

    config: of the kind of model that the flags were made for.
    """
    # A run may be resumed from another folder: files are remembered by their full path.
    asked = dict(asked)
    for name, built_in in (("data", SOURCES), ("merge", MERGES), ("perceptual_weights", ())):
        value = asked.get(name)
        if isinstance(value, str | Path) and value not in built_in:
            asked[name] = str(Path(value).resolve() if Path(value).exists() else value)
    kind = {"kind": asked["kind"]} if "kind" in asked else {}
    settings: dict[str, Any] = {
        "data": DataOptions.checked(given(asked, DataOptions)),
        "model": {**kind, **config.checked(given(asked, config))},
        "training": SynthesisOptions.checked(given(asked, SynthesisOptions)),
    }
    if "preset" in asked:
        config.preset(asked["preset"])
        settings["preset"] = asked["preset"]
    return settings


def complete(settings: dict[str, Any], source: PairSource) -> dict[str, Any]:
    """Fill what was not asked for from the preset and the data."""
    name = settings.get("preset", "tiny")
    asked = settings["training"]
    shapes = dict(settings["model"])
    config = model_class(shapes.pop("kind", FIRST_KIND)).Config
    model = config.preset(name, num_labels=len(source.label_set.names), **shapes)
    perceptual, path = resolve_perceptual(
        asked.get("perceptual", model.recipe.get("perceptual")), asked.get("perceptual_weights")
    )
    asked = asked | {
        "perceptual": perceptual,
        "perceptual_weights": None if path is None else str(path),
    }
    options = SynthesisOptions(**chosen_training(name, model.recipe, asked))
    expect_possible(model, options)
    data = settings["data"]
    return {
        "preset": name,
        "data": {**data, "merge": merge_content(data.get("merge"))},
        **describe(model, source),
        "training": options.as_dict(),
        **({} if path is None else {"perceptual_digest": file_digest(path)}),
    }


def expect_possible(model: ModelConfig, options: SynthesisOptions) -> None:
    """InputError if the kind of model cannot be trained in that way."""
    kind = model_class(model.kind)
    for name, ability in ABILITIES.items():
        asked = getattr(options, name)
        if asked and not getattr(kind, ability):
            message = f"{{{name}}}: expected a model that can, not one of kind {model.kind!r}"
            raise InputError(message, **{name: asked})


def check_stored(run: Path) -> None:
    """Raise InputError, naming ``config.json``, if a setting that a run stored is unusable."""
    config = read_json(run / CONFIG)
    try:
        for section in ("data", "model", "training"):
            if section not in config:
                raise InputError(f"no entry {section!r}")
        merge = DataOptions.from_dict(config["data"]).merge
        if isinstance(merge, dict):
            read_merge(merge)
        SynthesisOptions.from_dict(config["training"])
        expect_about(config, stored_config(config["model"]).num_labels)
    except InputError as error:
        raise InputError(f"{run / CONFIG}: {error}") from error


def check_labels(folder: RunFolder, source: PairSource) -> None:
    """Raise InputError if the labels of the data are no longer those the run began with."""
    for name, found in describe_labels(source).items():
        if (then := folder.config.get(name)) != found:
            message = f"the data's {name} are {found} now, the run began with {then}"
            raise InputError(f"{{resume}}: {message}", resume=True)


def open_sources(data: dict[str, Any], held_out: Set[str] | None = None) -> Sources:
    """Training and held-out images of the section ``data``; ``held_out``: names of the latter,
    where no folder and no number says so.
    """
    rest = DataOptions.from_dict(data).as_dict()
    name, held_out = rest.pop("data"), None if held_out is None else frozenset(held_out)
    train, val = (open_source(name, x, **rest, held_out=held_out) for x in ("train", "val"))
    return train, val
