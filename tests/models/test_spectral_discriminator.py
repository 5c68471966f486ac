# SPDX-License-Identifier: Apache-2.0
"""The baselines' discriminator: counts to the unit, shapes, and what each scale reads."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.models import SpectralDiscriminator
from scam.models.discriminators.spectral import STRIDES
from scam.nn.pyramid import one_hot


def build(name: str, num_labels: int = 4, width: int = 64, **more: bool) -> SpectralDiscriminator:
    torch.manual_seed(0)
    return SpectralDiscriminator(num_labels, width, STRIDES[name], **more)


def pair(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return torch.randn(2, 3, *size), torch.randint(-1, 4, (2, *size))


@pytest.mark.parametrize(
    ("num_labels", "patch", "released", "sean"),
    [
        (3, 5_533_826, 5_535_618, 1_331_330),
        (19, 5_566_594, 5_568_386, 1_364_098),
        (151, 5_836_930, 5_838_722, 1_634_434),
    ],
)
def test_counts(num_labels: int, patch: int, released: int, sean: int) -> None:
    with torch.device("meta"):
        found = [
            build("patch", num_labels),
            build("patch", num_labels, released=True),
            build("sean", num_labels),
        ]
    counts = [sum(p.numel() for p in critic.parameters()) for critic in found]
    assert counts == [patch, released, sean]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("patch", [129, 65, 33, 34, 35], [65, 33, 17, 18, 19]), ("sean", [129, 65, 33, 34], None)],
)
def test_maps_at_256_pixels(name: str, first: list[int], second: list[int] | None) -> None:
    critic = build(name, width=4)
    image, labels = pair((256, 256))
    features = critic.features(image, critic.label_maps(labels))
    assert [x.shape[2] for x in features[0]] == first
    assert second is None or [x.shape[2] for x in features[1]] == second
    logits = critic.eval()(image, critic.label_maps(labels))
    assert [x.shape[1] for x in logits] == [1, 1]


@pytest.mark.parametrize("released", [False, True])
def test_what_the_scales_read(released: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors average the label planes too, so that they are fractions along boundaries."""
    critic = build("patch", width=4, released=released)
    image, labels = pair((33, 20))
    seen: list[Tensor] = []
    for scale in critic.scales:
        scale.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    critic(image, critic.label_maps(labels))
    planes = one_hot(labels, 4).float()
    half = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    if released:
        nearest = F.interpolate(planes, size=half.shape[2:], mode="nearest")
        expected = [torch.cat([image, planes], 1), torch.cat([half, nearest], 1)]
    else:
        averaged = F.avg_pool2d(planes, 3, 2, 1, count_include_pad=False)
        assert ((averaged > 0) & (averaged < 1)).any()
        expected = [torch.cat([planes, image], 1), torch.cat([averaged, half], 1)]
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("released", [False, True])
def test_initial_weights(released: bool) -> None:
    convs = build("patch", released=released).scales[1].convs
    for index, (entering, leaving) in enumerate([(64, 128), (128, 256), (256, 512)], start=1):
        weight = convs[index].get_parameter("parametrizations.weight.original")
        drawn = 0.02 * math.sqrt(2 / (16 * (entering + leaving)))
        expected = drawn if released else 1 / math.sqrt(3 * 16 * entering)
        assert float(weight.detach().std()) == pytest.approx(expected, rel=0.02)
        assert (convs[index].bias is not None) is released
    for conv in (convs[0], convs[4]):
        fans = 16 * (conv.in_channels + conv.out_channels)
        expected = 0.02 * math.sqrt(2 / fans)
        assert float(conv.weight.detach().std()) == pytest.approx(expected, rel=0.05)
        assert bool(conv.bias.any()) is released


def test_every_parameter_learns_and_the_image_hears_of_it() -> None:
    critic = build("sean", width=4)
    image, labels = pair((32, 48))
    image.requires_grad_()
    logits = critic(image, critic.label_maps(labels))
    torch.stack([x.square().mean() for x in logits]).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.any() for p in critic.parameters())
