# SPDX-License-Identifier: Apache-2.0
"""Feature statistics of real pictures, computed once and kept in a cache folder."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from scam.data import FolderPairs, PairDataset, PairSource
from scam.data.convert import evenly, to_uint8
from scam.errors import InputError
from scam.evaluation import networks
from scam.evaluation.pictures import Subset
from scam.evaluation.rows import MissingError
from scam.files import write_aside
from scam.metrics import FeatureMoments, FeatureStatistics
from scam.progress import progress

_PROBES = 8


@dataclass(frozen=True)
class Reference:
    """Real pictures to compare with: their name in tables, and how to open them.

    ``open`` may raise InputError, which becomes the reason why rows are missing.
    """

    name: str
    open: Callable[[], PairDataset]


class Extractor:
    """A network that turns pictures into features, and what it makes of reference sets."""

    def __init__(
        self, network: nn.Module, name: str, device: torch.device, batch_size: int, cache: Path
    ) -> None:
        self.name = name
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device
        self._batch_size = batch_size
        self._cache = cache
        self._fingerprint = networks.fingerprint(network)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] or uint8 -> float32 features (B, D).

        InputError if they are not finite.
        """
        if pictures.is_floating_point():
            pictures = to_uint8(pictures)
        with networks.full_precision():
            features: Tensor = self._network(pictures.to(self._device)).float()
        if not features.isfinite().all():
            raise InputError(f"{self.name}: its features are not finite, are its weights whole?")
        return features

    def statistics(self, reference: Reference) -> FeatureStatistics:
        """Of all its pictures, from the cache if they were seen before.

        MissingError if the pictures cannot be opened or are fewer than 2.
        """
        try:
            dataset = reference.open()
        except InputError as error:
            raise MissingError(str(error)) from error
        if len(dataset) < 2:
            raise MissingError(f"{reference.name}: {len(dataset)} picture, expected 2 or more")
        path = self._cache / self._key(reference.name, dataset)
        known = _read(path)
        if known is None:
            known = self._compute(reference.name, dataset)
            _write(path, known)
        return known

    def _compute(self, name: str, dataset: PairDataset) -> FeatureStatistics:
        moments = FeatureMoments(len(dataset))
        with progress(f"{self.name} of {name}", len(dataset), logged=True) as bar:
            for start in range(0, len(dataset), self._batch_size):
                indices = range(start, min(start + self._batch_size, len(dataset)))
                pictures = torch.stack([dataset.pair(index)[0] for index in indices])
                moments.update(self(pictures))
                bar.update(len(pictures))
        return moments.finish()

    def _key(self, name: str, dataset: PairDataset) -> str:
        """Data set, size and network, in a word and in a hash."""
        height, width = dataset.size
        facts = [self._fingerprint, self.name, [height, width], _picture_facts(dataset)]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
        words = re.sub(r"\W+", "_", f"{self.name} {name}").strip("_")
        return f"{words}-{height}x{width}-{len(dataset)}-{digest}.safetensors"


def default_cache() -> Path:
    """``scam/statistics`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "scam" / "statistics"


def _picture_facts(dataset: PairDataset) -> list[object]:
    """What changes when the pictures do: names, sizes and times of files, and a few pictures."""
    source = dataset.source
    facts: list[object] = [_file_facts(source, index) for index in range(len(source))]
    for index in evenly(len(source), _PROBES):
        pixels = np.ascontiguousarray(to_uint8(dataset.pair(index)[0]).numpy())
        facts.append([index, hashlib.sha256(pixels.tobytes()).hexdigest()])
    return facts


def _file_facts(source: PairSource, index: int) -> list[object]:
    if isinstance(source, Subset):
        return _file_facts(source.source, source.indices[index])
    facts: list[object] = [source.stem(index)]
    if isinstance(source, FolderPairs):
        status = source.pairs[index].image.stat()
        facts += [status.st_size, status.st_mtime_ns]
    return facts


def _read(path: Path) -> FeatureStatistics | None:
    try:
        tensors = load(path.read_bytes())
        return FeatureStatistics(
            int(tensors["count"]), tensors["mean"], tensors["covariance"], tensors["features"]
        )
    except (OSError, SafetensorError, KeyError):
        return None  # absent or damaged: computed again and replaced


def _write(path: Path, known: FeatureStatistics) -> None:
    tensors = {
        "count": torch.tensor(known.count),
        "mean": known.mean,
        "covariance": known.covariance,
        "features": known.features,
    }
    with write_aside(path) as file:
        file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
