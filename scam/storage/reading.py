# SPDX-License-Identifier: Apache-2.0
"""Small files of the user's and our own: regular ones only, JSON by the letter, digests."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scam.errors import InputError, nearest, quoted


def expect_file(path: Path) -> None:
    """InputError for a folder, a pipe, a device or a socket, whose reader would wait or fail.

    OSError where nothing is there.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        reason = f"a link to {os.readlink(path)}, which is not there"
        raise InputError(f"{path}: cannot be read ({reason})") from None
    if not stat.S_ISREG(mode):
        found = next((name for is_one, name in _NO_FILES if is_one(mode)), "no file")
        raise InputError(f"{path}: is {found}, expected a file")


_NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: no such file, or something else is in it.
    """
    try:
        expect_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    value = parse_json(content, f"{path} is damaged")
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: expected a JSON object, found {quoted(value):.40}")
    return value


def parse_json(text: str | bytes, what: str) -> Any:
    """What JSON means, by the letter: no name twice, no number that is not finite.

    Raises:
        InputError: it is none, in a line that begins with ``what``.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_twins,
            parse_constant=_finite,
            parse_float=lambda digits: _finite(digits, float(digits)),
        )
    except RecursionError:
        raise InputError(f"{what}: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{what}: not JSON ({error})") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(twice)} is there twice")
    return found


def _finite(digits: str, value: float = math.nan) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{digits:.40} is not a finite number")
    return value


def folder_like(missing: Path, words: Collection[str] = ()) -> str:
    """``; did you mean runs/photos?``, for the end of a message about a ``missing`` folder: one
    that is there, with one part of its path spelled a little differently. Empty if there is none.

    words: what may also have been meant by a path of one part.
    """
    lost = missing
    while not os.path.isdir(lost.parent):
        lost = lost.parent
    try:
        names = [x for x in sorted(os.listdir(lost.parent)) if os.path.isdir(lost.parent / x)]
    except OSError:
        names = []
    words = words if missing.parent == Path() else ()
    near = nearest(lost.name, [*names, *words])
    if near is None:
        return ""
    meant = lost.parent / near / missing.relative_to(lost)
    there = near in words or os.path.isdir(meant)
    return f"; did you mean {meant}?" if there else ""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Let an OSError of the block, such as one of permissions, be an InputError that names it."""
    try:
        yield
    except OSError as error:
        where = path if error.filename is None else os.fsdecode(error.filename)
        raise InputError(f"cannot read {where}: {error.strerror or error}") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: Path, *, content: bool = False) -> tuple[int, ...] | None:
    """Equal for all names of one file or folder; None if nothing is there, or no path.

    content: another once the file is written to.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    its = found.st_dev, found.st_ino
    return (*its, found.st_size, found.st_mtime_ns) if content else its
