# SPDX-License-Identifier: Apache-2.0
"""The model under test, the pictures it is measured on, and the settings of both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from scam import cli
from scam.checkpoint import Checkpoint, load_checkpoint, run_around, stored_data
from scam.data import PairDataset, PairSource, open_source
from scam.data.subset import at_most, evenly
from scam.editing.naming import naming
from scam.errors import InputError
from scam.evaluation.options import EvaluationOptions
from scam.evaluation.pictures import (
    Painter,
    Pictures,
    batch,
    derangement,
    device_name,
    read_pairs,
)
from scam.files import read_json
from scam.models.step_folders import TRAINING
from scam.models.weights import CONFIG, expect_tensors
from scam.training.checkpoint import load_training
from scam.version import __version__

NETWORK_FLAGS = (
    "inception_weights", "lpips_trunk", "lpips_weights", "dinov2_weights", "extractor",
    "reid_weights",
)  # fmt: skip
DATA_FLAGS = ("labels", "merge", "ignore_label", "label_set", "holdout")


@dataclass(frozen=True)
class EvaluationSetup:
    """Everything metrics are built from.

    test: the pictures to measure on. train: opens the training pictures, or raises InputError.
    donors: for each test picture the one whose subject it receives. facts: for the report.
    """

    options: EvaluationOptions
    checkpoint: Checkpoint
    painter: Painter
    test: PairDataset
    train: Callable[[], PairDataset]
    donors: list[int]
    facts: dict[str, Any]

    @property
    def stems(self) -> list[str]:
        """Names of the test pictures."""
        return [self.test.source.stem(index) for index in range(len(self.test))]

    def some(self, count: int) -> Pictures:
        """At most ``count`` of the test pictures, spread evenly, with their donors."""
        return batch(self.painter, self.test, self.donors, evenly(len(self.test), count))

    @property
    def run(self) -> Path | None:
        """The run folder around the checkpoint, if there is one."""
        return run_around(self.checkpoint.path)


def open_setup(options: EvaluationOptions) -> EvaluationSetup:
    """Load the checkpoint and open the data that ``options`` name.

    InputError for whatever cannot be loaded or does not fit the model.
    """
    checkpoint = load_checkpoint(options.checkpoint, device=cli.device(options.device))
    if options.last_weights:
        _take_last_weights(checkpoint)
    data, own = _data_options(options, checkpoint.path)
    size = checkpoint.model.config.size
    split = options.split or _usual_split(data["data"])
    every = _opened(split, data, checkpoint)
    if len(every) < 2:
        raise InputError(
            f"{data['data']}: {len(every)} {split} picture, expected 2 or more "
            "(--data and --split choose others)"
        )
    test = at_most(every, options.max_pictures)

    @cache
    def train() -> PairDataset:
        return PairDataset(_opened("train", data, checkpoint), size, cache_bytes=0)

    if own and split == "val" and _is_held_out(data["data"]):
        now = {"training pictures": len(train()), "held-out pictures": len(every)}
        _expect_as_trained(data["data"], now, checkpoint.model.about.get("trained", {}))
    if options.pairs is None:
        donors = derangement(len(test), options.seed)
    else:
        donors = read_pairs(options.pairs, [test.stem(index) for index in range(len(test))])
    with naming("--background-labels"):
        scene = [checkpoint.label(word) for word in options.background_labels]
    painter = Painter(checkpoint.model, scene, options.seed)
    facts = {
        "checkpoint": str(checkpoint.path),
        "weights": _weights(options, checkpoint.path),
        "data": data,
        "split": split,
        "pictures": len(test),
        "size": list(size),
        "background_labels": [checkpoint.label_names[i] for i in scene],
        "pairs": "a derangement by seed" if options.pairs is None else str(options.pairs),
        "seed": options.seed,
        "batch_size": options.batch_size,
        "networks": {
            flag: str(given) for flag in NETWORK_FLAGS if (given := getattr(options, flag))
        },
        "device": device_name(painter.device),
        "torch": torch.__version__,
        "scam": __version__,
    }
    return EvaluationSetup(
        options, checkpoint, painter, PairDataset(test, size), train, donors, facts
    )


def _usual_split(data: str) -> str:
    has_test = data != "mannequins" and Path(data, "test").is_dir()
    return "test" if has_test else "val"


def _take_last_weights(checkpoint: Checkpoint) -> None:
    state = load_training(checkpoint.path)
    trainer = state.get("trainer")
    weights: Any = trainer.get("model") if isinstance(trainer, dict) else None
    what = f"{checkpoint.path / TRAINING}: weights of the last step"
    expect_tensors(weights, checkpoint.model.state_dict(), what)
    checkpoint.model.load_state_dict(weights)


def _weights(options: EvaluationOptions, step_folder: Path) -> str:
    if options.last_weights:
        return "of the last step (no EMA)"
    run = run_around(step_folder)
    training = None if run is None else read_json(run / CONFIG).get("training")
    decay = training.get("ema") if isinstance(training, dict) else None
    return "averaged (EMA)" if decay is None else f"averaged (EMA {decay})"


def _data_options(asked: EvaluationOptions, step_folder: Path) -> tuple[dict[str, Any], bool]:
    """The run's data, changed by flags, and whether it is still what the run was trained on.

    InputError if pictures would be held out other than the run's, which it has seen, or if
    neither a run around the checkpoint nor --data names any.
    """
    options = stored_data(step_folder)
    own = "data" in options and (asked.data is None or _same(asked.data, options["data"]))
    if asked.data == "mannequins" and not own:
        options = {"data": asked.data, "merge": options.get("merge")}
    elif asked.data is not None and not own:
        options = {**options, "data": asked.data, "holdout": None}
    if "data" not in options:
        raise InputError(f"{step_folder}: its run folder is not around it, give --data")
    kept = options.get("holdout")
    if own and asked.holdout not in (None, kept) and _is_held_out(options["data"]):
        raise InputError(
            f"--holdout {asked.holdout}: this model was trained on {options['data']} but for "
            f"{'a tenth (60 at most)' if kept is None else kept} of its pictures; "
            "expected no other --holdout"
        )
    given = {flag: getattr(asked, flag) for flag in DATA_FLAGS}
    return {**options, **{flag: value for flag, value in given.items() if value is not None}}, own


def _same(data: str, other: str) -> bool:
    return data == other or Path(data).resolve() == Path(other).resolve()


def _is_held_out(data: str) -> bool:
    """Whether val is a part of train's folder."""
    return data != "mannequins" and not Path(data, "val").is_dir()


def _expect_as_trained(data: str, now: dict[str, int], then: dict[str, Any]) -> None:
    """InputError if files came or went: the hold-out may hold pictures that were trained on."""
    for what, count in now.items():
        if then.get(what, count) != count:
            raise InputError(
                f"{data}: has {count} {what}, had {then[what]} when this model was trained, so "
                "that some of val may have been trained on; expected the same files, or another "
                "--data"
            )


def _opened(split: str, options: dict[str, Any], checkpoint: Checkpoint) -> PairSource:
    rest = {name: value for name, value in options.items() if name != "data"}
    source = open_source(options["data"], split, **rest)
    found = source.label_set.names
    if found != checkpoint.label_names:
        raise InputError(
            f"{options['data']}: its labels are {', '.join(found):.120}, "
            f"this model's are {', '.join(checkpoint.label_names):.120}"
        )
    return source
