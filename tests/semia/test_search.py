# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from scam.semia import search
from scam.semia.scales import PLACE, Rows, Scale, surroundings
from scam.semia.search import most_alike, propagated

LABELS = 3
SOURCE, TARGET = (9, 11), (7, 13)


def scale(size: tuple[int, int], seed: int) -> Scale:
    """Noise, each label in blocks of three columns."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, *size, generator=generator) * 2 - 1
    labels = (torch.arange(size[1]) // 3 % LABELS).expand(size).contiguous()
    return Scale(image, labels, surroundings(labels, LABELS, (1.0, 2.0)), 3)


def some_place(of: Tensor, wanted: Tensor) -> Tensor:
    """The first place of each label that is wanted."""
    return torch.stack([(of == label).nonzero()[0, 0] for label in wanted.tolist()])


@pytest.fixture
def source() -> Scale:
    return scale(SOURCE, 1)


@pytest.fixture
def target() -> Scale:
    return scale(TARGET, 2)


def every_distance(target: Scale, source: Scale) -> Tensor:
    """From each place of the target to each of the source, infinite between labels."""
    rows = [Rows(x).at(torch.arange(x.labels.numel())).double() for x in (target, source)]
    distance = (rows[0][:, None] - rows[1]).square().sum(2)
    other = target.labels.flatten()[:, None] != source.labels.flatten()
    return distance.masked_fill(other, torch.inf)


def test_rows_compare_patches_surroundings_and_places(source: Scale, target: Scale) -> None:
    """Against sums over the patch, pixel by pixel."""
    here, there = 2 * TARGET[1] + 4, 5 * SOURCE[1] + 6
    patches = [
        x.image[:, row - 1 : row + 2, column - 1 : column + 2]
        for x, row, column in ((target, 2, 4), (source, 5, 6))
    ]
    around = (target.around[:, 2, 4] - source.around[:, 5, 6]).square().sum()
    place = (2 / 7 - 5 / 9) ** 2 + (4 / 13 - 6 / 11) ** 2
    wanted = (patches[0] - patches[1]).square().mean() + 0.15 * around + PLACE * place
    found = Rows(target).distance(torch.tensor([here]), Rows(source), torch.tensor([there]))
    torch.testing.assert_close(found, wanted[None])


def test_the_nearest_of_the_label_is_found(source: Scale, target: Scale) -> None:
    wanted = target.labels.flatten()
    begin = some_place(source.labels.flatten(), wanted)
    match = most_alike(Rows(target), wanted, Rows(source), source.labels.flatten(), begin)
    assert torch.equal(source.labels.flatten()[match], wanted)
    distance = every_distance(target, source)
    reached = distance.gather(1, match[:, None])[:, 0]
    assert (reached <= distance.amin(1) * 1.0002).all()


def test_parts_change_nothing(
    source: Scale, target: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, own = target.labels.flatten(), source.labels.flatten()
    begin = some_place(own, wanted)
    whole = most_alike(Rows(target), wanted, Rows(source), own, begin)
    monkeypatch.setattr(search, "_AT_ONCE", 50)
    assert torch.equal(most_alike(Rows(target), wanted, Rows(source), own, begin), whole)


def test_equal_places_stay_where_they_are(source: Scale) -> None:
    """Also where other places of the source hold the same."""
    flat = Scale(torch.zeros_like(source.image), source.labels, source.around[:0], 3)
    own, places = flat.labels.flatten(), torch.arange(flat.labels.numel())
    begin = some_place(own, own)
    nowhere = torch.zeros(len(own), 2)
    rows = Rows(flat, nowhere)
    assert torch.equal(most_alike(rows, own, rows, own, begin), begin)
    rows = Rows(source)
    assert torch.equal(most_alike(rows, own, rows, own, places), places)


class TestPropagated:
    @staticmethod
    def rounds(target: Scale, source: Scale, match: Tensor, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        for _ in range(count):
            match = propagated(
                Rows(target), target.labels, Rows(source), source.labels, match, generator
            )
        return match

    def test_the_nearest_is_found_in_time(self, source: Scale, target: Scale) -> None:
        wanted = target.labels.flatten()
        begin = some_place(source.labels.flatten(), wanted).view(TARGET)
        match = self.rounds(target, source, begin, 150).flatten()
        distance = every_distance(target, source)
        reached = distance.gather(1, match[:, None])[:, 0]
        assert (reached <= distance.amin(1) * 1.0002).double().mean() > 0.9

    def test_no_place_becomes_worse_or_leaves_its_label(
        self, source: Scale, target: Scale
    ) -> None:
        wanted = target.labels.flatten()
        match = some_place(source.labels.flatten(), wanted).view(TARGET)
        distance, before = every_distance(target, source), torch.inf
        for _ in range(3):
            match = self.rounds(target, source, match, 1)
            assert torch.equal(source.labels.flatten()[match], target.labels)
            reached = distance.gather(1, match.view(-1, 1))[:, 0]
            assert (reached <= before).all()
            before = reached

    def test_it_repeats_to_the_bit_and_leaves_its_input(
        self, source: Scale, target: Scale
    ) -> None:
        begin = some_place(source.labels.flatten(), target.labels.flatten()).view(TARGET)
        kept = begin.clone()
        first, second = (self.rounds(target, source, begin, 2) for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(begin, kept)

    def test_a_neighbour_s_find_is_moved_along(self) -> None:
        """A shifted copy, known in one place, is found everywhere."""
        image = scale((24, 24), 3).image
        keys, own = self.patches(image)
        queries, wanted = self.patches(image[:, 2:22, 3:23])
        match = torch.zeros(20, 20, dtype=torch.int64)
        match[10, 10] = 12 * 24 + 13
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            match = propagated(queries, wanted, keys, own, match, generator)
        rows, columns = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
        moved = (rows + 2) * 24 + columns + 3
        inside = (slice(1, -1), slice(1, -1))
        assert torch.equal(match[inside], moved[inside])

    @staticmethod
    def patches(image: Tensor) -> tuple[Rows, Tensor]:
        """What compares patches alone, and a label map of one label."""
        labels = torch.zeros(image.shape[1:], dtype=torch.int64)
        rows = Rows(Scale(image, labels, image[:0], 3), torch.zeros(labels.numel(), 2))
        return rows, labels
