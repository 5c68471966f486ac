# SPDX-License-Identifier: Apache-2.0
"""Which images a run trains on and which it holds out, known by name and by content."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Literal

from scam.data.pairs import Pair, find_pairs
from scam.data.source import PairSource
from scam.data.train_val_test import split_folders
from scam.errors import InputError, few
from scam.storage.reading import read_json

SPLIT = "split.json"
"""Beside the weights in a step folder."""
FEW_HELD_OUT = 10
"""Below so many images held-out numbers are noisy."""
LEAST_EVALUATED = 2
"""An edit is measured on two images."""
Digests = dict[str, str]
"""Names and digests of files; of drawn images and unreadable files the digest is ""."""
Side = Literal["training", "held_out"]
Entry = tuple[str, str]

_EDGE = 4096  # bytes


@dataclass(frozen=True)
class Split:
    """The images of a run, and those it had: entries (name, digest).

    training, held_out: there when the run was last started or resumed. training_gone,
    held_out_gone: there before, under this name and with this content.
    """

    training: tuple[Entry, ...]
    held_out: tuple[Entry, ...]
    training_gone: tuple[Entry, ...] = ()
    held_out_gone: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, train: PairSource, held_out: PairSource) -> "Split":
        """The split of a run that begins."""
        return cls(tuple(digests_of(train).items()), tuple(digests_of(held_out).items()))

    def side(self, name: str, digest: str, by_name: bool = True) -> Side | None:
        """Where an image belongs; None: it is new.

        Its content decides, and where that is new or ambiguous its name (if ``by_name``).
        """
        keys = ((name, digest), ("", digest), (name, ""))
        for key, (training, held_out) in list(zip(keys, self._known, strict=True))[: 2 + by_name]:
            if (key in training) != (key in held_out):
                return "training" if key in training else "held_out"
        return "training" if ("", digest) in self._known[1][0] else None

    def kept_from_training(self, now: Digests) -> tuple[set[str], set[str]]:
        """Of a folder's images those held out, and further copies of them, on neither side."""
        known = self._known[2][1]
        away = {name for name, digest in now.items() if self.side(name, digest) == "held_out"}
        copies, contents = set(), set()
        for name in sorted(away, key=lambda name: ((name, "") not in known, name)):
            if now[name] in contents and (name, "") not in known:
                copies.add(name)
            if now[name]:
                contents.add(now[name])
        return away - copies, copies

    def continued(self, train: Digests, held_out: Digests) -> "Split":
        """The split of a run that is resumed with these images."""
        training, kept = tuple(train.items()), tuple(held_out.items())
        now = {*training, *kept}
        return Split(
            training,
            kept,
            tuple(x for x in (*self.training_gone, *self.training) if x not in {*training}),
            tuple(x for x in (*self.held_out_gone, *self.held_out) if x not in now),
        )

    def as_dict(self) -> dict[str, list[str]]:
        """Lines ``digest name`` for JSON."""
        return {
            field.name: [
                f"{digest:16} {name}" for name, digest in sorted(getattr(self, field.name))
            ]
            for field in fields(self)
        }

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any name or content."""
        return hashlib.sha256(json.dumps(self.as_dict()).encode()).hexdigest()[:16]

    @property
    def copies(self) -> list[str]:
        """Held-out images whose content is trained on as well."""
        trained_on = _contents(self.training)
        return [name for name, digest in self.held_out if ("", digest) in trained_on]

    @cached_property
    def names(self) -> set[str]:
        """Of the images there when the run was last started or resumed."""
        return {name for name, _ in (*self.training, *self.held_out)}

    @cached_property
    def _known(self) -> tuple[tuple[set[Entry], set[Entry]], ...]:
        """Entries; digests alone; names alone: of training images, and of held-out ones."""
        training = {*self.training, *self.training_gone}
        held_out = {*self.held_out, *self.held_out_gone}
        return (
            (training, held_out),
            (_contents(training), _contents(held_out)),
            (_names(training), _names(held_out)),
        )


def _contents(entries: Iterable[Entry]) -> set[Entry]:
    return {("", digest) for _, digest in entries if digest}


def _names(entries: Iterable[Entry]) -> set[Entry]:
    return {(name, "") for name, _ in entries}


def digests_of(source: PairSource) -> Digests:
    """Names and digests of a source's photographs."""
    found = ((source.stem(index), source.files(index)) for index in range(len(source)))
    return {name: "" if files is None else _digest(files.image) for name, files in found}


def training_folder(root: Path, labels: str) -> Digests:
    """All images of ``root``, or of ``root/train``: those held out of training as well."""
    name = "train" if "train" in split_folders(root) else ""
    return _digests(find_pairs(root / name, labels))


def val_folder(root: Path, labels: str) -> Digests:
    """All images of ``root/val``."""
    return _digests(find_pairs(root / "val", labels))


def has_val(data: str) -> bool:
    """Whether a folder says itself what is held out."""
    return Path(data, "val").is_dir()


def write_split(folder: Path, split: Split) -> None:
    """Write the file into ``folder``, which exists."""
    (folder / SPLIT).write_text(json.dumps(split.as_dict(), indent=0) + "\n")


def read_split(folder: Path, digest: str | None) -> Split | None:
    """The split of the model in ``folder``, None where it is not with it.

    digest: the split's, as the model's configuration has it; None: the model is older than that.
    InputError for a damaged file, or that of another model.
    """
    path = folder / SPLIT
    if digest is None or not path.is_file():
        return None
    stored = read_json(path)
    names = [field.name for field in fields(Split)]
    if stored.keys() != {*names} or not all(map(_is_list_of_words, stored.values())):
        raise InputError(f"{path} is damaged: expected lists of images, {', '.join(names)}")
    entries = {
        side: tuple((line[17:], line[:16].strip()) for line in lines)
        for side, lines in stored.items()
    }
    split = Split(**entries)
    if split.digest != digest:
        raise InputError(
            f"{path} is damaged or another model's: its digest is {split.digest}, "
            f"expected {digest}"
        )
    return split


def _is_list_of_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def named(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    return few(sorted(names))


def _digests(pairs: Iterable[Pair]) -> Digests:
    return {pair.stem: _digest(pair.image) for pair in pairs}


def _digest(path: Path) -> str:
    """16 hexadecimal digits of a file's size, first and last 4 KiB: 50 us a file.

    The end of a PNG holds checksums of all pixels; compressed images that differ, but not in
    size, nor at either end, have not been met.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(_EDGE)
            file.seek(max(size - _EDGE, len(first)))
            edges = first + file.read(_EDGE)
    except OSError:
        return ""  # who loads it says why
    return hashlib.sha256(b"%d " % size + edges).hexdigest()[:16]
