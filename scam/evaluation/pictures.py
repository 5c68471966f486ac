# SPDX-License-Identifier: Apache-2.0
"""The images to measure on, and what the model makes of them."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from scam.data import PairDataset
from scam.data.dataset import in_order
from scam.errors import InputError, quoted
from scam.evaluation.rows import Row
from scam.models import SynthesisModel
from scam.models.mixing import Absent
from scam.models.styles import Styles
from scam.storage.reading import read_json
from scam.training.randomness import picture_generators

Indices = Sequence[int]


class Painter:
    """A model in evaluation mode that generates the same twice, even where it needs noise.

    absent: what stands in for labels that a donor lacks. That of the first reports, for all that
    follow to be compared with: the host's own, so that nothing is guessed.

    seed, draw: two numbers that the noise follows. refine: steps that fit styles to their image.
    """

    absent: Final[Absent] = "background"

    def __init__(
        self,
        model: SynthesisModel,
        background_labels: Sequence[int] = (0,),
        seed: int = 0,
        draw: int = 0,
        refine: int = 0,
    ) -> None:
        self.model = model.eval()
        self.device = model.token_labels.device
        self.background_labels = tuple(background_labels)
        self._seed, self._draw, self._refine = seed, draw, refine

    def with_draw(self, draw: int) -> "Painter":
        """The same with the noise of another draw."""
        return Painter(self.model, self.background_labels, self._seed, draw, self._refine)

    def encode(self, image: Tensor, labels: Tensor) -> Styles:
        """Styles of image (B, 3, H, W) in [-1, 1] under labels (B, H, W)."""
        return self.model.encode(image, labels, refine=self._refine)

    def paint(self, labels: Tensor, latents: Styles, indices: Indices) -> Tensor:
        """labels (B, H, W) -> images (B, 3, H, W) in [-1, 1].

        indices: B numbers that noise, if any, follows, whatever the batch.
        """
        noise = None
        if self.model.needs_noise:
            noise = picture_generators(self._seed, self._draw, indices, "evaluation", self.device)
        return self.model.generate(labels, latents, noise)

    def mix(self, subject: Styles, scene: Styles) -> Styles:
        """The subject's latents in the scene's, for a map that the scene's image fills."""
        return self.model.mix(
            subject,
            scene,
            scene.present,
            background_labels=self.background_labels,
            absent=self.absent,
        )

    def is_background(self, labels: Tensor) -> Tensor:
        """Where labels (...) belong to the scene or are no label: bool (...)."""
        scene = torch.tensor(self.background_labels, device=labels.device)
        return torch.isin(labels, scene) | (labels < 0)


@dataclass(frozen=True)
class Pictures:
    """A batch: host images, the donors whose subjects they receive, and what is generated.

    indices: of the hosts. image, donor_image: (B, 3, H, W) in [-1, 1]. labels, donor_labels:
    (B, H, W). Images are generated when first asked for, and once.
    """

    painter: Painter
    indices: Indices
    image: Tensor
    labels: Tensor
    donor_image: Tensor
    donor_labels: Tensor

    def paint(self, labels: Tensor, latents: Styles) -> Tensor:
        """Labels (B, H, W) of the hosts' images or others in their place -> (B, 3, H, W)."""
        return self.painter.paint(labels, latents, self.indices)

    @cached_property
    def latents(self) -> Styles:
        """Of the hosts."""
        return self.painter.encode(self.image, self.labels)

    @cached_property
    def donor_latents(self) -> Styles:
        """Of the donors."""
        return self.painter.encode(self.donor_image, self.donor_labels)

    @cached_property
    def reconstruction(self) -> Tensor:
        """The hosts from their own latents."""
        return self.paint(self.labels, self.latents)

    @cached_property
    def swap(self) -> Tensor:
        """The hosts' maps with all latents of the donors, background too, as released."""
        return self.paint(self.labels, self.donor_latents)

    @cached_property
    def transfer(self) -> Tensor:
        """The donors' subjects in the hosts' scenes and poses: the paper's Z_mix."""
        mixed = self.painter.mix(self.donor_latents, self.latents)
        return self.paint(self.labels, mixed)


class Meter(Protocol):
    """Something that is measured over all images."""

    def update(self, pictures: Pictures) -> None:
        """Take one batch in."""

    def rows(self) -> list[Row]:
        """What was found."""


def derangement(count: int, seed: int) -> list[int]:
    """A random donor for each of ``count`` hosts: one cycle, so nobody is their own donor.

    Each image is donor once. ValueError for fewer than 2.
    """
    if count < 2:
        raise ValueError(f"no pair among {count}")
    order = np.random.default_rng(seed).permutation(count)
    donors = np.empty(count, dtype=np.int64)
    donors[order] = np.roll(order, -1)
    return [int(donor) for donor in donors]


def read_pairs(path: Path, stems: Sequence[str]) -> list[int]:
    """Donors of the images ``stems``, from the ``pairs.json`` of an earlier evaluation.

    InputError unless each image is a host there, with another image of them as its donor.
    """
    try:
        stored = read_json(path).get("donors")
    except InputError as error:
        raise InputError(f"{error}; expected a pairs.json").led_by("pairs", path) from error
    if not isinstance(stored, Mapping):
        raise InputError("{pairs}: holds no donors, expected a pairs.json", pairs=path)
    numbers = {stem: index for index, stem in enumerate(stems)}
    if stored.keys() != numbers.keys():
        odd = min(numbers.keys() ^ stored.keys())
        raise InputError(
            f"{{pairs}}: pairs other images than these {len(stems)}, for example {odd}",
            pairs=path,
        )
    for host, donor in stored.items():
        if not isinstance(donor, str) or donor not in numbers or donor == host:
            raise InputError(
                f"{{pairs}}: {host} has {quoted(donor)} as donor, expected another", pairs=path
            )
    return [numbers[stored[stem]] for stem in stems]


def device_name(device: torch.device) -> str:
    """A GPU's name, or the CPU's kind and how many threads compute on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type}, {torch.get_num_threads()} threads"


def walk(
    painter: Painter,
    dataset: PairDataset,
    donors: Sequence[int],
    batch_size: int,
    indices: Indices | None = None,
    workers: int = 0,
) -> Iterator[Pictures]:
    """The hosts ``indices`` of ``dataset`` (default: all) in order, with their donors.

    workers: processes that read them (0: this one).
    """
    hosts = range(len(dataset)) if indices is None else indices
    parts = [hosts[start : start + batch_size] for start in range(0, len(hosts), batch_size)]
    both = [index for part in parts for index in (*part, *(donors[host] for host in part))]
    loaded = in_order(dataset, 2 * batch_size, both, workers)
    for part, (image, labels) in zip(parts, loaded, strict=True):
        images, maps = image.to(painter.device), labels.to(painter.device)
        count = len(part)
        yield Pictures(painter, part, images[:count], maps[:count], images[count:], maps[count:])


def batch(
    painter: Painter, dataset: PairDataset, donors: Sequence[int], indices: Indices
) -> Pictures:
    """The images of these hosts."""
    return next(walk(painter, dataset, donors, len(indices), indices))
