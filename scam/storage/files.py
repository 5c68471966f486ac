# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are either whole or absent, whatever kills the process meanwhile.

Everything is written beside its target as ``.NAME.PROCESS.partial``, forced to the disk and then
renamed; ``-THREAD`` follows the process where that is not its main one. Whatever cannot be written
is an :class:`InputError` that names it and the cause.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from scam.errors import InputError, quoted

LONGEST_NAME = 255  # bytes, of all common file systems
_ASIDE = re.compile(r"\.(?P<name>.+?)(\.(?P<process>\d+)(-\d+)?)?\.(partial|old)")


@contextmanager
def write_aside(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file for binary writing that appears at ``path`` only when the block succeeds.

    Missing parent folders are made. An existing file is replaced in one step, or kept as it was
    if the block raises, and in any case without ``overwrite``.

    Raises:
        InputError: the disk refuses (full, read-only, no permission, a file in the way); without
            ``overwrite``, something is there by the end of the block.
    """
    path = Path(path)
    partial = _aside(path, "partial")
    with _naming(path), _parents(path):
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _rename(partial, path, overwrite)
            _sync(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def folder_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder to fill; it appears at ``path`` only when the block succeeds.

    A folder already at ``path``, or a link to one, is replaced, or kept as it was if the block
    raises. Only plain files directly inside the new folder are forced to the disk.

    Raises:
        InputError: the disk refuses (full, read-only, no permission, a file in the way).
    """
    path = Path(path)
    with _naming(path), _filled_aside(path) as partial:
        yield partial
        _sync_files(partial)
        _put_in_place(partial, path)


@contextmanager
def files_aside(
    folder: str | os.PathLike[str], names: Sequence[str], *, overwrite: bool = True
) -> Iterator[Path]:
    """Give an empty folder to fill; its files ``names`` move to ``folder`` if the block succeeds.

    They do so in that order, each replacing an earlier one in one step if ``overwrite``; other
    files that ``folder`` holds stay. Missing parent folders are made.

    Raises:
        InputError: as :func:`write_aside`.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write {folder}: is a file, expected a folder")
    with _naming(folder), _filled_aside(folder / "files") as partial:
        yield partial
        _sync_files(partial)
        for name in names:
            _rename(partial / name, folder / name, overwrite)
        partial.rmdir()
        _sync(folder)


def checked_path(path: Any, name: str) -> Path:
    """``path`` with the home folder for a ``~`` that begins it. InputError if it cannot be one.

    An empty one would mean the working folder. Errors call it ``name``.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise InputError(f"{name} {quoted(path)}: expected a path")
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise InputError(f"{name} {quoted(path)}: expected a path, not empty and without NUL")
    return Path(os.path.expanduser(path))


@contextmanager
def free_folder(base: Path) -> Iterator[Path]:
    """Make the first of base, base-2, base-3, ... that is not there yet: this process's alone.

    If the block raises and leaves it empty, it goes again.

    Raises:
        InputError: the disk refuses.
    """
    candidate, number = base, 1
    with _naming(base), _parents(base):
        while True:
            try:
                candidate.mkdir()
                break
            except FileExistsError:
                number += 1
                candidate = base.with_name(f"{base.name}-{number}")
        try:
            yield candidate
        except BaseException:
            remove_empty([candidate])
            raise


def remove_folder(path: Path) -> None:
    """Remove a folder so that half of it is never seen under its own name; of a link the link."""
    # No process in the name: nobody fills it, so any process may remove the rest.
    partial = path.with_name(f".{path.name}.partial")
    with _naming(path, "remove"):
        _discard(partial)
        os.replace(path, partial)
        _discard(partial)


def sweep(folder: Path, *, locked: bool = False) -> None:
    """Clear what killed processes left in ``folder``; does nothing if there is no such folder.

    What a process that still runs on this machine is writing stays. locked: the caller keeps all
    other processes out of ``folder``, so that nothing there can be theirs.
    """
    with _naming(folder, "clean up"):
        for old, name in _left_over(folder, "old", locked):
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                if (folder / name).exists():
                    _discard(old)
                else:
                    os.replace(old, folder / name)
        for partial, _ in _left_over(folder, "partial", locked):
            _discard(partial)


def _left_over(folder: Path, kind: str, locked: bool = False) -> Iterator[tuple[Path, str]]:
    """What no running process writes or keeps in ``folder``, and for which name there."""
    for path in sorted(folder.glob(f".*.{kind}")):
        match = _ASIDE.fullmatch(path.name)
        if match is None:
            continue
        process = match["process"]
        if locked or process is None or not _is_running(int(process)):
            yield path, match["name"]


def _discard(partial: Path, *, ignore_errors: bool = False) -> None:
    with contextlib.suppress(FileNotFoundError):
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=ignore_errors)
        elif os.path.lexists(partial):
            partial.unlink()


def _is_running(process: int) -> bool:
    """Whether this machine has such a process; True where that cannot be asked."""
    if sys.platform == "win32":  # where os.kill ends it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def write_json(path: Path, value: Mapping[str, Any], *, overwrite: bool = True) -> None:
    """Write a JSON object for people to read, all of it or nothing; see :func:`write_aside`."""
    with write_aside(path, overwrite=overwrite) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the missing folders above ``path``; if the block raises they go again."""
    missing = missing_parents(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        remove_empty(missing)
        raise


def missing_parents(path: Path) -> list[Path]:
    """The folders above ``path`` that are not there, the inner ones first."""
    return [folder for folder in path.parents if not os.path.lexists(folder)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of ``folders``, the inner ones first, that hold nothing."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _rename(partial: Path, path: Path, overwrite: bool) -> None:
    """Let the file ``partial`` be ``path``; what appeared there since it was asked for stays."""
    if overwrite:
        os.replace(partial, path)
        return
    try:
        os.link(partial, path)  # which replaces nothing
    except OSError:  # perhaps a file system without hard links
        if os.path.lexists(path):
            raise InputError(
                f"{path}: exists by now; choose another name or give {{:overwrite}}"
            ) from None
        os.replace(partial, path)
    else:
        partial.unlink()


def _aside(path: Path, kind: str) -> Path:
    """Where this thread keeps ``path`` meanwhile: no two write the same file."""
    us = str(os.getpid())
    if threading.current_thread() is not threading.main_thread():
        us += f"-{threading.get_native_id()}"
    name = f".{path.name}.{us}.{kind}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        short = hashlib.sha256(os.fsencode(path.name)).hexdigest()
        name = f".{short}.{us}.{kind}"
    return path.with_name(name)


@contextmanager
def _filled_aside(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, removed if the block raises."""
    partial = _aside(path, "partial")
    for stale, name in _left_over(path.parent, "partial"):
        if name == path.name:
            _discard(stale)
    _discard(partial)  # of an earlier process with our number
    with _parents(partial):
        partial.mkdir()
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _put_in_place(partial: Path, path: Path) -> None:
    # No portable call exchanges two folders: between the renames only `.old` holds the previous
    # one, and `sweep` brings it back after a kill.
    old = _aside(path, "old")
    if os.path.lexists(path):
        os.replace(path, old)
    try:
        os.replace(partial, path)
    except BaseException:
        if os.path.lexists(old):
            os.replace(old, path)
        raise
    _sync(path.parent)
    _discard(old, ignore_errors=True)


def _sync_files(folder: Path) -> None:
    for file in folder.iterdir():
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path, verb: str = "write") -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause = _disk_error(error)
        if cause is None:
            if isinstance(error, ValueError) and "\0" in str(path):
                raise InputError(f"cannot {verb} {path}: holds a NUL character") from error
            raise
        reason = cause.strerror or cause
        if isinstance(cause, FileExistsError | NotADirectoryError):
            reason = obstacle(path) or reason
        raise InputError(f"cannot {verb} {path}: {reason}") from error


def obstacle(path: Path) -> str | None:
    """Which of the folders above ``path`` is not a folder, in words."""
    for above in path.parents:
        if os.path.lexists(above):
            found = "a file" if os.path.exists(above) else "a link to nothing"
            return None if os.path.isdir(above) else f"{above} is {found}, expected a folder"
    return None


def _disk_error(error: BaseException | None) -> OSError | None:
    # torch.save reports a full disk as a RuntimeError about file positions that was raised while
    # the OSError was being handled.
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error
