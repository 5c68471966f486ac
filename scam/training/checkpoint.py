# SPDX-License-Identifier: Apache-2.0
"""Step folders: the networks to use, and all else that training needs to go on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scam.checkpoints.step_folders import TRAINING
from scam.checkpoints.weights import CONFIG, MODEL, verify, write_manifest, write_weights
from scam.data.split import Split, write_split
from scam.errors import InputError
from scam.storage.files import folder_aside, sweep
from scam.training.run_folder import RunFolder

KEPT = 3


def save(
    folder: RunFolder,
    step: int,
    model_tensors: Mapping[str, Tensor],
    model_config: Mapping[str, Any],
    training_state: Mapping[str, Any],
    split: Split | None = None,
) -> Path:
    """Write the step folder of ``step``, let ``latest`` name it, remove all but the last three.

    A kill or a full disk at any moment leaves the previous step folder and ``latest`` as they
    were. A step folder of the same step is replaced.

    Args:
        folder: the run.
        step: steps done.
        model_tensors: the weights to use, of any device, layout and sharing.
        model_config: what builds the networks, as JSON can hold it.
        training_state: tensors, numbers, strings and containers of these, as
            ``torch.load(weights_only=True)`` accepts them.
        split: the pictures that were trained on and those that were held out.

    Returns:
        The step folder.

    Raises:
        InputError: it cannot be written, for instance because the disk is full, or the run folder
            was removed or renamed.
        TypeError: ``training_state`` holds something that could not be loaded again.
    """
    folder.expect_there()
    sweep(folder.checkpoints, locked=True)
    path = folder.step_folder(step)
    with folder_aside(path) as partial:
        write_weights(partial, model_tensors, model_config)
        if split is not None:
            write_split(partial, split)
        _save_training(partial / TRAINING, training_state)
        write_manifest(partial, (MODEL, CONFIG, TRAINING))
    folder.point_latest(step)
    folder.keep_last(KEPT)
    return path


def load_training(step_folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read all else that training needs to go on, tensors on the CPU.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = Path(step_folder) / TRAINING
    verify(path)
    try:
        state = _load(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # reading a damaged archive can end in any exception
        raise InputError(f"{path} is damaged or cut short: {_first_line(error)}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is damaged: expected a dict, found {type(state).__name__}")
    return state


def _save_training(path: Path, state: Mapping[str, Any]) -> None:
    # Through Python files, since torch.save to a path hides why the disk refused, and neither
    # writes nor reads a path that is not UTF-8.
    with path.open("wb") as file:
        torch.save(dict(state), file)
    try:
        _load(path)
    except Exception as error:
        raise TypeError(f"training_state cannot be loaded again: {_first_line(error)}") from error


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
