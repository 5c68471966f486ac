# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from scam.models import SegmentationDiscriminator


@pytest.mark.parametrize(("size", "levels"), [((96, 64), 4), ((33, 47), 4), ((100, 70), 6)])
def test_one_class_more_than_labels_at_every_pixel(size: tuple[int, int], levels: int) -> None:
    critic = SegmentationDiscriminator(3, 16, levels)
    (logits,) = critic(torch.randn(2, 3, *size))
    assert logits.shape == (2, 4, *size)
    assert logits.isfinite().all()


def test_every_parameter_learns_and_the_picture_hears_of_it() -> None:
    critic = SegmentationDiscriminator(3, 16, 4)
    image = torch.randn(2, 3, 96, 64, requires_grad=True)
    critic(image)[0].square().mean().backward()
    assert image.grad is not None
    assert (image.grad != 0).any(3).any(2).all()
    without = [n for n, p in critic.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_convolutions_are_spectrally_normalised() -> None:
    critic = SegmentationDiscriminator(3, 16, 4).train()
    for _ in range(30):  # power iterations
        critic(torch.randn(1, 3, 96, 64))
    found = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    weights = [m.weight.detach().flatten(1) for m in found]
    norms = [float(torch.linalg.matrix_norm(weight, ord=2)) for weight in weights]
    assert len(norms) == 8 * 3 - 3 + 1  # three blocks keep their width and need no shortcut
    assert all(abs(norm - 1) < 0.05 for norm in norms[:-1])


def test_a_pixel_is_judged_by_its_surroundings() -> None:
    """Through the bottleneck by far ones too; through the skips mostly by its own."""
    critic = SegmentationDiscriminator(3, 16, 4).eval()
    image = torch.randn(1, 3, 96, 64, requires_grad=True)
    critic(image)[0][0, :, 48, 32].sum().backward()
    assert image.grad is not None
    reach = image.grad[0].abs().sum(0)
    assert reach[0, 0] > 0
    assert reach[40:57, 24:41].mean() > 10 * reach[:9, :9].mean()


def test_in_bfloat16_logits_are_still_float32() -> None:
    critic = SegmentationDiscriminator(3, 16, 4)
    with torch.autocast("cpu", torch.bfloat16):
        (logits,) = critic(torch.randn(1, 3, 96, 64))
    logits.sum().backward()
    assert logits.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in critic.parameters())


def test_in_bfloat16_the_norms_of_weights_are_still_float32() -> None:
    image, found = torch.randn(1, 3, 96, 64), []
    for enabled in (False, True):
        critic = seeded(0).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            critic(image)
        found.append(critic.state_dict())
    assert all(torch.equal(found[1][name], tensor) for name, tensor in found[0].items())


def test_equal_seeds_build_equal_ones() -> None:
    first, second = (seeded(3) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def seeded(seed: int) -> SegmentationDiscriminator:
    torch.manual_seed(seed)
    return SegmentationDiscriminator(3, 16, 4)
