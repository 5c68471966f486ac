# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from scam.data.convert import to_uint8
from scam.errors import InputError
from scam.semia import patches
from scam.semia.landscape.example import example
from scam.semia.patches import Collage, PatchMatch, PatchOptions
from scam.semia.places import vote
from scam.semia.scales import Scale, resized_labels, sizes

DRAWN = example(48, 64)
IMAGE = DRAWN.image.float() / 127.5 - 1
LABELS, COUNT = DRAWN.labels, len(DRAWN.names)
FAST = PatchOptions(rounds=1, last_rounds=1)


def collage(labels: Tensor, **more: bool) -> Collage:
    return PatchMatch(IMAGE, LABELS, COUNT, FAST, **more)(labels)


@pytest.mark.parametrize("nearby", [False, True])
def test_under_its_own_labels_the_source_is_the_source(
    nearby: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nearby:
        monkeypatch.setattr(patches, "_ALL_PAIRS", 0)
    matcher = PatchMatch(IMAGE, LABELS, COUNT)
    found = matcher(LABELS)
    assert torch.equal(found.places, torch.arange(LABELS.numel()).view_as(LABELS))
    assert torch.equal(to_uint8(found.image), DRAWN.image)


@pytest.mark.parametrize("patch", [3, 17, 31])
def test_also_where_patches_are_large(patch: int) -> None:
    matcher = PatchMatch(IMAGE, LABELS, COUNT, PatchOptions(patch=patch, ratio=0.5, rounds=1))
    assert torch.equal(to_uint8(matcher(LABELS).image), DRAWN.image)


@pytest.mark.parametrize("name", ["move", "retarget", "sketch"])
@pytest.mark.parametrize("nearby", [False, True])
def test_places_have_the_label_that_is_asked_for(
    name: str, nearby: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nearby:
        monkeypatch.setattr(patches, "_ALL_PAIRS", 0)
    target = DRAWN.targets[name]
    found = collage(target)
    assert found.image.shape == (3, *target.shape)
    assert torch.equal(LABELS.flatten()[found.places], target)
    assert found.image.abs().max() <= 1


def test_all_places_count_where_labels_do_not() -> None:
    found = collage(DRAWN.targets["move"], by_label=False)
    assert not torch.equal(LABELS.flatten()[found.places], DRAWN.targets["move"])


def test_a_label_takes_nothing_from_another() -> None:
    """Each label has a channel of its own, and no other has any in the result."""
    labels = torch.zeros(24, 30, dtype=torch.int64)
    labels[8:18, 5:20] = 1
    labels[2:6, 22:28] = 2
    image = torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1).float()
    target = labels.flip(1).roll(3, 0)
    found = PatchMatch(image, labels, 3)(target).image
    wanted = torch.nn.functional.one_hot(target, 3).permute(2, 0, 1).float()
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("size", [(7, 9), (31, 17), (8, 65)])
def test_any_size_under_any_size(size: tuple[int, int]) -> None:
    labels = resized_labels(LABELS, size, COUNT)
    image = torch.rand(3, *size) * 2 - 1
    present = int(labels[0, 0])
    for target in (labels, torch.full((13, 11), present), torch.full((4, 5), present)):
        found = PatchMatch(image, labels, COUNT, FAST)(target)
        assert found.image.shape == (3, *target.shape)
        assert torch.equal(labels.flatten()[found.places], target)


def test_it_repeats_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1 << 28, 0):
        monkeypatch.setattr(patches, "_ALL_PAIRS", most)
        first, second = (collage(DRAWN.targets["duplicate"]) for _ in range(2))
        assert torch.equal(first.image, second.image)
        assert torch.equal(first.places, second.places)


def test_every_round_brings_the_patches_nearer() -> None:
    """Rounds of propagation change places and are voted on: later results come nearer."""
    target = DRAWN.targets["duplicate"]
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "_ALL_PAIRS", 0)
        for rounds in (1, 3):
            options = PatchOptions(rounds=1, last_rounds=rounds)
            found[rounds] = PatchMatch(IMAGE, LABELS, COUNT, options)(target)
    assert not torch.equal(found[1].places, found[3].places)
    assert not torch.equal(found[1].image, found[3].image)


def test_progress_rises_to_one() -> None:
    shares: list[float] = []
    PatchMatch(IMAGE, LABELS, COUNT, FAST)(DRAWN.targets["move"], shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= len(sizes((48, 64), 16, 0.75))


def test_votes_are_weighted_means_of_what_the_patches_around_hold() -> None:
    """Pixel by pixel: of the patches that cover it, where they hold its label."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 6, 7, generator=generator)
    own = torch.randint(2, (6, 7), generator=generator)
    kinds = torch.randint(2, (5, 4), generator=generator)
    offered = [(own.flatten() == kind).nonzero().flatten() for kind in range(2)]
    places = torch.stack([x[torch.randint(len(x), kinds.shape)] for x in offered])
    places = places.gather(0, kinds[None])[0]
    found = vote(Scale(image, own, image[:0], 3), places, kinds, own)

    def reflected(at: int, size: int) -> int:
        return -at if at < 0 else 2 * (size - 1) - at if at >= size else at

    for row in range(5):
        for column in range(4):
            total, weights = torch.zeros(3), 0.0
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    centre = row - down, column - right
                    if not (0 <= centre[0] < 5 and 0 <= centre[1] < 4):
                        continue
                    at = int(places[centre])
                    y, x = reflected(at // 7 + down, 6), reflected(at % 7 + right, 7)
                    if own[y, x] == kinds[row, column]:
                        weight = float(torch.tensor(-(down**2 + right**2) / 1.28).exp())
                        total, weights = total + weight * image[:, y, x], weights + weight
            torch.testing.assert_close(found[:, row, column], total / weights)


@pytest.mark.parametrize("patch", [4, 1, 33])
def test_patches_have_a_middle(patch: int) -> None:
    with pytest.raises(InputError, match=f"patch={patch}: expected"):
        PatchOptions(patch=patch)
