# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from scam.evaluation.identity import IdentityMeter, subject_box


class Colours(nn.Module):
    """A "person network" that sees the mean colour of a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def forward(self, crops: Tensor) -> Tensor:
        self.shapes.add(tuple(crops.shape[1:]))
        return crops.mean((2, 3))


class Scene:
    @staticmethod
    def is_background(labels: Tensor) -> Tensor:
        return labels <= 0


@dataclass
class Generated:
    labels: Tensor
    donor_labels: Tensor
    image: Tensor
    donor_image: Tensor
    swap: Tensor
    transfer: Tensor
    evaluated: Scene


def test_the_box_is_tight() -> None:
    mask = torch.zeros(9, 7, dtype=torch.bool)
    assert subject_box(mask) is None
    mask[2, 3] = mask[5, 1] = True
    assert subject_box(mask) == (slice(2, 6), slice(1, 4))


def person(colour: list[float], where: slice, labels: Tensor) -> Tensor:
    """A picture of -1 with a subject of one colour in these rows; writes the label map."""
    image = torch.full((3, 8, 8), -1.0)
    image[:, where, 2:6] = torch.tensor(colour)[:, None, None]
    labels[where, 2:6] = 1
    return image


def test_generated_and_host_are_cut_at_the_host_s_box_and_the_donor_at_its_own() -> None:
    labels, donor_labels = torch.zeros(2, 3, 8, 8, dtype=torch.int64)
    red, green, blue = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    high, low = slice(0, 3), slice(5, 8)
    none = torch.zeros(8, 8, dtype=torch.int64)
    host = [person(green, high, labels[i]) for i in range(2)] + [torch.zeros(3, 8, 8)]
    donor = [person(red, low, donor_labels[i]) for i in range(3)]
    swap = [person(c, high, none) for c in (red, green, red)]
    transfer = [person(c, high, none) for c in (red, [1.0, 1.0, 0.0], blue)]
    network = Colours()
    meter = IdentityMeter(network, torch.device("cpu"))
    stacked = [torch.stack(x) for x in (host, donor, swap, transfer)]
    generated = Generated(labels, donor_labels, *stacked, Scene())
    meter.update(generated)  # type: ignore[arg-type]  # all that it needs
    rows = {row.what: row for row in meter.rows()}
    assert network.shapes == {(3, 256, 128)}
    for words, similarity, accuracy in (
        ("whole code of the donor", 0.5, 0.5),
        ("subject of the donor (Z_mix)", (1 + 0.5**0.5) / 2, 0.5),
    ):
        assert rows[f"REIDSim, {words}"].value == pytest.approx(similarity, abs=1e-6)
        assert rows[f"REIDAcc, {words}"].value == accuracy
        assert rows[f"REIDSim, {words}"].n == 2
        assert "1 pairs without a subject left out" in rows[f"REIDSim, {words}"].note


def test_nobody_anywhere() -> None:
    empty = torch.zeros(1, 8, 8, dtype=torch.int64)
    image = torch.zeros(1, 3, 8, 8)
    meter = IdentityMeter(Colours(), torch.device("cpu"))
    meter.update(Generated(empty, empty, image, image, image, image, Scene()))  # type: ignore[arg-type]
    (row,) = meter.rows()
    assert row.value is None
    assert row.note == "no pair of images with subjects"
