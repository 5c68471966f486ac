# SPDX-License-Identifier: Apache-2.0
"""Where results go: whether they can be written, and lose nothing of the user's."""

import contextlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from scam.errors import InputError, leading
from scam.storage.files import LONGEST_NAME, obstacle
from scam.storage.reading import identity


def expect_writable(path: str | os.PathLike[str]) -> None:
    """InputError if no file can be written at ``path``: to be asked before long work.

    Changes nothing, and cannot foresee everything, such as a disk that fills up.
    """
    path = Path(path)
    reason = obstacle(path) or _no_place(path)
    above = next((folder for folder in path.parents if os.path.isdir(folder)), Path())
    if reason is None and not os.access(above, os.W_OK | os.X_OK):
        reason = f"{above}: Permission denied"
    if reason is not None:
        raise InputError(f"{path}: cannot be written: {reason}")


def expect_outputs(
    outputs: Iterable[tuple[str, object, Path]],
    inputs: Iterable[Path] = (),
    *,
    overwrite: bool = False,
) -> None:
    """InputError unless writing ``outputs`` loses nothing of the user's: asked before long work.

    None of them, by whatever link or spelling, may be one of the files ``inputs`` or be in a
    folder among these, and no two may be one file. Files that are there already are replaced
    with ``overwrite`` only. outputs: name and value of the argument that errors
    begin with, and the file.
    """
    inputs = list(inputs)
    taken: dict[object, str] = {}
    for name, value, path in outputs:
        there = identity(path)
        same = {there or _place(path), _place(path)}
        other = next((taken[key] for key in same if key in taken), None)
        reason = None if other is None else f"is also {{:{other}}}"
        if _real(path) in map(_real, inputs) or (there and there in map(identity, inputs)):
            reason = "is one of the files to read"
        elif os.path.lexists(path) and not overwrite:
            reason = "already exists; choose another name or give {:overwrite}"
        with leading(name, value):
            if reason is not None:
                raise InputError(f"{path}: {reason}")
            expect_outside(path, inputs)
            expect_writable(path)
        taken |= dict.fromkeys(same, name)


def expect_outside(path: Path, inputs: Iterable[Path]) -> None:
    """InputError if ``path`` is in one of ``inputs`` that is a folder of images to read."""
    folders = {identity(read): read for read in inputs if os.path.isdir(read)}
    for above in Path(_real(path)).parents:
        if (inside := folders.get(identity(above))) is not None:
            raise InputError(f"{path}: is in {inside}, which is read; expected it elsewhere")


def _real(path: Path) -> str:
    with contextlib.suppress(ValueError):  # a NUL character
        return os.path.realpath(path)
    return str(path)


def _place(path: Path) -> str:
    """Equal for paths that lead to one place, were the disk blind to case as many are."""
    return unicodedata.normalize("NFC", _real(path)).casefold()


def _no_place(path: Path) -> str | None:
    """Why the name ``path`` itself takes no file, in words."""
    if "\0" in str(path):
        return "holds a NUL character"
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        return f"its name has {len(os.fsencode(path.name))} bytes, expected {LONGEST_NAME} at most"
    if os.path.isdir(path):
        return "is a folder, expected a file"
    if os.path.exists(path) and not os.path.isfile(path):
        return "is a device or pipe, expected a file"
    return None
