# SPDX-License-Identifier: Apache-2.0
"""A folder with a model in it: ``model.safetensors``, and ``config.json`` that says what it is."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from scam.errors import InputError
from scam.files import read_json

CONFIG = "config.json"
MODEL = "model.safetensors"


def write_weights(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write both files into ``folder``, which exists. Tensors: any device, layout and sharing."""
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    _save(folder / MODEL, tensors)
    # safetensors makes its file readable by its owner alone.
    shutil.copymode(folder / CONFIG, folder / MODEL)


def state_digest(state: Mapping[str, Tensor], about: str = "") -> str:
    """16 hexadecimal digits that change with any tensor of a state dict, and with ``about``."""
    digest = hashlib.sha256(about.encode())
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def read_weights(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights, on the CPU, and the configuration of the networks they belong to.

    Raises:
        InputError: a file is missing or damaged.
    """
    path = Path(folder) / MODEL
    config = read_json(Path(folder) / CONFIG)
    try:
        return load_file(path), config
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or cut short: {error}") from error


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # safetensors refuses tensors that share memory or are not contiguous.
    plain: dict[str, Tensor] = {}
    storages = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        storage = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    try:
        save_file(plain, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
