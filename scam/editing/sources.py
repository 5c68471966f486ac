# SPDX-License-Identifier: Apache-2.0
"""How a command line may name an image: files, a name in a data set, a saved style, a folder."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scam.data import SOURCES, open_source
from scam.data.advice import advising, label_command
from scam.data.labels import other_labels
from scam.data.pairs import Pair, find_pairs, read_pair
from scam.data.picture_folder import IMAGE_SUFFIXES, MAKES, find_label_map
from scam.data.source import PairSource
from scam.data.values import UnknownLabelError
from scam.editing.pictures import Picture
from scam.editing.styles import SUFFIX, Style, load_style
from scam.errors import InputError, counted, did_you_mean, few, leading, within
from scam.models.checkpoint import Checkpoint, expect_names, named, run_around, stored_data

LIBRARY = "styles"
_STORED = "lib:"
_OTHER_MODEL = "give label maps of this model's labels, or a model trained on those labels"


@dataclass(frozen=True)
class Folder:
    """Many images, loaded one at a time by name."""

    name: str
    stems: tuple[str, ...]
    load: Callable[[str], Picture]


class Finder:
    """Opens images, styles and folders for one model.

    data: the data set of images given by name, by default the run's own. labels: the name of
    its folder of label maps. library: the folder of styles, by default the run's; InputError if
    it is none, unless it is one to be made (``new_library``).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        data: str | None = None,
        labels: str | None = None,
        library: Path | None = None,
        *,
        new_library: bool = False,
    ) -> None:
        if library is not None and not library.is_dir() and (library.exists() or not new_library):
            found = "is a file" if library.exists() else "no such folder"
            raise InputError(f"{{library}}: {found}, expected a folder of styles", library=library)
        self.checkpoint = checkpoint
        self._data, self._labels, self._library = data, labels, library
        self._used: set[str] = set()
        self._read_from: list[Path] = []

    def open(self, words: Sequence[str]) -> Picture | Style:
        """One image or style.

        words: an image and its label map; or one of: ``IMAGE,LABELS``, an image whose label map
        is where data folders have it, ``lib:NAME`` or a .safetensors file, an image's name.
        InputError for everything else.
        """
        if len(words) > 2:
            raise InputError("expected an image and its label map")
        if len(words) == 2:
            return self._read_given(Path(words[0]), Path(words[1]))
        word = words[0]
        path = self._stored(word) if word.startswith(_STORED) else Path(word)
        if path.suffix == SUFFIX:
            self._read_from += [path, path.with_suffix(".png")]
            return load_style(path, self.checkpoint.model)
        if path.suffix.lower() in IMAGE_SUFFIXES and os.path.lexists(path):
            return self._read(path, self._map_of(path))
        if "," in word:
            image, _, labels = word.partition(",")
            if not image or not labels or ("," in labels and not Path(labels).is_file()):
                raise InputError(f"{word}: expected IMAGE,LABELS")
            return self._read_given(Path(image), Path(labels))
        return self._find(word)

    def picture(self, words: Sequence[str]) -> Picture:
        """As :meth:`open`; InputError for a style too."""
        found = self.open(words)
        if isinstance(found, Style):
            raise InputError(f"{words[0]}: is a style, expected an image")
        return found

    def folder(self, words: Sequence[str]) -> Folder | None:
        """The images of a data folder, or those held out of a source; None if there is none."""
        if len(words) != 1:
            return None
        if words[0] in SOURCES:
            source = open_source(words[0], "val", merge=self._run_options.get("merge"))
            numbers = {source.stem(index): index for index in range(len(source))}
            return Folder(
                words[0],
                tuple(numbers),
                lambda stem: _load(self.checkpoint, source, numbers[stem]),
            )
        if not Path(words[0]).is_dir():
            return None
        self._used.add("labels")
        expect_names(self.checkpoint, Path(words[0]), self._label_folder)
        pairs = {p.stem: p for p in find_pairs(Path(words[0]), self._label_folder)}
        self._read_from += _folders(pairs.values())

        def load(stem: str) -> Picture:
            return self._read(pairs[stem].image, pairs[stem].labels)

        return Folder(words[0], tuple(pairs), load)

    def examples(self, most: int) -> Folder:
        """The first ``most`` images of the data set, those held out first."""
        self._used |= {"data", "labels"}
        every = ((source, i) for source in self._sources for i in range(len(source)))
        places = {source.stem(i): (source, i) for source, i in islice(every, most)}
        return Folder(
            self._data or self._run_options["data"],
            tuple(places),
            lambda stem: _load(self.checkpoint, *places[stem]),
        )

    @property
    def library(self) -> Path:
        """The folder of styles. InputError if there is neither a run nor one given."""
        if self._library is not None:
            return self._library
        run = run_around(self.checkpoint.path)
        if run is None:
            raise InputError(
                f"{self.checkpoint.path} is in no run folder, which would hold its styles: "
                "expected {:library} DIR"
            )
        return run / LIBRARY

    @property
    def inputs(self) -> list[Path]:
        """What was read so far: the model's files, images, and folders full of them."""
        return [*self.checkpoint.files, *self._read_from]

    def expect_used(self) -> None:
        """InputError if a data set was named and no image by name."""
        for name, value in (("data", self._data), ("labels", self._labels)):
            if value and name not in self._used:
                raise InputError(
                    f"{{{name}}}: unused when all images are given as files", **{name: value}
                )

    def _stored(self, word: str) -> Path:
        name = word.removeprefix(_STORED)
        path = self.library / f"{name}{SUFFIX}"
        if not os.path.lexists(path):
            known = sorted(p.stem for p in self.library.glob(f"*{SUFFIX}") if p.is_file())
            there = f"one of {', '.join(known)}" if known else "a style, it holds none"
            near = did_you_mean(name, known)
            raise InputError(f"{word}: not in {self.library}; expected {there:.200}{near}")
        return path

    def _map_of(self, image: Path) -> Path:
        """The label map of an image in ``DIR/images``, or one called ``<stem>_labels.png``."""
        beside = image.with_name(f"{image.stem}_labels.png")
        if beside.is_file():
            return beside
        if image.parent.name != "images":
            raise InputError(f"{image}: has no label map {beside}{_expected(image)}")
        self._used.add("labels")
        expect_names(self.checkpoint, image.parent.parent, self._label_folder)
        try:
            labels = find_label_map(image, image.parent.parent / self._label_folder)
        except InputError as error:
            reason = str(error).partition(MAKES)[0]
            raise InputError(f"{reason}{_expected(image, self._label_folder)}") from error
        self._read_from += [image.parent, labels.parent]
        return labels

    @cached_property
    def _run_options(self) -> dict[str, Any]:
        return stored_data(self.checkpoint)

    @property
    def _label_folder(self) -> str:
        """The name that is given, else that of the data that the model was trained on."""
        return self._labels or self._run_options.get("labels", "labels")

    @cached_property
    def _sources(self) -> list[PairSource]:
        """Both splits of --data, else of the data the model was trained on."""
        options = dict(self._run_options)
        if self._data is not None:
            options.update(data=self._data, holdout=None)
        if "data" not in options:
            raise InputError(
                f"the run folder of {self.checkpoint.path} is not here, so images have no names: "
                "give image and label map files, or {:data}"
            )
        if self._labels is not None:
            options["labels"] = self._labels
        name = options.pop("data")
        run = run_around(self.checkpoint.path)
        if self._data is None and name not in SOURCES and not Path(name).is_dir():
            raise InputError(
                f"the images of {run} were in {name}, where no folder is now: give "
                "{:data}, the folder where they are"
            )
        trained_on = within(f"{run}: the data it was trained on")
        with trained_on if self._data is None else leading("data", self._data):
            if self._data is not None and name not in SOURCES:
                expect_names(self.checkpoint, Path(name), self._label_folder)
            return [open_source(name, split, **options) for split in ("val", "train")]

    def _find(self, stem: str) -> Picture:
        self._used |= {"data", "labels"}
        for source in self._sources:
            for index in range(len(source)):
                if source.stem(index) == stem:
                    if (pair := source.files(index)) is not None:
                        self._read_from += [pair.image, pair.labels, *_folders([pair])]
                    return _load(self.checkpoint, source, index)
        if Path(stem).is_file():
            kinds = ", ".join(IMAGE_SUFFIXES)
            raise InputError(f"{stem}: is not an image that is read, expected {kinds}")
        if Path(stem).suffix.lower() in IMAGE_SUFFIXES:
            raise InputError(f"{stem}: no such file, nor an image of that name")
        known = " or ".join(_range(source) for source in self._sources if len(source))
        if self._sources[0].files(0) is not None:
            known = f"a name like {self._sources[0].stem(0)}"
        raise InputError(f"{stem}: no such image; expected {known}, or IMAGE,LABELS")

    def expect_names_of(self, labels: Path) -> None:
        """InputError if a label map's data folder, where it is in one, contradicts the model."""
        folder = named(labels.parent)
        if folder.name == self._label_folder or (folder.parent / "images").is_dir():
            expect_names(self.checkpoint, folder.parent, folder.name)

    def _read_given(self, image: Path, labels: Path) -> Picture:
        self.expect_names_of(labels)
        return self._read(image, labels)

    def _read(self, image: Path, labels: Path) -> Picture:
        self._read_from += [image, labels]
        return _read(self.checkpoint, image, labels)


def leading_words(name: str, words: Sequence[str]) -> AbstractContextManager[None]:
    """:func:`scam.errors.leading` with an argument of one word or several."""
    return leading(name, words[0] if len(words) == 1 else list(words))


def _expected(image: Path, labels: str = "labels") -> str:
    """What to give for an image without a label map, for the end of an error."""
    return f"; expected IMAGE,LABELS, or what a parser makes: {label_command(image, labels)}"


def _range(source: PairSource) -> str:
    """``mannequin_val_00000 to mannequin_val_00063``: those without files are numbered."""
    return f"{source.stem(0)} to {source.stem(len(source) - 1)}"


def _folders(pairs: Iterable[Pair]) -> set[Path]:
    return {file.parent for pair in pairs for file in (pair.image, pair.labels)}


def _load(checkpoint: Checkpoint, source: PairSource, index: int) -> Picture:
    if (pair := source.files(index)) is not None:
        return _read(checkpoint, pair.image, pair.labels)
    if source.label_set.names != checkpoint.label_names:
        raise InputError(
            f"{source.stem(index)}: {other_labels(source.label_set.names, checkpoint.label_names)}"
            f"; {_OTHER_MODEL}"
        )
    return Picture(*source.load(index, checkpoint.model.config.size), source.stem(index))


def _read(checkpoint: Checkpoint, image: Path, labels: Path) -> Picture:
    root = image.parent.parent
    in_folder = image.parent.name == "images" and labels.parent.parent == root
    with advising(root, labels.parent.name) if in_folder else nullcontext():
        try:
            photo, read = read_pair(image, labels, checkpoint.label_values)
        except UnknownLabelError as error:
            names = checkpoint.label_names
            its = f"{counted(len(names), 'label')} ({few(names)})"
            raise InputError(f"{error}; this model has {its}: {_OTHER_MODEL}") from error
    return Picture(np.asarray(photo), read, str(image))
