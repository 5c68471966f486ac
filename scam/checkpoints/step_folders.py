# SPDX-License-Identifier: Apache-2.0
"""The checkpoints of a training run: ``OUT/checkpoints/step_*``, and ``latest`` beside them."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from scam.checkpoints.training_state import TRAINING, write_training
from scam.checkpoints.weights import CONFIG, MODEL, write_manifest, write_weights
from scam.errors import InputError
from scam.storage.files import checked_path, folder_aside, remove_folder, sweep, write_aside
from scam.storage.reading import folder_like, read_json, reading

CHECKPOINTS = "checkpoints"
KEPT = 3
DEMO = "demo"
"""The word for the CHECKPOINT that comes with this package."""
_DEMO_FOLDER = Path(__file__).parents[1] / "demo"
_STEP = re.compile(r"step_\d{7,}")


def save(
    checkpoints: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    training_state: Mapping[str, Any],
    write_beside: Callable[[Path], None] | None = None,
) -> Path:
    """Write the step folder of ``step``, let ``latest`` name it, remove all but the last three.

    A kill or a full disk at any moment leaves the previous step folder and ``latest`` as they
    were. A step folder of the same step is replaced.

    tensors, description, write_beside: as of :class:`scam.training.task.Export`. training_state:
    what ``torch.load(weights_only=True)`` accepts, else this is a TypeError.

    Returns the step folder. InputError if it cannot be written.
    """
    sweep(checkpoints, locked=True)
    path = step_folder(checkpoints, step)
    with folder_aside(path) as partial:
        write_weights(partial, tensors, description)
        if write_beside is not None:
            write_beside(partial)
        write_training(partial, training_state)
        write_manifest(partial, (MODEL, CONFIG, TRAINING))
    point_latest(checkpoints, step)
    keep_last(checkpoints, KEPT)
    return path


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` goes."""
    return checkpoints / f"step_{step:07d}"


def point_latest(checkpoints: Path, step: int) -> None:
    """Let ``latest`` name the step folder of ``step``."""
    with write_aside(checkpoints / "latest") as file:
        file.write(f"{step_folder(checkpoints, step).name}\n".encode())


def keep_last(checkpoints: Path, count: int) -> None:
    """Remove all complete step folders but the ``count`` highest and the one ``latest`` names."""
    newest = newest_step_folder(checkpoints)
    for folder in list(filter(is_complete, step_folders(checkpoints)))[count:]:
        if folder != newest:
            remove_folder(folder)


def resolve_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The step folder that a CHECKPOINT argument means: itself, or the newest of a run folder;
    the word ``demo`` always the package's model, so that ``./demo`` is a folder of that name.

    InputError if there is no such folder, or it holds no complete checkpoint.
    """
    # The word alone, for pathlib takes the dot off ./demo.
    path = _demo_folder() if path == DEMO else checked_path(path, "checkpoint")
    wanted = f"give a training run's folder, one of its checkpoints/step_* folders or {DEMO}"
    with reading(path):
        if not path.is_dir():
            found, like = "is a file", ""
            if not path.exists():
                here = f"; the text {DEMO!r}, not a path, is the model that comes with scam"
                like = here if path == Path(DEMO) else folder_like(path, (DEMO,))
                found = "does not exist"
            raise InputError(f"checkpoint {path} {found}: {wanted}{like}")
        missing = _missing(path, (MODEL, CONFIG))
        in_run = (path / CHECKPOINTS).is_dir()
    if in_run:
        newest = newest_step_folder(path / CHECKPOINTS)
        passed_over = incomplete_after(newest, path / CHECKPOINTS)
        if newest is None:
            why = f": {passed_over}" if passed_over else " yet"
            raise InputError(f"checkpoint {path} holds no complete step folder{why}")
        if passed_over:
            warnings.warn(f"{passed_over}; {newest.name} is used", stacklevel=2)
        return newest
    if not missing:
        return path
    if MODEL not in missing or _STEP.fullmatch(path.name):
        raise InputError(f"checkpoint {path} is incomplete: no {' and no '.join(missing)} in it")
    if CONFIG not in missing:
        maker = read_json(path / CONFIG).get("format")  # runs and checkpoints name none
        if maker is not None:
            raise InputError(f"checkpoint {path} was made by scam.{maker}: {wanted}")
        raise InputError(f"checkpoint {path} holds no complete step folder yet, and no {MODEL}")
    raise InputError(f"checkpoint {path} holds no model: {wanted}{_run_in(path)}")


def _run_in(folder: Path) -> str:
    """``; did you mean runs/photos?`` of the newest run in ``folder``; empty without one."""
    with reading(folder):
        runs = [x for x in folder.iterdir() if newest_step_folder(x / CHECKPOINTS) is not None]
        newest = max(runs, key=lambda run: (run / CHECKPOINTS).stat().st_mtime, default=None)
    return "" if newest is None else f"; did you mean {newest}?"


def _demo_folder() -> Path:
    """Where the package's model is; a line if a model here has its name."""
    if os.path.exists(Path(DEMO, CONFIG)):
        warnings.warn(f"{DEMO} is the model of this package; yours here is ./{DEMO}", stacklevel=3)
    return _DEMO_FOLDER


def step_folders(checkpoints: Path) -> Iterator[Path]:
    """``step_*`` folders of a run's ``checkpoints``, newest first, complete or not."""
    found = []
    with reading(checkpoints):
        if os.path.lexists(checkpoints):
            found = [x for x in checkpoints.iterdir() if _STEP.fullmatch(x.name) and x.is_dir()]
    yield from sorted(found, key=lambda x: int(x.name.removeprefix("step_")), reverse=True)


def is_complete(folder: Path) -> bool:
    """Whether a step folder holds all that a run writes."""
    return not _missing(folder)


def incomplete_after(newest: Path | None, checkpoints: Path) -> str | None:
    """That the step folder after ``newest`` is incomplete, in words; None where it is not. No
    kill leaves such a folder: its files were removed, or copied in part.
    """
    later = next(step_folders(checkpoints), None)
    if later is None or later == newest or not (missing := _missing(later)):
        return None
    return f"{later} is incomplete: no {' and no '.join(missing)} in it"


def _missing(folder: Path, names: Sequence[str] = (MODEL, CONFIG, TRAINING)) -> list[str]:
    with reading(folder):
        return [name for name in names if not (folder / name).is_file()]


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
    step_folder: Path,
    opens: Callable[[Path], object],
    advice: Callable[[Path], str] = "{} is whole".format,
) -> Iterator[None]:
    """Let an InputError of the block also say what ``advice`` says of the newest older step folder
    that can be opened.

    opens: raises InputError for a folder that is damaged too.
    """
    try:
        yield
    except InputError as error:
        folders = list(step_folders(step_folder.parent))
        older = folders[folders.index(step_folder) + 1 :] if step_folder in folders else []
        for folder in filter(is_complete, older):
            with suppress(InputError):
                opens(folder)
                break
        else:
            raise
        raise InputError(f"{error}; {advice(folder)}") from error
