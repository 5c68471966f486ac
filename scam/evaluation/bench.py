# SPDX-License-Identifier: Apache-2.0
"""The model under test, the pictures it is measured on, and the settings of both."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from scam import cli
from scam.data import PairDataset, PairSource, open_source
from scam.editing.naming import naming
from scam.errors import InputError
from scam.evaluation.pictures import Painter, at_most, derangement, device_name, read_pairs
from scam.files import read_json
from scam.models.weights import CONFIG
from scam.training.checkpoint import load_training
from scam.training.loading import Checkpoint, load_checkpoint
from scam.training.run_folder import run_around
from scam.version import __version__

NETWORK_FLAGS = (
    "inception_weights", "lpips_trunk", "lpips_weights", "dinov2_weights", "extractor",
    "reid_weights",
)  # fmt: skip
DATA_FLAGS = ("labels", "merge", "ignore_label", "label_set", "holdout")


@dataclass(frozen=True)
class Bench:
    """Everything metrics are built from.

    test: the pictures to measure on. train: opens the training pictures, or raises InputError.
    donors: for each test picture the one whose subject it receives. facts: for the report.
    """

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

    @property
    def run(self) -> Path | None:
        """The run folder around the checkpoint, if there is one."""
        return run_around(self.checkpoint.path)


def open_bench(args: argparse.Namespace) -> Bench:
    """Load the checkpoint and open the data that the flags of ``scam.evaluate`` name.

    InputError for whatever cannot be loaded or does not fit the model.
    """
    checkpoint = load_checkpoint(args.checkpoint, device=cli.device(args.device))
    if args.last_weights:
        _take_last_weights(checkpoint)
    options = _data_options(args, checkpoint.path)
    size = checkpoint.model.config.size
    split = args.split or _usual_split(options["data"])
    test = at_most(_opened(split, options, checkpoint), args.max_pictures)
    if len(test) < 2:
        raise InputError(f"{options['data']}: {len(test)} {split} picture, expected 2 or more")

    @cache
    def train() -> PairDataset:
        return PairDataset(_opened("train", options, checkpoint), size, cache_bytes=0)

    if args.pairs is None:
        donors = derangement(len(test), args.seed)
    else:
        donors = read_pairs(args.pairs, [test.stem(index) for index in range(len(test))])
    with naming("--background-labels"):
        scene = [checkpoint.label(word) for word in args.background_labels]
    painter = Painter(checkpoint.model, scene, args.seed)
    facts = {
        "checkpoint": str(checkpoint.path),
        "weights": _weights(args, checkpoint.path),
        "data": options,
        "split": split,
        "pictures": len(test),
        "size": list(size),
        "background_labels": [checkpoint.label_names[i] for i in scene],
        "pairs": "a derangement by seed" if args.pairs is None else str(args.pairs),
        "seed": args.seed,
        "batch_size": args.batch_size,
        "networks": {flag: str(given) for flag in NETWORK_FLAGS if (given := getattr(args, flag))},
        "device": device_name(painter.device),
        "torch": torch.__version__,
        "scam": __version__,
    }
    return Bench(checkpoint, painter, PairDataset(test, size), train, donors, facts)


def _usual_split(data: str) -> str:
    has_test = data != "mannequins" and Path(data, "test").is_dir()
    return "test" if has_test else "val"


def _take_last_weights(checkpoint: Checkpoint) -> None:
    state = load_training(checkpoint.path)
    try:
        checkpoint.model.load_state_dict(state["trainer"]["model"])
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{checkpoint.path}: no weights of the last step ({reason})") from error


def _weights(args: argparse.Namespace, step_folder: Path) -> str:
    if args.last_weights:
        return "of the last step (no EMA)"
    run = run_around(step_folder)
    training = {} if run is None else read_json(run / CONFIG).get("training", {})
    decay = training.get("ema")
    return "averaged (EMA)" if decay is None else f"averaged (EMA {decay})"


def _data_options(args: argparse.Namespace, step_folder: Path) -> dict[str, Any]:
    """The run's data, changed by flags; without a run around the checkpoint --data is needed."""
    run = run_around(step_folder)
    options = {} if run is None else read_json(run / CONFIG).get("data", {})
    if args.data == "mannequins":
        options = {"data": args.data, "merge": options.get("merge")}
    elif args.data is not None:
        options = {**options, "data": args.data, "holdout": None}
    if "data" not in options:
        raise InputError(f"{step_folder}: its run folder is not around it, give --data")
    asked = {flag: getattr(args, flag) for flag in DATA_FLAGS if getattr(args, flag) is not None}
    return {**options, **asked}


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
