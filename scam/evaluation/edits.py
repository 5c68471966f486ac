# SPDX-License-Identifier: Apache-2.0
"""What edits do where they should not: leaks, round trips, and label maps that are a bit off."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.data.convert import to_uint8
from scam.editing import paste_back
from scam.evaluation.pictures import Pictures
from scam.evaluation.regions import pixels_of, subject_labels
from scam.evaluation.rows import Row
from scam.metrics import Psnr
from scam.models.styles import select_tokens

_FEATHER = 4  # pixels, as scam.transfer has it
_RADII = (1, 2, 4, 8)
_REGIONS = {"inside": "inside", "outside": "outside", "pasted": "outside"}
"""Changes that are summed, and the pixels they are summed over."""


class LocalityMeter:
    """How much changes outside a label when that label alone takes the donor's latents.

    For each host one label that the donor's picture holds too, chosen by seed and picture. Both
    the edited picture and the plain reconstruction are painted by the model, so that what is
    measured is the edit. In levels of 255.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._edits = 0
        self._sums = dict.fromkeys(_REGIONS, 0.0)
        self._pixels = {"inside": 0, "outside": 0}

    def update(self, pictures: Pictures) -> None:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        chosen = self._choose(pictures)
        if not chosen:
            return
        rows = list(chosen)
        hosts, donors = pictures.latents, pictures.donor_latents
        edited = torch.zeros_like(hosts.present)
        label = torch.tensor([chosen[row] for row in rows], device=edited.device)
        edited[rows, label] = True
        painter = pictures.painter
        mixed = select_tokens(donors, hosts, edited, painter.model.token_labels)
        plain = pictures.reconstruction[rows]
        result = pictures.paint(pictures.labels, mixed)[rows]
        inside = pictures.labels[rows] == label[:, None, None]
        self._edits += len(rows)
        error = ((result - plain) * 127.5).square().mean(1)
        self._add("inside", error, inside)
        self._add("outside", error, ~inside)
        self._sums["pasted"] += self._pasted(plain, result, inside)

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        if not self._edits:
            return [Row("locality", "edits", None, note="host and donor never share a label")]
        rms = {
            name: (self._sums[name] / max(self._pixels[where], 1)) ** 0.5
            for name, where in _REGIONS.items()
        }
        return [
            self._row("change inside the edited label", rms["inside"], "", "the edit itself"),
            self._row("change outside it", rms["outside"], "lower"),
            self._row(
                "change outside it, pasted back", rms["pasted"], "lower", f"feather {_FEATHER} px"
            ),
        ]

    def _choose(self, pictures: Pictures) -> dict[int, int]:
        """Row of the batch -> label to edit; rows without a common label are left out."""
        shared = (pictures.latents.present & pictures.donor_latents.present).cpu().numpy()
        chosen = {}
        for row, index in enumerate(pictures.indices):
            labels = np.flatnonzero(shared[row])
            if len(labels):
                chosen[row] = int(np.random.default_rng((self._seed, index)).choice(labels))
        return chosen

    def _add(self, name: str, error: Tensor, where: Tensor) -> None:
        self._sums[name] += float(error[where].cpu().double().sum())
        self._pixels[name] += int(where.sum())

    def _pasted(self, plain: Tensor, result: Tensor, inside: Tensor) -> float:
        """Squared error outside, summed, when only the label's pixels are pasted back."""
        photos, painted = (to_uint8(x).permute(0, 2, 3, 1).cpu().numpy() for x in (plain, result))
        total = 0.0
        for photo, edit, touched in zip(photos, painted, inside.cpu().numpy(), strict=True):
            pasted = paste_back(photo, edit, touched, _FEATHER)
            change = (pasted.astype(np.float64) - photo) ** 2
            total += float(change.mean(-1)[~touched].sum())
        return total

    def _row(self, what: str, value: float, better: str, note: str = "") -> Row:
        return Row(
            "locality", what, value, "RMS/255", self._edits, "plain reconstruction", better, note
        )


class CycleMeter:
    """The donor's subject into the host's scene and from there back into its own: what is left.

    Compared are the pixels of labels that travel: the subject's, in both label maps. A label that
    the host's map lacks is painted from the donor's own latents again, and so is the scene.
    """

    def __init__(self) -> None:
        self._cycle, self._twice = Psnr(), Psnr()
        self._count = 0

    def update(self, pictures: Pictures) -> None:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        painter, encode = pictures.painter, pictures.painter.encode
        home, own = pictures.donor_labels, pictures.donor_latents
        travels = subject_labels(painter, own.present & pictures.latents.present)
        where = pixels_of(home, travels)
        away = encode(pictures.transfer, pictures.labels)
        stayed = encode(pictures.paint(home, own), home)
        for psnr, latents in ((self._cycle, away), (self._twice, stayed)):
            back = select_tokens(latents, own, travels, painter.model.token_labels)
            psnr.update(pictures.paint(home, back), pictures.donor_image, where)
        self._count += int(where.flatten(1).any(1).sum())

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        share = self._cycle.share
        if not share:
            reason = "host and donor share no subject label"
            return [Row("cycle", "A to B to A, pooled", None, note=reason)]
        pixels = f"{100 * share:.3g} % of the pixels: labels that travel"
        return [
            self._row("A to B to A, pooled", self._cycle.pooled, pixels),
            self._row(
                "A to A to A, pooled", self._twice.pooled, "the same; encoded twice, not moved"
            ),
        ]

    def _row(self, what: str, value: float, note: str) -> Row:
        return Row("cycle", what, value, "dB", self._count, "the pictures", "higher", note)


class MapNoiseMeter:
    """Reconstruction with label maps that are shifted, or whose subject is grown or shrunk."""

    def __init__(self, size: tuple[int, int]) -> None:
        radii = [radius for radius in _RADII if radius * 16 <= min(size)] or [1]
        changes = {"shifted": shifted, "grown": grown, "shrunk": shrunk}
        self._variants = [
            (f"subject {word} by {radius} px" if word != "shifted" else f"{word} by {radius} px",
             change, radius)
            for word, change in changes.items()
            for radius in radii
        ]  # fmt: skip
        self._exact = Psnr()
        self._psnr = [Psnr() for _ in self._variants]
        self._count = 0

    def update(self, pictures: Pictures) -> None:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        painter = pictures.painter
        self._exact.update(pictures.reconstruction, pictures.image)
        for psnr, (_, change, radius) in zip(self._psnr, self._variants, strict=True):
            labels = change(pictures.labels, painter.is_background(pictures.labels), radius)
            painted = pictures.paint(labels, painter.encode(pictures.image, labels))
            psnr.update(painted, pictures.image)
        self._count += len(pictures.image)

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.pictures.Meter`."""
        exact = self._exact.pooled
        found = [
            Row("maps", what, psnr.pooled - exact, "dB", self._count, "exact maps", "higher")
            for (what, _, _), psnr in zip(self._variants, self._psnr, strict=True)
        ]
        return found


def shifted(labels: Tensor, background: Tensor, radius: int) -> Tensor:
    """Maps (B, H, W) moved down and right by ``radius``; the edge is repeated."""
    height, width = labels.shape[1:]
    rows = (torch.arange(height, device=labels.device) - radius).clamp(min=0)
    columns = (torch.arange(width, device=labels.device) - radius).clamp(min=0)
    return labels[:, rows][:, :, columns]


def grown(labels: Tensor, background: Tensor, radius: int) -> Tensor:
    """Background pixels within ``radius`` of the subject take its label, the higher id if two."""
    return _filled(labels, background, radius)


def shrunk(labels: Tensor, background: Tensor, radius: int) -> Tensor:
    """Subject pixels within ``radius`` of the background take its label, the higher id if two."""
    return _filled(labels, ~background, radius)


def _filled(labels: Tensor, room: Tensor, radius: int) -> Tensor:
    """Let the labels outside ``room`` grow into it; pixels without a label stay without."""
    here = torch.where(room, -1, labels).float()[:, None]
    for _ in range(radius):
        around = F.max_pool2d(here, 3, stride=1, padding=1)
        here = torch.where(here < 0, around, here)
    found = here[:, 0].to(labels.dtype)
    return torch.where((found < 0) | (labels < 0), labels, found)
