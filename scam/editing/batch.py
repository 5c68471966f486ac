# SPDX-License-Identifier: Apache-2.0
"""The same edit over folders: how images are paired, what is done, one image at a time."""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scam.commandline.progress import progress
from scam.editing.edit import Edited
from scam.editing.outcomes import Outcome
from scam.editing.pictures import Picture
from scam.editing.sources import Folder
from scam.editing.styles import Style
from scam.errors import InputError, Interrupted, counted, leading, shown, within
from scam.storage.files import missing_parents, remove_empty, sweep, write_aside, write_json
from scam.storage.reading import read_json

RECORD = "transfer.json"
NO_FOLDERS = "{pairs}: expected {:background} and another to be folders"
Source = Picture | Style | Folder
"""A subject or donor: one for every result, or a folder with one for each."""


@dataclass(frozen=True)
class Plan:
    """Names of the results, and for each folder which of its images each result takes."""

    names: tuple[str, ...]
    donors: Mapping[str, str]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with the pairs."""
        text = json.dumps(dict(self.donors), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def background(self, source: Picture | Folder, name: str) -> Picture:
        """The background image of the result ``name``, loaded now."""
        return source.load(name) if isinstance(source, Folder) else source

    def other(self, source: Source, name: str) -> Picture | Style:
        """What a subject or donor gives to the result ``name``, loaded now."""
        return source.load(self.donors.get(name, name)) if isinstance(source, Folder) else source


def make_plan(background: Picture | Folder, others: Sequence[Source], pairs: Path | None) -> Plan:
    """Pair folders by the names of their images, or by ``pairs``.

    pairs: a JSON file ``{"donors": {background's name: other's name}}``, as scam.evaluate leaves
    it. InputError if no name is in every folder, or the file names an image that is not there.
    """
    folders = [source for source in others if isinstance(source, Folder)]
    if pairs is not None:
        return _by_file(background, folders, pairs)
    if isinstance(background, Folder):
        folders.insert(0, background)
    common = set.intersection(*(set(folder.stems) for folder in folders))
    if not common:
        examples = ", ".join(f"{folder.name}: {folder.stems[0]}" for folder in folders)
        raise InputError(
            f"no image has the same name in every folder ({examples}); give {{:pairs}}"
        )
    return Plan(tuple(stem for stem in folders[0].stems if stem in common), {})


def _by_file(background: Picture | Folder, folders: list[Folder], path: Path) -> Plan:
    if not isinstance(background, Folder) or not folders:
        raise InputError(NO_FOLDERS, pairs=path)
    with leading("pairs", path):
        donors = read_json(path).get("donors")
    if not isinstance(donors, dict) or not donors:
        raise InputError('{pairs}: expected {"donors": {"background": "donor", ...}}', pairs=path)
    for host, donor in donors.items():
        for folder, stem in ((background, host), *((folder, donor) for folder in folders)):
            if stem not in folder.stems:
                message = f"{{pairs}}: {stem!r} is not an image of {folder.name}"
                raise InputError(message, pairs=path)
    return Plan(tuple(donors), donors)


@contextmanager
def opened(out: Path, settings: dict[str, Any]) -> Iterator[None]:
    """:func:`open_out` for the block; a folder made and left without a result is removed."""
    new = not os.path.lexists(out / RECORD)
    missing = missing_parents(out / RECORD)
    open_out(out, settings)
    try:
        yield
    except BaseException:
        if new and os.listdir(out) == [RECORD]:
            (out / RECORD).unlink()
            remove_empty(missing)
        raise


def open_out(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder of results, or resume one of the same settings.

    InputError if it holds anything else.
    """
    settings = json.loads(json.dumps(settings))
    record = out / RECORD
    if record.is_file():
        sweep(out)
        there = read_json(record)
        for key in [*settings, *there]:
            if there.get(key) != settings.get(key):
                other = "another model" if key == "model" else f"other {key}"
                if key.isidentifier() and key != "model":
                    least = 0 if key == "refine" else None  # which is left out where it is 0
                    before, now = (_typed(found.get(key, least)) for found in (there, settings))
                    other = f"{{:{key}}} {before} there, {now} here"
                raise InputError(
                    f"{{out}}: holds transfers with {other}; expected another folder", out=out
                )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("{out}: already exists; choose a new folder", out=out)
    write_json(record, settings)


def _typed(value: object) -> str:
    """A setting as a command line has it."""
    words = value if isinstance(value, list) else [value]
    named = {None: "none", True: "on", False: "off"}
    return (
        " ".join(
            named[word] if word is None or isinstance(word, bool) else shlex.quote(shown(word))
            for word in words
        )
        or "none"
    )


def run(
    out: Path, names: Sequence[str], make: Callable[[str], Edited]
) -> list[tuple[Outcome, ...]]:
    """Write ``out/NAME.png`` for every name that is not there yet.

    Returns what the labels of each were given. One result at a time is in memory, and each is
    whole or absent. Ctrl-C raises Interrupted once there is a result.
    """
    todo = [name for name in names if not (out / f"{name}.png").is_file()]
    found: list[tuple[Outcome, ...]] = []
    try:
        with progress("transfer", len(todo)) as bar:
            for name in todo:
                with within(name):
                    edited = make(name)
                with write_aside(out / f"{name}.png") as file:
                    Image.fromarray(edited.pixels).save(file, format="PNG")
                found.append(edited.outcomes)
                bar.update()
    except KeyboardInterrupt:
        done = len(names) - len(todo) + len(found)
        if not done:
            raise
        raise Interrupted(
            f"interrupted: {done} of {counted(len(names), 'image')} in {out}, the same command "
            "makes the others"
        ) from None
    return found
