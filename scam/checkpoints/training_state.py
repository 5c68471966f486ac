# SPDX-License-Identifier: Apache-2.0
"""``training.pt``: what a resumed run needs beside the weights to use."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.weights import verify
from scam.errors import InputError, first_line
from scam.storage.reading import reading

TRAINING = "training.pt"


def load_training(step_folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the training state of a step folder, tensors on the CPU; InputError if it is missing
    or damaged.
    """
    path = Path(step_folder) / TRAINING
    verify(path)
    with reading(path):
        try:
            state = _load(path)
        except OSError:
            raise
        except Exception as error:  # reading a damaged archive can end in any exception
            raise InputError(f"{path} is damaged or cut short: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is damaged: expected a dict, found {type(state).__name__}")
    return state


def write_training(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the file; TypeError if ``state`` holds something that could not be loaded again."""
    path = folder / TRAINING
    # Through Python files, since torch.save to a path hides why the disk refused, and neither
    # writes nor reads a path that is not UTF-8.
    with path.open("wb") as file:
        torch.save(dict(state), file)
    try:
        with torch.serialization.skip_data():  # what is asked is which types there are
            _load(path)
    except Exception as error:
        raise TypeError(f"training_state cannot be loaded again: {first_line(error)}") from error


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)
