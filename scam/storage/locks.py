# SPDX-License-Identifier: Apache-2.0
"""One process at a time may write a folder."""

import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scam.errors import InputError
from scam.storage.files import missing_parents, obstacle, remove_empty

if sys.platform != "win32":  # which has no such thing
    import fcntl

_NAME = ".lock"


@contextmanager
def locked(out: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from locking the run folder ``out`` within the block.

    Missing folders are made, and go again if they are still empty at the end. Whatever kills
    this process, the lock goes with it. Where the file system has no locks a warning says so.

    Raises:
        InputError: another process holds the lock; ``out`` is a file, or not writable.
    """
    out = Path(out)
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError("{out} is a file, expected a folder", out=out)
    with locked_by(out / _NAME, ("out", out), "training there", ", or give another folder"):
        yield


@contextmanager
def locked_by(
    file: Path, place: tuple[str, Path], doing: str, instead: str = ""
) -> Iterator[None]:
    """Keep other processes from locking ``file``, which is there only within the block.

    Missing folders are made, and go again if they are still empty at the end. Errors
    mention the ``place``, an argument and its value, and say what its holder is ``doing`` and
    what else to do ``instead``.

    Raises:
        InputError: another process holds the lock; the place is not writable.
    """
    made = missing_parents(file)
    try:
        descriptor = _acquire(file, place, f"{doing}; wait for its end{instead}")
        try:
            yield
        finally:
            # The name goes first: a process that opened it before sees that it changed.
            if _names(file, descriptor):  # the folder may be another one by now, with its own lock
                file.unlink(missing_ok=True)
            os.close(descriptor)
    finally:
        remove_empty(made)


def is_lock(name: str) -> bool:
    """Whether a file of this name in a run folder is its lock, which a killed run leaves."""
    return name == _NAME


def _acquire(file: Path, place: tuple[str, Path], doing: str) -> int:
    while True:
        with _naming(file, place):
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, place, doing)
            _expect_ours(descriptor, file)
            if _names(file, descriptor):
                with _naming(file, place):
                    _sign(file, descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has just taken the name away


@contextmanager
def _naming(file: Path, place: tuple[str, Path]) -> Iterator[None]:
    """Let what the system refuses within the block be an InputError that mentions the place."""
    name, value = place
    try:
        yield
    except OSError as error:
        reason = obstacle(file) or error.strerror
        raise InputError(f"cannot write {{{name}}}: {reason}", **{name: value}) from error
    except ValueError as error:
        message = f"cannot write {{{name}}}: holds a NUL character"
        raise InputError(message, **{name: value}) from error


def _sign(file: Path, descriptor: int) -> None:
    """Write whose the lock is; where that is refused, as on a full disk, it goes again."""
    os.ftruncate(descriptor, 0)
    try:
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError:
        file.unlink(missing_ok=True)
        raise


def _names(file: Path, descriptor: int) -> bool:
    return os.path.exists(file) and os.path.samestat(os.stat(file), os.fstat(descriptor))


def _expect_ours(descriptor: int, file: Path) -> None:
    """InputError for a file that merely has a lock's name: taking it would empty it."""
    begins = os.read(descriptor, 8)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if begins not in (b"", b"process "):
        raise InputError(f"{file}: is not a lock of ours, expected no such file")


def _lock(descriptor: int, place: tuple[str, Path], doing: str) -> None:
    if sys.platform == "win32":
        return
    try:
        # Not flock: loader processes would inherit that and outlive a killed run by seconds.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        name, value = place
        raise InputError(f"{{{name}}}: {holder} is {doing}", **{name: value}) from None
    except OSError as error:
        warnings.warn(
            f"{place[1]} cannot be locked ({error.strerror}): let no other process write there",
            stacklevel=2,
        )
