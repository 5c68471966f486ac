# SPDX-License-Identifier: Apache-2.0
"""Files of weights that others trained, read without running anything in them."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scam.errors import InputError, NotInstalledError, NoWeightsError, spelled
from scam.pretrained.published import PUBLISHED
from scam.storage.reading import file_digest
from scam.version import install

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], as torchvision's networks were trained."""
EVAL_PACKAGES = install("eval")
"""What brings the packages that some of them need."""


def cached(file: str) -> Path:
    """Where torch.hub keeps a file that it has downloaded; nothing is downloaded here."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def weights_file(argument: str, given: Path | None, usual: str) -> Path:
    """The weights given as ``argument``, else the usual file in torch's cache.

    InputError for a given file that is not there, NoWeightsError for an absent usual one. A
    published file that has another digest than it was published with is warned of.
    """
    if given is not None and not given.is_file():
        raise InputError(f"{{{argument}}}: no such file", **{argument: given})
    path = given or cached(usual)
    if not path.is_file():
        name_it = spelled(f"name it as {{:{argument}}}")
        raise NoWeightsError(f"no weights: put {usual} into {at_home(path.parent)} or {name_it}")
    warn_of_mismatch(path)
    return path


def warn_of_mismatch(path: Path) -> None:
    """Warn where a file has the name of a published one, and other bytes."""
    published = PUBLISHED.get(path.name)
    if published is not None and published.sha256:
        differs = published.mismatch(path, file_digest(path))
        if differs is not None:
            warnings.warn(differs, stacklevel=3)


def at_home(folder: Path) -> str:
    """``folder`` with ``~`` where it is below the user's."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def package(name: str) -> Any:
    """Import an optional package, or NotInstalledError."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = f"not installed: {name.partition('.')[0]} ({EVAL_PACKAGES})"
        raise NotInstalledError(missing) from error


def read_state(path: Path, otherwise: str = "no PyTorch state dict") -> dict[str, Any]:
    """A PyTorch file of named tensors; InputError where it cannot be read, or is something else,
    of which ``otherwise`` says what it is.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch's own words advise to load unsafely
        raise InputError(f"{path}: {otherwise}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: {otherwise}, but a {type(state).__name__}")
    if not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: {otherwise}, but a dict whose keys are no names")
    return state


def load_weights(network: nn.Module, path: Path, only: str = "") -> None:
    """Fill ``network`` from a state dict, of which ``only`` keeps the keys of that prefix;
    InputError, naming the file, when it cannot be read or holds another network.
    """
    other = "the expected network weights"
    state = read_state(path, f"not {other} (no PyTorch state dict)")
    fill(network, {k: v for k, v in state.items() if k.startswith(only)}, path, other)


def fill(network: nn.Module, state: dict[str, Any], path: Path, what: str) -> None:
    """Load ``state``, or InputError: ``path`` does not hold ``what``."""
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: not {what} ({reason:.200})") from error
