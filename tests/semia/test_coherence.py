# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.semia import coherence
from scam.semia.coherence import PatchCoherence

COUNT = 3
SIZE = (13, 10)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Noise, and labels in columns."""
    image = torch.rand(1, 3, *size, generator=seeded(seed)) * 2 - 1
    return image, (torch.arange(size[1]) % COUNT).expand(1, *size).contiguous()


def patches(image: Tensor, labels: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """3x3 pixels around each, (n, 27), and its label."""
    small = F.avg_pool2d(image, factor, ceil_mode=True) if factor > 1 else image
    windows = F.pad(small, (1,) * 4, mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1)
    kinds = labels[0, ::factor, ::factor].flatten()
    return windows[0].permute(1, 2, 0, 3, 4).reshape(len(kinds), -1), kinds


def by_hand(image: Tensor, labels: Tensor, source: tuple[Tensor, Tensor], queries: int) -> float:
    """The patches that are drawn, one after the other."""
    generator, found = seeded(), []
    for factor in (1, 2):
        asked, kinds = patches(image, labels, factor)
        offered, own = patches(*source, factor)
        for at in torch.randint(len(asked), (queries,), generator=generator).tolist():
            same = offered[own == kinds[at]]
            nearest = same[(same - asked[at]).square().sum(1).argmin()]
            found.append((nearest - asked[at]).abs().mean())
    return float(torch.stack(found).mean())


@pytest.mark.parametrize("by_label", [True, False])
def test_it_is_zero_for_the_source(by_label: bool) -> None:
    image, labels = picture(SIZE, 1)
    distance = PatchCoherence(image, labels, COUNT, by_label=by_label)
    assert distance(image, labels, seeded()) == 0


@pytest.mark.parametrize("size", [SIZE, (9, 15)])
def test_it_is_the_mean_distance_to_the_nearest_patch(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, (image, labels) = picture(SIZE, 1), picture(size, 2)
    distance = PatchCoherence(*source, COUNT, queries=20, patch=3)
    found = distance(image, labels, seeded())
    assert float(found) == pytest.approx(by_hand(image, labels, source, 20), rel=1e-5)
    monkeypatch.setattr(coherence, "_AT_ONCE", 60)
    assert float(distance(image, labels, seeded())) == pytest.approx(float(found), rel=1e-6)


def test_what_a_class_borrows_costs_only_where_labels_count() -> None:
    """Exchanged textures: every patch occurs in the source, under the other label."""
    labels = torch.zeros(1, 16, 32, dtype=torch.int64)
    labels[..., 16:] = 1
    noise = torch.rand(1, 3, 16, 16, generator=seeded())
    image = torch.cat([noise, -noise.flip(3)], 3)
    restricted, anywhere = (
        PatchCoherence(image, labels, 2, by_label=on, patch=5) for on in (True, False)
    )
    assert float(anywhere(image, 1 - labels, seeded())) == 0
    assert float(restricted(image, 1 - labels, seeded())) > 0.1


def test_gradients_lead_towards_the_source() -> None:
    source, (image, labels) = picture(SIZE, 1), picture(SIZE, 2)
    distance = PatchCoherence(*source, COUNT, queries=200)
    image.requires_grad_()
    before = distance(image, labels, seeded())
    before.backward()
    assert image.grad is not None
    assert (image.grad.flatten(1).abs().sum(1) > 0).all()
    assert distance(image.detach() - 5 * image.grad, labels, seeded()) < before


def test_it_repeats_to_the_bit() -> None:
    distance = PatchCoherence(*picture(SIZE, 1), COUNT)
    other = picture(SIZE, 2)
    one, two = (distance(*other, seeded()) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, distance(*other, seeded(1)))


def test_a_label_that_half_the_resolution_loses_counts_at_full() -> None:
    image, labels = picture(SIZE, 1)
    labels = labels.clamp(max=1)
    labels[0, 5, 5] = 2
    distance = PatchCoherence(image, labels, COUNT)
    assert distance(image, labels, seeded()) == 0
    asked = labels.clone()
    asked[0, 4:8, 4:8] = 2
    found = distance(image, asked, seeded())
    assert found.isfinite()
    assert found > 0
