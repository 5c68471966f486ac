# SPDX-License-Identifier: Apache-2.0
"""Where the checkpoints of a run lie, and opening them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scam.data import LabelValues, PairSource
from scam.errors import InputError
from scam.models import ModelConfig, Scam
from scam.models.weights import CONFIG, MODEL

TRAINING = "training.pt"
_STEP = re.compile(r"step_(\d{7,})")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and what its label maps mean."""

    path: Path
    model: Scam
    label_names: tuple[str, ...]
    label_values: LabelValues

    def label(self, word: str) -> int:
        """The number of a label given by name or number; InputError lists the names."""
        if word in self.label_names:
            return self.label_names.index(word)
        if word.isdecimal() and int(word) < len(self.label_names):
            return int(word)
        names, last = ", ".join(self.label_names), len(self.label_names) - 1
        raise InputError(f"label {word!r}: expected one of {names}, or 0 to {last}")


def describe(model: ModelConfig, source: PairSource) -> dict[str, Any]:
    """The ``config.json`` of a step folder, which :func:`load_checkpoint` reads."""
    return {"model": model.as_dict(), **describe_labels(source)}


def describe_labels(source: PairSource) -> dict[str, Any]:
    """What the labels are called, and how the values of label files become them."""
    return {
        "label_names": list(source.label_set.names),
        "label_values": source.label_values.as_dict(),
    }


def load_checkpoint(
    path: str | Path, *, device: torch.device | str = "cpu", fused: bool = True
) -> Checkpoint:
    """Open a run folder or one of its step folders: averaged weights, evaluation mode.

    Raises InputError when nothing complete is there or the weights are of another model.
    """
    folder = resolve_checkpoint(path)
    model = Scam.open(folder, fused=fused)
    about = model.about
    try:
        names, values = tuple(about["label_names"]), LabelValues.from_dict(about["label_values"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / CONFIG}: no entry {error}") from error
    return Checkpoint(folder, model.to(device).eval(), names, values)


def load(path: str | Path, *, device: torch.device | str = "cpu", fused: bool = True) -> Scam:
    """Load a trained model from a run folder or one of its ``checkpoints/step_*`` folders.

    It holds the averaged weights and is in evaluation mode. ``fused=False`` computes the dense
    attention of the paper instead. Raises InputError when there is no complete checkpoint.
    """
    return load_checkpoint(path, device=device, fused=fused).model


def resolve_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The step folder that a CHECKPOINT argument means: itself, or the newest of a run folder.

    Raises:
        InputError: there is no such folder, or it holds no complete checkpoint.
    """
    path = Path(path)
    wanted = "give a training run's --out folder or one of its checkpoints/step_* folders"
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise InputError(f"checkpoint {path} {found}: {wanted}")
    if (path / "checkpoints").is_dir():
        newest = newest_step_folder(path / "checkpoints")
        if newest is None:
            raise InputError(f"checkpoint {path} holds no complete step folder yet")
        return newest
    missing = [name for name in (MODEL, CONFIG) if not (path / name).is_file()]
    if not missing:
        return path
    if MODEL not in missing or _STEP.fullmatch(path.name):
        raise InputError(f"checkpoint {path} is incomplete: no {' and no '.join(missing)} in it")
    if CONFIG not in missing:
        raise InputError(f"checkpoint {path} holds no complete step folder yet")
    raise InputError(f"{path} is no checkpoint: {wanted}")


def run_around(step_folder: Path) -> Path | None:
    """The run folder that a step folder lies in, None where it was taken out of it."""
    run = step_folder.parent.parent
    return run if (run / CONFIG).is_file() else None


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
