# SPDX-License-Identifier: Apache-2.0
"""Distinct patches of label maps, and the convolutions and means that are computed by them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.label_aware_conv import LabelAwareConv2d, LabelBorders, tap_means
from scam.nn.label_conv import LabelConv2d, convolved_rows, fewer_by_patch
from scam.nn.label_mean import label_counts, label_mean
from scam.nn.label_patches import LabelPatches
from scam.nn.pyramid import one_hot

LABELS = 5


def maps(kind: str, size: tuple[int, int] = (9, 14), batch: int = 3) -> Tensor:
    """Label maps (B, h, w) with pixels that have none; label 3 is absent."""
    source = torch.Generator().manual_seed(0)
    if kind == "noise":
        found = torch.randint(-1, LABELS, (batch, *size), generator=source)
    else:
        found = torch.zeros(batch, *size, dtype=torch.long)
        found[:, size[0] // 2 :, : size[1] // 2] = 1
        found[1:, 1:2, 3:4] = 2  # one pixel
        found[2] = -1
        found[2, 0, 0] = 4
    return found.masked_fill(found == 3, 1)


def patch(labels: Tensor, side: int, place: tuple[int, int, int]) -> list[int]:
    reach = side // 2
    padded = F.pad(labels, (reach,) * 4, value=99)
    image, row, column = place
    return padded[image, row : row + side, column : column + side].flatten().tolist()


@pytest.mark.parametrize("kind", ["regions", "noise"])
@pytest.mark.parametrize("size", [(9, 14), (1, 1), (2, 7)])
def test_equal_numbers_are_equal_patches(kind: str, size: tuple[int, int]) -> None:
    labels = maps(kind, size)
    patches = LabelPatches.build(labels, LABELS)
    images = patches.of_images
    places = torch.ones_like(labels).nonzero().tolist()
    seen: dict[int, list[int]] = {}
    for image, row, column in places:
        five = patch(labels, 5, (image, row, column))
        number = int(patches.index[image, row, column])
        assert seen.setdefault(number, five) == five
        three = [LABELS if x in (-1, 99) else x for x in patch(labels, 3, (image, row, column))]
        assert patches.taps[patches.around[number, 4]].tolist() == three
        own = int(images.index[image, row, column])
        small = int(images.small_index[image, row, column])
        assert (int(images.patch[own]), int(images.small[own])) == (number, small)
        assert (int(images.image[small]), images.taps[small].tolist()) == (image, three)
    assert len({tuple(five) for five in seen.values()}) == len(seen) == len(patches.around)
    assert patches.share == len(seen) / len(places)


@pytest.mark.parametrize("num_labels", [5, 1 << 16])
def test_any_number_of_labels(num_labels: int) -> None:
    """Keys of nine labels, or of four numbers of many patches, outgrow an integer."""
    source = torch.Generator().manual_seed(1)
    labels = torch.randint(num_labels, (1, 60, 60), generator=source)
    patches = LabelPatches.build(labels, num_labels)
    again = torch.unique(F.unfold(F.pad(labels.double(), (2,) * 4, value=-5.0)[:, None], 5), dim=2)
    assert len(patches.around) == again.shape[2]


@pytest.mark.parametrize("kind", ["regions", "noise"])
def test_two_convolutions_by_patch_are_those_by_pixel(kind: str) -> None:
    labels = maps(kind)
    torch.manual_seed(2)
    first = LabelConv2d(LABELS, 6).double()
    second = nn.Conv2d(6, 4, 3, padding=1).double()
    patches = LabelPatches.build(labels, LABELS)
    hidden = F.relu(first.at(patches.taps)).masked_fill(patches.outside[:, None], 0)
    rows = convolved_rows(hidden, second.weight, second.bias, patches.around)
    by_patch = rows[patches.index.long()].permute(0, 3, 1, 2)
    by_pixel = second(F.relu(first(labels)))
    torch.testing.assert_close(by_patch, by_pixel, rtol=0, atol=1e-12)
    by_hand = F.conv2d(one_hot(labels, LABELS).double(), first.weight, first.bias, padding=1)
    torch.testing.assert_close(first(labels), by_hand, rtol=0, atol=0)
    weight = torch.randn(by_pixel.shape, dtype=torch.float64)
    parameters = [*first.parameters(), *second.parameters()]
    for a, b in zip(
        torch.autograd.grad((by_patch * weight).sum(), parameters),
        torch.autograd.grad((by_pixel * weight).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_the_choice_follows_from_the_number_of_patches() -> None:
    regions, noise = (
        LabelPatches.build(maps(kind, (64, 64)), LABELS) for kind in ("regions", "noise")
    )
    assert fewer_by_patch(regions, 128)
    assert not fewer_by_patch(noise, 128)
    assert fewer_by_patch(noise, 128, constant=512)


@pytest.mark.parametrize("fused", [True, False])
def test_label_mean(fused: bool) -> None:
    labels = maps("regions")
    torch.manual_seed(3)
    features = torch.randn(3, 6, *labels.shape[1:], dtype=torch.float64)
    found = label_mean(features, labels.int(), LABELS, fused=fused)
    for image in range(3):
        for label in range(LABELS):
            inside = labels[image] == label
            mean = features[image][:, inside].mean(1) if inside.any() else torch.zeros(6)
            torch.testing.assert_close(found[image, label], mean.double(), rtol=0, atol=1e-13)


def test_many_pixels_in_sixteen_bits() -> None:
    """256x256 of one label: more than float16 can count."""
    labels = torch.zeros(1, 256, 256, dtype=torch.int32)
    features = torch.full((1, 2, 256, 256), 2.0, dtype=torch.float16)
    assert torch.equal(
        label_mean(features, labels, 2, fused=False), torch.tensor([[[2.0] * 2, [0.0] * 2]]).half()
    )
    counts = label_counts(labels, 2)
    assert counts.tolist() == [[65536.0, 0.0]]


class TestLabelAwareConv:
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("size", [(8, 14), (7, 5), (1, 3)])
    @pytest.mark.parametrize("kind", ["regions", "noise"])
    def test_fused_is_dense(self, kind: str, size: tuple[int, int], stride: int) -> None:
        borders = LabelBorders(maps(kind, size).int())
        torch.manual_seed(4)
        conv = LabelAwareConv2d(3, 5, stride).double()
        x = torch.randn(3, 3, *size, dtype=torch.float64, requires_grad=True)
        found = []
        for fused in (True, False):
            conv.fused = fused
            y = conv(x, borders)
            assert y.shape == (3, 5, -(-size[0] // stride), -(-size[1] // stride))
            weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)
            found.append([y, *torch.autograd.grad((y * weight).sum(), [x, *conv.parameters()])])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)

    def test_one_label_is_an_ordinary_convolution(self) -> None:
        borders = LabelBorders(torch.full((2, 6, 7), 3, dtype=torch.int32))
        conv = LabelAwareConv2d(3, 5)
        x = torch.randn(2, 3, 6, 7)
        assert torch.equal(conv(x, borders), F.conv2d(x, conv.weight, conv.bias, padding=1))

    def test_other_labels_change_nothing(self) -> None:
        labels = maps("noise").int()
        conv = LabelAwareConv2d(3, 5).double()
        x = torch.randn(3, 3, *labels.shape[1:], dtype=torch.float64)
        inside = (labels == 1).unsqueeze(1)
        moved = torch.where(inside, x, x + 7)
        for fused in (True, False):
            conv.fused = fused
            a, b = (conv(y, LabelBorders(labels)) * inside for y in (x, moved))
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("kind", ["regions", "noise"])
    def test_mean_of_the_result(self, kind: str) -> None:
        labels = maps(kind).int()
        borders = LabelBorders(labels)
        conv = LabelAwareConv2d(3, 5).double()
        x = torch.randn(3, 3, *labels.shape[1:], dtype=torch.float64)
        wanted = label_mean(conv(x, borders), labels, LABELS, fused=False)
        found = conv.of_means(tap_means(x, borders, LABELS))
        here = torch.stack([(labels == label).flatten(1).any(1) for label in range(LABELS)], 1)
        torch.testing.assert_close(found[here], wanted[here], rtol=0, atol=1e-13)
