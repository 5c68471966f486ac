# SPDX-License-Identifier: Apache-2.0
"""Whether a transferred subject looks like the donor's, and how far it follows the donor."""

from collections.abc import Sequence

import torch
from torch import Tensor

from scam.data import Mannequins, PairDataset
from scam.data.convert import from_uint8
from scam.data.subset import origin
from scam.errors import MissingError
from scam.evaluation.batches import Batch, pixels_of
from scam.evaluation.evaluated_model import Indices
from scam.evaluation.rows import Row
from scam.metrics import ColourFloors, Psnr
from scam.models.styles import Styles

_RESULTS = {
    "the donor's subject, pooled": "",
    "the host unchanged, pooled": "a floor: donors are ignored",
    "flat colours of the donor, pooled": "a floor: donor's mean per label",
    "half of each, pooled": "a floor: mean of these two images",
}
"""What is compared with the truth, and what its row says of it."""


class TransferMeter:
    """PSNR between transfers and the same transfers as they are drawn.

    Compared are the pixels of subject labels that the donor's image holds too: of others a model
    can know nothing. Beside it stand floors, which need no model. donors: of the images of
    ``dataset``, by index. MissingError unless these are mannequins.
    """

    def __init__(self, dataset: PairDataset, donors: Sequence[int]) -> None:
        source, _ = origin(dataset.source, 0)
        if not isinstance(source, Mannequins):
            raise MissingError("only of drawn mannequins is the true result known")
        self._drawn = source
        self._size = dataset.size
        self._places = [origin(dataset.source, index)[1] for index in range(len(dataset))]
        self._donors = donors
        self._floors = ColourFloors(len(source.label_set))
        self._psnr = {name: Psnr() for name in _RESULTS}
        self._count = 0

    def truth(self, hosts: Indices) -> Tensor:
        """Drawn (B, 3, H, W) in [-1, 1]: the donors of these hosts in the hosts' place."""
        places = [(self._places[host], self._places[self._donors[host]]) for host in hosts]
        drawn = [self._drawn.transferred(host, donor, self._size) for host, donor in places]
        return torch.stack([from_uint8(picture) for picture in drawn])

    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        both = batch.latents.present & batch.donor_latents.present
        where = pixels_of(batch.labels, batch.evaluated.subject_labels(both))
        image = batch.image.cpu()
        donor_image, donor_labels = batch.donor_image.cpu(), batch.donor_labels.cpu()
        flat = self._floors.in_own_colours(donor_image, donor_labels, onto=batch.labels.cpu())
        truth = self.truth(batch.indices)
        results = (batch.transfer, image, flat, (image + flat) / 2)
        for psnr, result in zip(self._psnr.values(), results, strict=True):
            psnr.update(result, truth, where)
        self._count += int(where.flatten(1).any(1).sum())

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        if not self._count:
            reason = "host and donor share no subject label"
            return [Row("transfer", next(iter(_RESULTS)), None, note=reason)]
        return [
            Row(
                "transfer", what, psnr.pooled, "dB", self._count, "the drawn truth", "higher",
                _RESULTS[what] or f"{100 * psnr.share:.3g} % of the pixels: labels that travel",
            )
            for what, psnr in self._psnr.items()
        ]  # fmt: skip


class InfluenceMeter:
    """How far a transfer moves when its donor is exchanged for another, in levels of 255.

    The other donor is that of the host before, in the order of the images, and may be the host
    itself; where it is no other, nothing is compared. Inside are the pixels of subject labels that
    both donors hold, outside those of labels that neither gives. Beside it stands how far apart
    the mean colours of the two donors are. donors: of the images, by index.
    """

    def __init__(self, num_labels: int, donors: Sequence[int]) -> None:
        self._donors = donors
        self._floors = ColourFloors(num_labels)
        self._last: tuple[Tensor, ...] | None = None
        self._squares = {"inside": 0.0, "outside": 0.0, "flat": 0.0}
        self._pixels = {"inside": 0, "outside": 0, "flat": 0}
        self._count = 0

    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        evaluated, maps = batch.evaluated, batch.labels
        donor = torch.tensor([self._donors[host] for host in batch.indices], device=maps.device)
        own = batch.donor_latents
        images, labels = batch.donor_image, batch.donor_labels
        now = donor, own.tokens, own.present, images, labels
        last = self._last or tuple(values[:1] for values in now)
        self._last = tuple(values[-1:] for values in now)
        other, tokens, present, other_images, other_labels = (
            torch.cat([first, rest[:-1]]) for first, rest in zip(last, now, strict=True)
        )
        compared = (other != donor)[:, None, None]
        if not compared.any():
            return
        mixed = evaluated.mix(Styles(tokens, present), batch.host_latents)
        moved = batch.transfer - batch.generate(maps, mixed)
        flat, other_flat = (
            self._floors.in_own_colours(colours.cpu(), held.cpu(), onto=maps.cpu())
            for colours, held in ((images, labels), (other_images, other_labels))
        )
        both, either = (
            pixels_of(maps, evaluated.subject_labels(held))
            for held in (own.present & present, own.present | present)
        )
        self._add("inside", moved, both & compared)
        self._add("outside", moved, ~either & compared)
        self._add("flat", flat - other_flat, both & compared)
        self._count += int((both & compared).flatten(1).any(1).sum())

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        if not self._count:
            reason = "no two donors in turn share a subject label with a host"
            return [Row("influence", "another donor", None, note=reason)]
        inside, outside, flat = (
            (self._squares[name] / max(self._pixels[name], 1)) ** 0.5 for name in self._squares
        )
        return [
            self._row("change inside the subject", inside, "", "0: donors are ignored"),
            self._row("change outside it", outside, "lower"),
            self._row("flat colours of the donors, inside", flat, "", "a yardstick"),
        ]

    def _add(self, name: str, change: Tensor, where: Tensor) -> None:
        squares = (change.cpu().double() * 127.5).square().mean(1)[where.cpu()]
        self._squares[name] += float(squares.sum())
        self._pixels[name] += len(squares)

    def _row(self, what: str, value: float, better: str, note: str = "") -> Row:
        return Row("influence", what, value, "RMS/255", self._count, "another donor", better, note)
