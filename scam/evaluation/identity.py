# SPDX-License-Identifier: Apache-2.0
"""Whether the person in a generated image is still the donor: REIDSim and REIDAcc of the paper."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.evaluation.batches import Batch
from scam.evaluation.rows import Row

CROP = (256, 128)
PROTOCOLS = {"swap": "whole code of the donor", "transfer": "subject of the donor (Z_mix)"}


def subject_box(subject: Tensor) -> tuple[slice, slice] | None:
    """The tight box around the true pixels of a mask (H, W); None where there are none."""
    rows, columns = subject.any(1).nonzero(), subject.any(0).nonzero()
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


class IdentityMeter:
    """Cosine similarity of person features between generated images, donors and hosts.

    As in the SCAM paper: the generated and the host's image are cut out with the box of the
    host's subject, the donor's with its own; crops become 256x128 and stay in [-1, 1]. Pairs
    without a subject are left out, where the released code compares whole images.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._to_donor: dict[str, list[float]] = {name: [] for name in PROTOCOLS}
        self._to_host: dict[str, list[float]] = {name: [] for name in PROTOCOLS}
        self._left_out = 0

    @torch.no_grad()
    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        is_background = batch.evaluated.is_background
        boxes = [subject_box(~is_background(labels)) for labels in batch.labels]
        donor_boxes = [subject_box(~is_background(labels)) for labels in batch.donor_labels]
        both = [i for i in range(len(boxes)) if boxes[i] and donor_boxes[i]]
        self._left_out += len(boxes) - len(both)
        if not both:
            return
        donor = self._features(batch.donor_image, donor_boxes, both)
        host = self._features(batch.image, boxes, both)
        for name in PROTOCOLS:
            generated = self._features(getattr(batch, name), boxes, both)
            self._to_donor[name] += (generated * donor).sum(1).tolist()
            self._to_host[name] += (generated * host).sum(1).tolist()

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        note = f"{self._left_out} pairs without a subject left out" if self._left_out else ""
        found = []
        for name, words in PROTOCOLS.items():
            pairs = list(zip(self._to_donor[name], self._to_host[name], strict=True))
            if not pairs:
                return [Row("reid", "REIDSim", None, note="no pair of images with subjects")]
            count = len(pairs)
            to_donor, to_host = (sum(column) / count for column in zip(*pairs, strict=True))
            nearer = sum(donor > host for donor, host in pairs) / count
            for title, value, against, better in (
                ("REIDSim", to_donor, "donors", "higher"),
                ("REIDAcc", nearer, "donors", "higher"),
                ("similarity to the host", to_host, "hosts", "lower"),
            ):
                found.append(
                    Row("reid", f"{title}, {words}", value, "", count, against, better, note)
                )
        return found

    def _features(
        self, images: Tensor, boxes: Sequence[tuple[slice, slice] | None], chosen: list[int]
    ) -> Tensor:
        """Unit features (len(chosen), D)."""
        crops = []
        for index in chosen:
            box = boxes[index]
            assert box is not None
            crop = images[index][:, box[0], box[1]][None].float()
            crops.append(F.interpolate(crop, CROP, mode="bilinear", align_corners=False))
        return F.normalize(self._network(torch.cat(crops)).cpu().double(), dim=1)
