# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from scam.metrics import ColourFloors, LabelPsnr, Psnr


@pytest.mark.parametrize("error", [1.0, 0.1, -0.02])
def test_psnr_of_a_constant_error(error: float) -> None:
    target = torch.rand(3, 3, 8, 6) - 0.5
    psnr = Psnr()
    psnr.update(target + error, target)
    wanted = 20 * math.log10(2 / abs(error))
    assert psnr.pooled == pytest.approx(wanted, abs=1e-4)
    assert psnr.per_image == pytest.approx(wanted, abs=1e-4)


def test_pooled_is_the_mean_error_and_per_image_the_mean_decibel() -> None:
    target = torch.zeros(2, 3, 4, 4)
    result = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    psnr = Psnr()
    for i in range(2):
        psnr.update(result[i : i + 1], target[i : i + 1])
    assert psnr.per_image == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert psnr.pooled == pytest.approx(10 * math.log10(4 / ((0.04 + 0.0004) / 2)), abs=1e-4)


def test_psnr_is_torchmetrics_() -> None:
    theirs = pytest.importorskip("torchmetrics.image").PeakSignalNoiseRatio
    target = torch.rand(5, 3, 12, 10) * 2 - 1
    result = (
        target
        + torch.randn_like(target) * torch.tensor([0.3, 0.1, 0.03, 0.2, 0.05])[:, None, None, None]
    )
    psnr, pooled = Psnr(), theirs(data_range=2.0)
    single = theirs(data_range=2.0, dim=(1, 2, 3), reduction="elementwise_mean")
    for part in (slice(0, 2), slice(2, 5)):
        for metric in (psnr, pooled, single):
            metric.update(result[part], target[part])
    assert psnr.pooled == pytest.approx(float(pooled.compute()), abs=1e-4)
    assert psnr.per_image == pytest.approx(float(single.compute()), abs=1e-4)


def test_equal_pictures_are_infinitely_good() -> None:
    psnr = Psnr()
    psnr.update(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2))
    assert psnr.pooled == math.inf


def test_not_a_number_is_not_infinitely_good() -> None:
    psnr = Psnr()
    psnr.update(torch.full((1, 3, 2, 2), math.nan), torch.ones(1, 3, 2, 2))
    assert math.isnan(psnr.pooled)


def test_chosen_pixels_alone_count() -> None:
    target = torch.zeros(3, 3, 4, 4)
    result = torch.full((3, 3, 4, 4), math.nan)
    where = torch.zeros(3, 4, 4, dtype=torch.bool)
    where[0, :, :2] = where[1, 0, :2] = True
    result[0, :, :, :2], result[1, :, 0, :2] = 0.2, 0.02
    psnr = Psnr()
    psnr.update(result[:2], target[:2], where[:2])
    psnr.update(result[2:], target[2:], where[2:])
    error = (8 * 0.04 + 2 * 0.0004) / 10
    assert psnr.pooled == pytest.approx(10 * math.log10(4 / error), abs=1e-4)
    assert psnr.per_image == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert psnr.share == 10 / 48
    nothing = Psnr()
    nothing.update(result[2:], target[2:], where[2:])
    assert nothing.share == 0
    assert math.isnan(nothing.pooled)


class TestFloors:
    def test_own_colours(self) -> None:
        labels = torch.tensor([[[0, 0, 1], [1, 1, -1]]])
        image = torch.arange(18.0).view(1, 3, 2, 3)
        generated = ColourFloors(2).in_own_colours(image, labels)
        red = image[0, 0]
        zero, one = red[0, :2].mean(), torch.stack([red[0, 2], red[1, 0], red[1, 1]]).mean()
        expected = torch.stack([zero, zero, one, one, one, red.mean()]).view(2, 3)
        torch.testing.assert_close(generated[0, 0].float(), expected)

    def test_mean_colours_come_from_training_pictures_only(self) -> None:
        floors = ColourFloors(3)
        labels = torch.tensor([[[0, 1]], [[0, 0]]])
        image = torch.zeros(2, 3, 1, 2)
        image[0, :, 0, 1] = 1.0
        image[1] = 0.5
        floors.learn(image, labels)
        generated = floors.in_mean_colours(torch.tensor([[[0, 1, 2, -1]]]))[0, 0, 0]
        expected = [1 / 3, 1.0, 0.5, 0.5]  # label 2 and ignored pixels: the mean of everything
        torch.testing.assert_close(generated, torch.tensor(expected, dtype=torch.float64))


class TestLabelPsnr:
    def test_each_label_by_its_own_pixels(self) -> None:
        labels = torch.tensor([[[0, 0, 1, -1]], [[0, 0, 0, 0]]])
        target = torch.zeros(2, 3, 1, 4)
        result = torch.where(labels == 1, 0.2, 0.02)[:, None].expand(2, 3, 1, 4).clone()
        result[0, :, 0, 3] = 9.0  # a pixel without label counts for none
        psnr = LabelPsnr(3)
        for i in range(2):
            psnr.update(result[i : i + 1], target[i : i + 1], labels[i : i + 1])
        assert psnr.of(0) == pytest.approx(40, abs=1e-4)
        assert psnr.of(1) == pytest.approx(20, abs=1e-4)
        assert math.isnan(psnr.of(2))
        assert [psnr.pictures(label) for label in range(3)] == [2, 1, 0]

    def test_one_label_everywhere_is_the_pooled_psnr(self) -> None:
        image, other = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 4)
        whole, label = Psnr(), LabelPsnr(1)
        whole.update(image, other)
        label.update(image, other, torch.zeros(2, 5, 4, dtype=torch.int32))
        assert label.of(0) == pytest.approx(whole.pooled, rel=1e-12)
