# SPDX-License-Identifier: Apache-2.0
"""A folder with a model in it: ``model.safetensors``, and ``config.json`` that says what it is.

A run's step folders also have ``manifest.json``: sizes and digests of the other files.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from scam.errors import InputError, quoted
from scam.storage.reading import file_digest, read_json, reading

CONFIG = "config.json"
MODEL = "model.safetensors"
MANIFEST = "manifest.json"


def write_weights(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write both files into ``folder``, which exists. Tensors: any device, layout and sharing."""
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    # safetensors refuses tensors that share memory or are not contiguous.
    plain: dict[str, Tensor] = {}
    storages = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        storage = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    # Through Python, since safetensors writes no path that is not UTF-8.
    (folder / MODEL).write_bytes(save(plain, metadata={"format": "pt"}))


def state_digest(state: Mapping[str, Tensor], about: str = "") -> str:
    """16 hexadecimal digits that change with any tensor of a state dict, and with ``about``."""
    digest = hashlib.sha256(about.encode())
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def read_weights(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights, on the CPU, and the configuration of the networks they belong to;
    InputError if a file is missing or damaged.
    """
    path = Path(folder) / MODEL
    verify(path.with_name(CONFIG))
    config = read_json(path.with_name(CONFIG))
    verify(path)
    try:
        with reading(path):
            return load(path.read_bytes()), config
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or cut short: {error}") from error


def expect_tensors(
    tensors: Any, like: Mapping[str, Tensor], what: str, *, same_dtype: bool = True
) -> None:
    """InputError, in a line that begins with ``what``, unless ``tensors`` could replace ``like``.

    They have the names, shapes and dtypes of those, and are finite. Without ``same_dtype`` any
    floating one will do where that is expected.
    """
    if not isinstance(tensors, Mapping):
        raise InputError(f"{what}: found {quoted(tensors):.40}, expected tensors by name")
    if other := sorted(map(str, tensors.keys() ^ like.keys())):
        only = "extra" if other[0] in tensors else "missing"
        raise InputError(f"{what} of another model ({other[0]} is {only})")
    for name, own in like.items():
        found = tensors[name]
        if not isinstance(found, Tensor):
            raise InputError(f"{what}: {name} is {quoted(found):.40}, expected a tensor")
        if found.shape != own.shape:
            shapes = f"{name} has shape {tuple(found.shape)}, expected {tuple(own.shape)}"
            raise InputError(f"{what} of another model ({shapes})")
        both_floating = found.is_floating_point() and own.is_floating_point()
        if found.dtype != own.dtype and (same_dtype or not both_floating):
            raise InputError(f"{what}: {name} is {found.dtype}, expected {own.dtype}")
        expect_finite(found.to(own.dtype), f"{what}: {name}")


def expect_finite(tensor: Tensor, what: str) -> None:
    """InputError, in a line that begins with ``what``, if ``tensor`` holds nan or inf."""
    if not bool(tensor.isfinite().all()):
        count = int((~tensor.isfinite()).sum())
        raise InputError(f"{what}: {count} of {tensor.numel()} values are not finite")


def write_manifest(folder: Path, names: Sequence[str]) -> None:
    """Write sizes and digests of the files ``names`` of ``folder``."""
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": file_digest(folder / name)}
        for name in names
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n")


def verify(path: Path) -> None:
    """InputError if ``path`` is not the file that the manifest beside it describes; without one,
    as in folders of earlier versions, any is.
    """
    manifest = path.with_name(MANIFEST)
    if not manifest.exists():
        return
    files = read_json(manifest).get("files")
    entry = files.get(path.name) if isinstance(files, dict) else None
    if not isinstance(entry, dict) or entry.keys() != {"size", "sha256"}:
        raise InputError(f"{manifest} is damaged: no size and digest of {path.name}")
    with reading(path):
        size, digest = path.stat().st_size, file_digest(path)
    if size != entry["size"]:
        differs = f"has {size} bytes, {MANIFEST} says {entry['size']!r}"
        raise InputError(f"{path} is damaged or cut short: {differs}")
    if digest != entry["sha256"]:
        raise InputError(f"{path} is damaged: its digest is not the one in {MANIFEST}")
