# SPDX-License-Identifier: Apache-2.0
"""The runs of a comparison, with all their settings before the first is trained."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scam.checkpoints.step_folders import CHECKPOINTS, newest_step_folder, step_folder
from scam.checkpoints.weights import CONFIG
from scam.commandline.flags import given
from scam.comparison.variants import Settings, Variant
from scam.data import PairSource
from scam.data.options import DataOptions
from scam.data.split import Split
from scam.errors import InputError, within
from scam.models.config import ModelConfig
from scam.models.registry import MODELS, stored_config
from scam.storage.locks import is_lock
from scam.storage.reading import read_json
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.settings import ABILITIES, asked_settings, complete, open_sources


@dataclass(frozen=True)
class Run:
    """One training run of a comparison, in a folder as ``scam.train`` leaves it.

    asked: the sections of settings that were asked for. data, model, options: all settings.
    held_out: the images it is measured on.
    """

    variant: Variant
    path: Path
    asked: Mapping[str, Any]
    data: Mapping[str, Any]
    model: ModelConfig
    options: SynthesisOptions
    held_out: PairSource

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.path.name

    @property
    def begun(self) -> bool:
        """Whether there is something to resume."""
        return (self.path / CONFIG).exists()

    @property
    def newest(self) -> Path | None:
        """Its newest step folder."""
        return newest_step_folder(self.path / CHECKPOINTS)

    @property
    def finished(self) -> Path | None:
        """The step folder of its last step."""
        last = step_folder(self.path / CHECKPOINTS, self.options.steps)
        return last if self.newest == last else None

    def expect_own(self, split: Split) -> None:
        """InputError if its folder holds a run with other settings, or on other images."""
        if not self.begun:
            return
        stored = read_json(self.path / CONFIG)
        with within(self.path / CONFIG):
            model = stored_config(stored.get("model", {}))
            options = SynthesisOptions.from_dict(stored.get("training", {}))
            data = DataOptions.from_dict(stored["data"])
        there = {"kind": model.kind, **model.as_dict(), **options.as_dict(), **data.as_dict()}
        here = {"kind": self.model.kind, **self.model.as_dict(), **self.options.as_dict()}
        for name, value in {**here, **json.loads(json.dumps(self.data))}.items():
            if there.get(name) != value:
                raise InputError(
                    f"{self.path}: was trained with {name} {there.get(name)}, not {value}; "
                    "expected the same flags, or another {:out}"
                )
        trained = {} if self.newest is None else read_json(self.newest / CONFIG)["trained"]
        if trained.get("split", split.digest) != split.digest:
            raise InputError(
                f"{self.path}: was trained on other images than {self.data['data']} holds now; "
                "expected the same, or another {:out}"
            )


def expect_comparison(out: Path) -> None:
    """InputError if ``out`` holds files and no run: results would lie among them."""
    found = (name for name in os.listdir(out) if not is_lock(name))
    names = [name for name in found if not name.endswith(".partial")]
    if names and not any((out / name / CONFIG).is_file() for name in names):
        raise InputError(
            "{out} is not empty and holds no comparison: give another folder", out=out
        )


def plan(
    out: Path, variants: Sequence[Variant], common: Settings, seeds: Sequence[int] | None
) -> list[Run]:
    """A run of every variant, or one for each of ``seeds``, in ``out``.

    common: the settings that were given, by name. Each goes to the models that have it.

    InputError for settings that cannot be used, a common one that no model has, and folders that
    hold other runs.
    """
    _expect_used(common, variants)
    sources = open_sources(asked_settings(given(common, DataOptions), ModelConfig)["data"])
    split = Split.of(*sources)
    runs = []
    each: Sequence[int | None] = [None] if seeds is None else seeds
    for seed in each:
        for variant in variants:
            own = common if seed is None else {**common, "seed": seed}
            with within(variant.name):
                asked = sections(own, variant)
                settings = complete(asked, sources[0])
                model = stored_config(settings["model"])
                options = SynthesisOptions.from_dict(settings["training"])
            name = variant.name if seed is None else f"{variant.name}-{seed}"
            run = Run(variant, out / name, asked, settings["data"], model, options, sources[1])
            run.expect_own(split)
            runs.append(run)
    return runs


def sections(common: Settings, variant: Variant) -> dict[str, Any]:
    """What is asked of a run of ``variant``, by sections of ``config.json``."""
    config = MODELS[variant.kind].Config
    for name in variant.settings:
        if not _has(config, name):
            raise InputError(f"a model of kind {variant.kind} has no setting {name}")
    asked = {name: value for name, value in common.items() if _has(config, name)}
    asked = {**variant.defaults, **asked, **variant.settings, "kind": variant.kind}
    found = asked_settings(asked, config)
    return {**found, "data": DataOptions(**found["data"]).as_dict()}


def _has(config: type[ModelConfig], name: str) -> bool:
    if name in ABILITIES and not getattr(MODELS[config.kind], ABILITIES[name]):
        return False
    every = (config, DataOptions, SynthesisOptions)
    return name == "preset" or any(name in settings.settings() for settings in every)


def _expect_used(common: Settings, variants: Sequence[Variant]) -> None:
    kinds = list(dict.fromkeys(variant.kind for variant in variants))
    for name, value in common.items():
        if not any(_has(MODELS[kind].Config, name) for kind in kinds):
            raise InputError(
                f"{{{name}}}: expected a setting of {' or '.join(kinds)}", **{name: value}
            )
