# SPDX-License-Identifier: Apache-2.0
"""The model under test, the images it is measured on, and the settings of both."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.training_state import TRAINING, load_training
from scam.checkpoints.weights import CONFIG, expect_tensors
from scam.commandline.device import open_device
from scam.commandline.flags import given
from scam.data import SOURCES, PairDataset, PairSource, open_source
from scam.data.labels import is_lost, other_labels
from scam.data.options import DataOptions
from scam.data.split import LEAST_EVALUATED, has_val
from scam.data.subset import at_most, evenly
from scam.data.train_val_test import SPLITS
from scam.errors import NAMED, InputError, counted, leading
from scam.evaluation.batches import Batch, one_batch
from scam.evaluation.donors import derangement, read_pairs
from scam.evaluation.evaluated_model import EvaluatedModel, device_name
from scam.evaluation.options import EvaluationOptions
from scam.evaluation.unseen import Memory, say_trained_on
from scam.models.checkpoint import (
    Checkpoint,
    expect_names,
    load_checkpoint,
    run_around,
    same_folder,
    stored_data,
)
from scam.storage.reading import read_json
from scam.version import __version__


@dataclass(frozen=True)
class EvaluationSetup:
    """Everything metrics are built from.

    test: the images to measure on. train: opens the training images, or raises InputError.
    donors: for each test image the one whose subject it receives. facts: for the report.
    """

    options: EvaluationOptions
    checkpoint: Checkpoint
    evaluated: EvaluatedModel
    test: PairDataset
    train: Callable[[], PairDataset]
    donors: list[int]
    facts: dict[str, Any]

    @property
    def stems(self) -> list[str]:
        """Names of the test images."""
        return [self.test.source.stem(index) for index in range(len(self.test))]

    def some(self, count: int) -> Batch:
        """At most ``count`` of the test images, spread evenly, with their donors."""
        return one_batch(self.evaluated, self.test, self.donors, evenly(len(self.test), count))

    @property
    def inputs(self) -> list[Path]:
        """What is read: the model's files, folders of images and label maps, named files."""
        data = self.facts["data"]
        folders = [
            Path(data["data"], split, name)
            for split in ("", *SPLITS)
            for name in ("images", data.get("labels", "labels"))
        ]
        files = [self.options.pairs, *self.options.networks.values()]
        return [*self.checkpoint.files, *folders, *(x for x in files if isinstance(x, Path))]

    @property
    def run(self) -> Path | None:
        """The run folder around the checkpoint, if there is one."""
        return run_around(self.checkpoint.path)


def open_setup(options: EvaluationOptions) -> EvaluationSetup:
    """Load the checkpoint and open the data that ``options`` name.

    InputError for whatever cannot be loaded or does not fit the model.
    """
    checkpoint = load_checkpoint(options.checkpoint, device=open_device(options.device))
    if options.last_weights:
        _take_last_weights(checkpoint)
    data, split, test, train = _pictures(options, checkpoint)
    size = checkpoint.model.config.size
    if options.pairs is None:
        donors = derangement(len(test), options.seed)
    else:
        donors = read_pairs(options.pairs, [test.stem(index) for index in range(len(test))])
    with leading("background_labels"):
        scene = list(checkpoint.model.labels_of(options.background_labels))
    evaluated = EvaluatedModel(checkpoint.model, scene, options.seed, refine=options.refine)
    facts = {
        "checkpoint": str(checkpoint.path),
        "weights": _weights(options, checkpoint.path),
        "data": data,
        "split": split,
        "pictures": len(test),
        "size": list(size),
        "background_labels": [checkpoint.label_names[i] for i in scene],
        "absent": evaluated.absent,
        "pairs": "a derangement by seed" if options.pairs is None else str(options.pairs),
        "seed": options.seed,
        "noise_seeds": options.noise_seeds if evaluated.model.needs_noise else None,
        "refine": options.refine,
        "batch_size": options.batch_size,
        "networks": {name: str(value) for name, value in options.networks.items()},
        "device": device_name(evaluated.device),
        "torch": torch.__version__,
        "scam": __version__,
    }
    return EvaluationSetup(
        options, checkpoint, evaluated, PairDataset(test, size), train, donors, facts
    )


def _pictures(
    options: EvaluationOptions, checkpoint: Checkpoint
) -> tuple[dict[str, Any], str, PairSource, Callable[[], PairDataset]]:
    """The data and their split; the images to measure on, not trained on unless they are asked
    for as such; and how to open train.
    """
    memory = Memory.of(checkpoint.path, checkpoint.model.about.get("trained", {}))
    data, own = _data_options(options, checkpoint, memory)
    place = data["data"]
    if place not in SOURCES:
        data = {"fit": checkpoint.fit, **data}
    labels = data.get("labels", "labels")
    split = options.split or _usual_split(place)
    kept = memory.held_out(place, labels) if own and split in ("train", "val") else None

    @cache
    def train() -> PairDataset:
        source = _opened("train", data, checkpoint, kept)
        return PairDataset(source, checkpoint.model.config.size, cache_bytes=0)

    if own and split == "train":
        say_trained_on(place)
        every = train().source
        return data, split, at_most(_enough(every, place, split), options.max_pictures), train
    every = _opened(split, data, checkpoint, kept)
    if own and memory.digest is None and split == "val" and _is_held_out(place):
        memory.expect_as_trained(place, train().source, every)
    else:
        whole = train().source if memory.split is None and split == "val" and own else None
        memory.doubt(place, whole, every)
    every = memory.left(every, place, labels if own and split == "val" else None)
    return data, split, at_most(_enough(every, place, split), options.max_pictures), train


def _enough(images: PairSource, place: str, split: str) -> PairSource:
    """``images``; InputError where they are too few for an edit."""
    if len(images) < LEAST_EVALUATED:
        more = f", or train with {{:holdout}} {LEAST_EVALUATED}" if split == "val" else ""
        raise InputError(
            f"{place}: {counted(len(images), f'{split} image')}, expected {LEAST_EVALUATED} or "
            f"more: give others with {{data}} or {{split}}{more}",
            data=NAMED,
            split=NAMED,
        )
    return images


def _usual_split(data: str) -> str:
    has_test = data not in SOURCES and Path(data, "test").is_dir()
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


def _data_options(
    asked: EvaluationOptions, checkpoint: Checkpoint, memory: Memory
) -> tuple[dict[str, Any], bool]:
    """The run's data, changed by flags, and whether they hold what the run was trained on.

    InputError if images would be held out other than the run's, which it has seen, or if
    neither a run around the checkpoint nor --data names any.
    """
    run, options = run_around(checkpoint.path), stored_data(checkpoint)
    labels = asked.labels or options.get("labels", "labels")
    own = "data" in options and (asked.data is None or same_folder(asked.data, options["data"]))
    if asked.data in SOURCES and not own:
        options = {"data": asked.data, "merge": options.get("merge")}
    elif asked.data is not None and not own:
        own = memory.is_of(asked.data, labels)
        options = {**options, "data": asked.data}
        if not own:
            options["holdout"] = None
    if "data" not in options:
        raise InputError(
            f"the run folder of {checkpoint.path} is not here: give {{data}} DIR", data=NAMED
        )
    place, held_out = options["data"], _is_held_out(options["data"])
    if asked.data is None and place not in SOURCES and not Path(place).is_dir():
        raise InputError(
            f"{run}: its images were in {place}, where no folder is now: give {{data}}",
            data=NAMED,
        )
    if asked.merge is None and is_lost(merge := options.get("merge")):
        raise InputError(
            f"{run}: its merge was in {merge}, where no file is now: give {{merge}}", merge=NAMED
        )
    if own and held_out:
        kept = options.get("holdout")
        if asked.holdout not in (None, kept, memory.trained.get("held-out pictures")):
            raise InputError(
                f"{{holdout}}: the training of this model held out "
                f"{memory.trained.get('held-out pictures', kept)} images of {place}; give that "
                "number or none",
                holdout=asked.holdout,
            )
        if kept is None and memory.digest is None:
            # Of few images, fewer were held out when the model was trained.
            options = {**options, "holdout": memory.trained.get("held-out pictures")}
    if asked.label_set is None and options.get("label_set") is not None:
        _expect_names(checkpoint, place, labels)
    return {**options, **given(vars(asked), DataOptions), "data": place}, own


def _expect_names(checkpoint: Checkpoint, data: str, labels: str) -> None:
    """InputError if the names in ``data`` contradict the label set that the run was given."""
    try:
        expect_names(checkpoint, Path(data), labels)
    except InputError as error:
        raise InputError(
            f"{error.message}; give {{:label_set}} NAME if the file is wrong"
        ) from error


def _is_held_out(data: str) -> bool:
    """Whether val is a part of train's folder."""
    return data not in SOURCES and not has_val(data)


def _opened(
    split: str, options: dict[str, Any], checkpoint: Checkpoint, held_out: Set[str] | None
) -> PairSource:
    rest = {name: value for name, value in options.items() if name != "data"}
    source = open_source(options["data"], split, **rest, held_out=held_out)
    found = source.label_set.names
    if found != checkpoint.label_names:
        raise InputError(
            f"{options['data']}: {other_labels(found, checkpoint.label_names)}; if they are the "
            "same labels, name them ({:label_set}, labels.txt), else evaluate a model trained on "
            "these labels"
        )
    return source
