# SPDX-License-Identifier: Apache-2.0
"""The folder of one source: image, label map, settings and, once trained, checkpoints.

::

    DIR/config.json                 method, settings, what the labels are in files
    DIR/source.png, labels.png      at the working size; labels as 0, 1, 2, ...
    DIR/targets/                    label maps to try, of the embedded example
    DIR/metrics.jsonl, samples/, checkpoints/    of a network, see scam.training.run_folder
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scam.checkpoints.step_folders import CHECKPOINTS, newest_step_folder
from scam.checkpoints.weights import CONFIG
from scam.data.picture import read_image, read_label_png, save_label_png
from scam.errors import InputError, within
from scam.semia.generator import GeneratorConfig
from scam.semia.patches import PatchOptions
from scam.semia.scales import at_scale
from scam.semia.vocabulary import Vocabulary
from scam.storage.files import write_aside
from scam.storage.reading import folder_like, read_json
from scam.training.run_folder import RunFolder

Method = Literal["patches", "network"]
SOURCE, LABELS, TARGETS = "source.png", "labels.png", "targets"
_FORMAT = "semia"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a folder holds. image: uint8 (3, H, W). labels: int64 (H, W), 0 .. K - 1.

    own_size: (H, W) of the image before it was resized. network: None where there is none.
    """

    path: Path
    method: Method
    image: Tensor
    labels: Tensor
    vocabulary: Vocabulary
    own_size: tuple[int, int]
    patches: PatchOptions
    network: GeneratorConfig | None

    def working(self, labels: Tensor) -> Tensor:
        """labels (H, W), of any size, at the working size."""
        size = (self.labels.shape[0], self.labels.shape[1])
        return at_scale(labels.long(), size, self.own_size, len(self.vocabulary))


def settings_of(
    method: Method, vocabulary: Vocabulary, own_size: tuple[int, int], **sections: Any
) -> dict[str, Any]:
    """What ``config.json`` holds."""
    source = {"vocabulary": vocabulary.as_dict(), "own_size": list(own_size)}
    return {"format": _FORMAT, "method": method, "source": source, **sections}


def write_source(folder: RunFolder, image: Tensor, labels: Tensor) -> None:
    """Write image uint8 (3, H, W) and labels (H, W) into a started folder."""
    write_image(folder.path / SOURCE, image)
    save_label_png(folder.path / LABELS, labels)


def write_image(path: Path, image: Tensor, *, overwrite: bool = True) -> None:
    """Write image uint8 (3, H, W) as a png, whole or not at all."""
    with write_aside(path, overwrite=overwrite) as file:
        Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(file, format="PNG")


def discard(folder: RunFolder) -> None:
    """Remove what a run that failed to start has written."""
    for name in (SOURCE, LABELS):
        (folder.path / name).unlink(missing_ok=True)
    shutil.rmtree(folder.path / TARGETS, ignore_errors=True)
    folder.discard()


def holds_source(path: Path) -> bool:
    """Whether ``python -m scam.semia train`` left what is there."""
    config = path / CONFIG
    return config.is_file() and read_json(config).get("format") == _FORMAT


def read_folder(path: Path) -> Stored:
    """InputError, naming the file, unless ``python -m scam.semia train`` left what is there."""
    config_path = path / CONFIG
    if not path.exists():
        raise InputError(
            f"{path}: does not exist, expected a folder of scam.semia{folder_like(path)}"
        )
    if not config_path.is_file():
        raise InputError(f"{path}: expected a folder of scam.semia (no {CONFIG})")
    config = read_json(config_path)
    methods = dict.fromkeys(get_args(Method))
    method: Method | None = next((x for x in methods if x == config.get("method")), None)
    if "format" not in config and "model" in config:
        raise InputError(f"{path}: holds a model of scam.train, expected a folder of scam.semia")
    if config.get("format") != _FORMAT or method is None:
        raise InputError(f"{config_path}: expected the settings of scam.semia")
    with within(config_path):
        source = config.get("source")
        if not isinstance(source, Mapping):
            raise InputError(f"source is {source!r}, expected its vocabulary and own_size")
        vocabulary = Vocabulary.from_dict(source.get("vocabulary", {}))
        own = source.get("own_size")
        if not (isinstance(own, list) and len(own) == 2 and all(map(_is_side, own))):
            raise InputError(f"own_size is {own!r}, expected [height, width]")
        patches = PatchOptions.from_dict(config.get("patches", {}))
        network = None
        if method == "network":
            network = GeneratorConfig.from_dict(config.get("network", {}))
    image, _ = read_image(path / SOURCE)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    labels = torch.from_numpy(read_label_png(path / LABELS).astype(np.int64))
    if labels.shape != pixels.shape[1:] or int(labels.max()) >= len(vocabulary):
        raise InputError(f"{path / LABELS}: expected the label map of {SOURCE}")
    size = own[0], own[1]
    return Stored(path, method, pixels, labels, vocabulary, size, patches, network)


def _is_side(value: object) -> bool:
    return type(value) is int and value > 0


def newest_weights(path: Path) -> Path:
    """The newest step folder; InputError if nothing was trained."""
    newest = newest_step_folder(path / CHECKPOINTS)
    if newest is None:
        raise InputError(f"{path}: there is no checkpoint yet, expected a trained network")
    return newest
