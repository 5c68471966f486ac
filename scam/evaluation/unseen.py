# SPDX-License-Identifier: Apache-2.0
"""Which images of a data set a model was not trained on, as far as that can be known."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scam.data import SOURCES, PairSource
from scam.data.split import (
    Digests,
    Split,
    digests_of,
    has_val,
    named,
    read_split,
    training_folder,
    val_folder,
)
from scam.data.subset import Subset
from scam.errors import NAMED, InputError, counted


@dataclass(frozen=True)
class Memory:
    """What a model knows of the images it was trained on.

    split: their names and contents, where they are with the model. digest: the split's, which a
    copy of the model alone keeps. trained: how many there were, and other facts.
    """

    split: Split | None
    digest: str | None
    trained: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, trained: Mapping[str, Any]) -> "Memory":
        """Of the model in ``folder``, whose configuration says how it was ``trained``."""
        digest = trained.get("split")
        return cls(read_split(folder, digest), digest, trained)

    def is_of(self, data: str, labels: str) -> bool:
        """Whether a folder, wherever it is, holds the images that the model was trained on.

        It does if the names are the same, or half of the images.
        """
        if self.split is None or data in SOURCES or not Path(data).is_dir():
            return False
        now = _digests(data, labels)
        there = sum(now.get(n) == d for n, d in (*self.split.training, *self.split.held_out))
        return now.keys() == self.split.names or 2 * there >= len(self.split.names)

    def held_out(self, data: str, labels: str) -> frozenset[str] | None:
        """Names that stay held out in the run's data, where no val folder says so."""
        if self.split is None or data in SOURCES or has_val(data):
            return None
        now = training_folder(Path(data), labels)
        names = frozenset(self.split.kept_from_training(now)[0])
        if not names:
            count = len(self.split.held_out)
            raise InputError(
                f"{data}: has none of this model's {counted(count, 'held-out image')}; "
                "expected them, or other {data}",
                data=NAMED,
            )
        gone = {name for name, _ in self.split.held_out} - names
        if gone and len(names) < len(self.split.held_out):
            _say(f"{data}: {counted(len(gone), 'held-out image')} gone ({named(gone)})")
        return names

    def left(self, source: PairSource, data: str, labels: str | None) -> PairSource:
        """The images of ``source`` that were not trained on.

        labels: the folder of label maps where ``data`` are the run's own images: those are known
        by their names too, unless training has another image of that name.
        """
        if self.split is None:
            return source
        taken: Digests = {}
        if labels is not None and data not in SOURCES and has_val(data):
            taken = training_folder(Path(data), labels)
        seen = {
            name
            for name, digest in digests_of(source).items()
            if self.split.side(name, digest, labels is not None and name not in taken)
            == "training"
        }
        if not seen:
            return source
        _say(f"{data}: left out {counted(len(seen), 'image')} trained on ({named(seen)})")
        stems = (source.stem(index) for index in range(len(source)))
        return Subset(source, [index for index, stem in enumerate(stems) if stem not in seen])

    def expect_as_trained(self, data: str, train: PairSource, held_out: PairSource) -> None:
        """For models that are older than splits: InputError if files came or went.

        The hold-out may hold images that were trained on.
        """
        for what, source in (("training pictures", train), ("held-out pictures", held_out)):
            then = self.trained.get(what, len(source))
            if then != len(source):
                images = what.replace("pictures", "images")
                raise InputError(
                    f"{data}: has {len(source)} {images}, had {then} when this model was trained, "
                    "so that some of val may have been trained on; expected the same files, or "
                    "other {data}",
                    data=NAMED,
                )

    def doubt(self, data: str, train: PairSource | None, measured: PairSource) -> None:
        """Say that images may have been trained on, where nothing here excludes it."""
        if self.split is not None or data in SOURCES:
            return
        if train is not None and Split.of(train, measured).digest == self.digest:
            return
        _say(
            f"{data}: this model came without the names of its training images, so that some of "
            "those measured may be among them"
        )


def say_trained_on(data: str) -> None:
    """Say that what is measured was trained on, as it was asked for."""
    _say(f"{data}: measured on training images, which says nothing about new ones")


def _digests(data: str, labels: str) -> Digests:
    root = Path(data)
    try:
        return {
            **training_folder(root, labels),
            **(val_folder(root, labels) if has_val(data) else {}),
        }
    except InputError:
        return {}  # for instance a test folder alone


def _say(text: str) -> None:
    warnings.warn(text, stacklevel=3)
