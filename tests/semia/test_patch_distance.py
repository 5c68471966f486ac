# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError
from scam.semia import patch_distance as module
from scam.semia.patch_distance import patch_distance

Patches = dict[int, list[Tensor]]


def textures(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise, and three labels in bands of columns with some pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, height, width, generator=generator) * 2 - 1
    labels = (torch.arange(width) * 3 // width).expand(1, height, width).clone()
    labels[:, height // 2, ::2] = -1
    return image, labels


def cut(image: Tensor, labels: Tensor) -> Patches:
    found: Patches = {}
    for y in range(3, labels.shape[1] - 3):
        for x in range(3, labels.shape[2] - 3):
            label = int(labels[0, y, x])
            if label >= 0:
                window = image[0, :, y - 3 : y + 4, x - 3 : x + 4]
                found.setdefault(label, []).append(window.double())
    return found


def brute_force(ours: Patches, theirs: Patches, label: int) -> float:
    nearest = [min(float((a - b).square().mean()) for b in theirs[label]) for a in ours[label]]
    return sum(nearest) / len(nearest)


def test_it_is_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCALES", 1)
    monkeypatch.setattr(module, "_TILE", 5)  # many tiles, the last ones not full
    one, other = textures(11, 17, seed=1), textures(10, 14, seed=2)
    found = patch_distance(*one, *other)
    ours, theirs = cut(*one), cut(*other)
    assert set(found.by_label) == set(ours) == {0, 1, 2}
    for label, (coherence, completeness) in found.by_label.items():
        assert coherence == pytest.approx(brute_force(ours, theirs, label), rel=1e-12)
        assert completeness == pytest.approx(brute_force(theirs, ours, label), rel=1e-12)
    for side, total in enumerate((found.coherence, found.completeness)):
        labels = (one, other)[side][1]
        pixels = [int((labels == label).sum()) for label in ours]
        distances = [found.by_label[label][side] for label in ours]
        mean = sum(n * d for n, d in zip(pixels, distances, strict=True)) / sum(pixels)
        assert total == pytest.approx(mean, rel=1e-12)


def test_scales_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    image, source = (torch.rand(1, 3, 32, 40) for _ in range(2))
    labels = torch.zeros(1, 32, 40, dtype=torch.int64)
    together = patch_distance(image, labels, source, labels)
    monkeypatch.setattr(module, "SCALES", 1)
    each = []
    for scale in range(3):
        small = [F.avg_pool2d(x.double(), 2**scale) for x in (image, source)]
        flat = torch.zeros(1, *small[0].shape[2:], dtype=torch.int64)
        each.append(patch_distance(small[0], flat, small[1], flat).coherence)
    assert together.coherence == pytest.approx(sum(each) / 3)


@pytest.mark.parametrize("size", [(7, 7), (29, 23), (33, 12)])
def test_an_image_is_at_no_distance_from_itself(size: tuple[int, int]) -> None:
    pair = textures(*size)
    found = patch_distance(*pair, *pair)
    assert found.coherence == found.completeness == 0


def test_borrowed_texture_is_far_label_by_label_only() -> None:
    """Both bands show the left one's texture, which is the same in every column."""
    rows = torch.rand(1, 3, 24, 1) * 2 - 1
    source = torch.cat([rows.expand(-1, -1, -1, 20), -rows.expand(-1, -1, -1, 20)], dim=3)
    result = rows.expand(-1, -1, -1, 40)
    labels = (torch.arange(40) >= 20).long().expand(1, 24, 40)
    whole = torch.zeros_like(labels)
    assert patch_distance(result, whole, source, whole).coherence == 0
    restricted = patch_distance(result, labels, source, labels)
    assert restricted.by_label[0][0] == 0
    assert restricted.by_label[1][0] > 0.1


def test_what_the_result_leaves_out_is_incomplete() -> None:
    source, labels = torch.rand(1, 3, 16, 32), torch.zeros(1, 16, 32, dtype=torch.int64)
    part = source[..., :16]
    found = patch_distance(part, labels[..., :16], source, labels)
    assert found.by_label[0][0] == 0
    assert found.completeness > 0.01


def test_labels_without_a_pair_of_patches_are_named() -> None:
    image, labels = textures(20, 30)
    target = labels.clone()
    target[target == 1] = 4  # the source has none of it
    target[:, 0, 0] = 3  # in neither, but for a corner that no patch is centred on
    found = patch_distance(image, target, image, labels)
    assert set(found.by_label) == {0, 2}
    assert found.absent == (1, 3, 4)


def test_nothing_in_common() -> None:
    image, labels = textures(20, 30)
    with pytest.raises(InputError, match="expected a label of which both hold a patch"):
        patch_distance(image, torch.full_like(labels, 3), image, labels)
    with pytest.raises(InputError, match="expected a label"):
        patch_distance(image, torch.full_like(labels, -1), image, labels)
    small = image[..., :6], labels[..., :6]
    with pytest.raises(InputError, match="expected a label"):
        patch_distance(*small, *small)


def test_labels_of_another_size() -> None:
    image, labels = textures(20, 30)
    with pytest.raises(InputError, match="expected shapes"):
        patch_distance(image, labels[:, 1:], image, labels)
