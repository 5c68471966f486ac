# SPDX-License-Identifier: Apache-2.0
"""Feature statistics of real images, computed once and kept in a cache folder."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from scam.checkpoints.weights import state_digest
from scam.commandline.progress import progress
from scam.data import PairDataset
from scam.data.convert import to_uint8
from scam.data.dataset import in_order
from scam.data.split import digests_of
from scam.data.subset import evenly
from scam.errors import InputError, MissingError, leading
from scam.metrics import FeatureMoments, FeatureStatistics
from scam.pretrained.full_precision import full_precision
from scam.storage.files import write_aside
from scam.storage.outputs import expect_writable

_PROBES = 8
_ROUNDING = 1e-3  # of the largest feature: a GPU's and a CPU's differ by less


@dataclass(frozen=True)
class Reference:
    """Real images to compare with: their name in tables, and how to open them.

    ``open`` may raise InputError, which becomes the reason why rows are missing.
    """

    name: str
    open: Callable[[], PairDataset]


class Extractor:
    """A network that turns images into features, and what it makes of reference sets."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        device: torch.device,
        batch_size: int,
        cache: Path,
        workers: int = 0,
    ) -> None:
        self.name = name
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device
        self._batch_size = batch_size
        self._cache = cache
        self._workers = workers
        self._weights = state_digest(network.state_dict())

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] or uint8 -> float32 features (B, D).

        InputError if they are not finite.
        """
        if pictures.is_floating_point():
            pictures = to_uint8(pictures)
        with full_precision():
            features: Tensor = self._network(pictures.to(self._device)).float()
        if not features.isfinite().all():
            raise InputError(f"{self.name}: its features are not finite, are its weights damaged?")
        return features

    def statistics(self, reference: Reference) -> FeatureStatistics:
        """Of all its images, from the cache if they were seen before.

        A few images go through the network in any case: its code may have changed since.
        MissingError if the images cannot be opened or are fewer than 2; InputError if the cache
        cannot be written.
        """
        try:
            dataset = reference.open()
        except InputError as error:
            raise MissingError(str(error)) from error
        if len(dataset) < 2:
            raise MissingError(f"{reference.name}: {len(dataset)} image, expected 2 or more")
        probes = next(in_order(dataset, _PROBES, evenly(len(dataset), _PROBES)))[0]
        path = self._cache / self._key(reference.name, dataset, probes)
        features = self(probes).cpu()
        known = _read(path, features)
        if known is None:
            with leading("cache", self._cache):
                expect_writable(path)
            known = self._compute(reference.name, dataset)
            _write(path, known, features)
        return known

    def _compute(self, name: str, dataset: PairDataset) -> FeatureStatistics:
        moments = FeatureMoments(len(dataset))
        with progress(f"{self.name} of {name}", len(dataset), logged=True) as bar:
            for pictures, _ in in_order(dataset, self._batch_size, workers=self._workers):
                moments.update(self(pictures))
                bar.update(len(pictures))
        return moments.finish()

    def _key(self, name: str, dataset: PairDataset, probes: Tensor) -> str:
        """Data set, size and network, in a word and in a hash."""
        height, width = dataset.size
        # What changes when the images do, whatever their folder and file times.
        files = digests_of(dataset.source)
        pixels = hashlib.sha256(to_uint8(probes).numpy().tobytes()).hexdigest()
        facts = [self._weights, self.name, [height, width], files, pixels]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
        words = re.sub(r"\W+", "_", f"{self.name} {name}").strip("_")
        return f"{words}-{height}x{width}-{len(dataset)}-{digest}.safetensors"


def default_cache() -> Path:
    """``scam/statistics`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "scam" / "statistics"


def _read(path: Path, probes: Tensor) -> FeatureStatistics | None:
    """What is stored there, if the network still makes these features of the probes."""
    try:
        tensors = load(path.read_bytes())
        stored = tensors["probes"]
        largest = float(probes.abs().max())
        near = (
            stored.shape == probes.shape and (stored - probes).abs().max() <= _ROUNDING * largest
        )
        if not near:  # nor where one of them is NaN
            return None
        return FeatureStatistics(
            int(tensors["count"]), tensors["mean"], tensors["covariance"], tensors["features"]
        )
    except (OSError, SafetensorError, KeyError):
        return None  # absent or damaged: computed again and replaced


def _write(path: Path, known: FeatureStatistics, probes: Tensor) -> None:
    tensors = {
        "probes": probes,
        "count": torch.tensor(known.count),
        "mean": known.mean,
        "covariance": known.covariance,
        "features": known.features,
    }
    with write_aside(path) as file:
        file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
