# SPDX-License-Identifier: Apache-2.0
"""The images to measure on, a batch at a time, and what the model makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from scam.data import PairDataset
from scam.data.dataset import in_order
from scam.evaluation.evaluated_model import EvaluatedModel, Indices
from scam.evaluation.rows import Row
from scam.models.styles import Styles


@dataclass(frozen=True)
class Batch:
    """A batch: host images, the donors whose subjects they receive, and what is generated.

    indices: of the hosts. image, donor_image: (B, 3, H, W) in [-1, 1]. labels, donor_labels:
    (B, H, W). Images are generated when first asked for, and once.
    """

    evaluated: EvaluatedModel
    indices: Indices
    image: Tensor
    labels: Tensor
    donor_image: Tensor
    donor_labels: Tensor

    def generate(self, labels: Tensor, latents: Styles) -> Tensor:
        """Labels (B, H, W) of the hosts' images or others in their place -> (B, 3, H, W)."""
        return self.evaluated.generate(labels, latents, self.indices)

    @cached_property
    def latents(self) -> Styles:
        """Of the hosts."""
        return self.evaluated.encode(self.image, self.labels)

    @cached_property
    def host_latents(self) -> Styles:
        """Of the hosts, to take latents of the donors in."""
        if not self.evaluated.refine:
            return self.latents
        return self.evaluated.encode(self.image, self.labels, "host")

    @cached_property
    def donor_latents(self) -> Styles:
        """Of the donors, for the hosts' label maps."""
        return self.evaluated.encode(self.donor_image, self.donor_labels, "donor")

    @cached_property
    def reconstruction(self) -> Tensor:
        """The hosts from their own latents."""
        return self.generate(self.labels, self.latents)

    @cached_property
    def unedited(self) -> Tensor:
        """The hosts from the latents that edits change."""
        if self.host_latents is self.latents:
            return self.reconstruction
        return self.generate(self.labels, self.host_latents)

    @cached_property
    def swap(self) -> Tensor:
        """The hosts' maps with all latents of the donors, background too, as released."""
        return self.generate(self.labels, self.donor_latents)

    @cached_property
    def transfer(self) -> Tensor:
        """The donors' subjects in the hosts' scenes and poses: the paper's Z_mix."""
        mixed = self.evaluated.mix(self.donor_latents, self.host_latents)
        return self.generate(self.labels, mixed)


class Meter(Protocol):
    """Something that is measured over all images."""

    def update(self, batch: Batch) -> None:
        """Take one batch in."""

    def rows(self) -> list[Row]:
        """What was found."""


def batches(
    evaluated: EvaluatedModel,
    dataset: PairDataset,
    donors: Sequence[int],
    batch_size: int,
    indices: Indices | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """The hosts ``indices`` of ``dataset`` (default: all) in order, with their donors.

    workers: processes that read them (0: this one).
    """
    hosts = range(len(dataset)) if indices is None else indices
    parts = [hosts[start : start + batch_size] for start in range(0, len(hosts), batch_size)]
    both = [index for part in parts for index in (*part, *(donors[host] for host in part))]
    loaded = in_order(dataset, 2 * batch_size, both, workers)
    for part, (image, labels) in zip(parts, loaded, strict=True):
        images, maps = image.to(evaluated.device), labels.to(evaluated.device)
        count = len(part)
        yield Batch(evaluated, part, images[:count], maps[:count], images[count:], maps[count:])


def one_batch(
    evaluated: EvaluatedModel, dataset: PairDataset, donors: Sequence[int], indices: Indices
) -> Batch:
    """The images of these hosts."""
    return next(batches(evaluated, dataset, donors, len(indices), indices))


def pixels_of(labels: Tensor, chosen: Tensor) -> Tensor:
    """Where a map (B, H, W) holds one of the labels ``chosen`` (B, L) bool: bool (B, H, W)."""
    slots = labels.clamp(min=0).flatten(1).long()
    return (labels >= 0) & chosen.gather(1, slots).view_as(labels)
