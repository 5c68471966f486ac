# SPDX-License-Identifier: Apache-2.0
"""Where the models of a training run lie: ``OUT/checkpoints/step_*``."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scam.errors import InputError
from scam.files import checked_path
from scam.models.weights import CONFIG, MODEL

CHECKPOINTS = "checkpoints"
TRAINING = "training.pt"
_STEP = re.compile(r"step_(\d{7,})")


def resolve_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The step folder that a CHECKPOINT argument means: itself, or the newest of a run folder.

    Raises:
        InputError: there is no such folder, or it holds no complete checkpoint.
    """
    path = checked_path(path, "checkpoint")
    wanted = "give a training run's --out folder or one of its checkpoints/step_* folders"
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise InputError(f"checkpoint {path} {found}: {wanted}")
    if (path / CHECKPOINTS).is_dir():
        newest = newest_step_folder(path / CHECKPOINTS)
        if newest is None:
            raise InputError(f"checkpoint {path} holds no complete step folder yet")
        return newest
    missing = [name for name in (MODEL, CONFIG) if not (path / name).is_file()]
    if not missing:
        return path
    if MODEL not in missing or _STEP.fullmatch(path.name):
        raise InputError(f"checkpoint {path} is incomplete: no {' and no '.join(missing)} in it")
    if CONFIG not in missing:
        raise InputError(f"checkpoint {path} holds no complete step folder yet, and no {MODEL}")
    raise InputError(f"{path} is no checkpoint: {wanted}")


def step_folders(checkpoints: Path) -> Iterator[Path]:
    """``step_*`` folders of a run's ``checkpoints``, newest first, complete or not."""
    found = {}
    if checkpoints.is_dir():
        for folder in checkpoints.iterdir():
            match = _STEP.fullmatch(folder.name)
            if match and folder.is_dir():
                found[int(match[1])] = folder
    for step in sorted(found, reverse=True):
        yield found[step]


def is_complete(folder: Path) -> bool:
    """Whether a step folder holds all that a run writes."""
    return all((folder / name).is_file() for name in (MODEL, CONFIG, TRAINING))


def newest_step_folder(checkpoints: Path) -> Path | None:
    """The one that ``latest`` names if it is complete, else the newest that is."""
    try:
        name = (checkpoints / "latest").read_text().strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if _STEP.fullmatch(name) and is_complete(checkpoints / name):
        return checkpoints / name
    return next(filter(is_complete, step_folders(checkpoints)), None)


@contextmanager
def offering_older(
    step_folder: Path, opens: Callable[[Path], object], how: str = "{older} is whole"
) -> Iterator[None]:
    """Let an InputError of the block also say which older step folder could be opened, and how.

    opens: raises InputError for a folder that is damaged too. how: with ``{older}`` in it.
    """
    try:
        yield
    except InputError as error:
        older = _newest_whole(step_folder, opens)
        if older is None:
            raise
        raise InputError(f"{error}; {how.format(older=older)}") from error


def _newest_whole(step_folder: Path, opens: Callable[[Path], object]) -> Path | None:
    own = _STEP.fullmatch(step_folder.name)
    if own is None:
        return None
    for folder in step_folders(step_folder.parent):
        if int(folder.name.removeprefix("step_")) < int(own[1]) and is_complete(folder):
            try:
                opens(folder)
            except InputError:
                continue
            return folder
    return None
