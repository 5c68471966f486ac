# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.synthesis.augment import KINDS, Augmentation, kept_styles, parse_policy
from scam.training.randomness import picture_generators

CPU = torch.device("cpu")
SIZE = (24, 17)


def drawn(*policy: str, count: int = 5, step: int = 1) -> Augmentation:
    return Augmentation.draw(policy, picture_generators(0, step, range(count), "test", CPU))


def fixed(*policy: str, **uniform: float) -> Augmentation:
    """One picture with the given numbers, 0.5 elsewhere."""
    names = ("brightness", "saturation", "contrast", "down", "right", "row", "column")
    values = [[uniform.get(name, 0.5) for name in names]]
    return Augmentation(policy, torch.tensor(values, dtype=torch.float64))


def places() -> tuple[Tensor, Tensor]:
    """Pictures whose pixels all differ, and label maps that hold the same numbers."""
    maps = torch.arange(5 * SIZE[0] * SIZE[1]).view(5, *SIZE).int()
    return (maps + 1)[:, None].expand(-1, 3, -1, -1).double(), maps


@pytest.mark.parametrize("policy", [("translation",), ("cutout",), ("translation", "cutout")])
def test_label_maps_move_with_the_pictures(policy: tuple[str, ...]) -> None:
    images, maps = places()
    for step in range(1, 20):
        augmentation = drawn(*policy, step=step)
        shown, labels = augmentation.pictures(images), augmentation.labels(maps)
        assert labels.dtype == torch.int32
        # Where nothing is left the picture is 0 and the label -1: one less, as everywhere.
        assert torch.equal(shown[:, 0], labels.double() + 1)
        assert not torch.equal(labels, maps)


def test_colours_leave_label_maps_alone() -> None:
    _, maps = places()
    assert drawn("color").labels(maps) is maps


@pytest.mark.parametrize(
    ("down", "right", "expected"),
    [(0.0, 0.0, (-3, -2)), (0.5, 0.5, (0, 0)), (0.999, 0.999, (3, 2))],
)
def test_translation_by_an_eighth_of_either_side(
    down: float, right: float, expected: tuple[int, int]
) -> None:
    """24 / 8 = 3 rows, 17 / 8 = 2 columns."""
    images, _ = places()
    moved = fixed("translation", down=down, right=right).pictures(images[:1])
    rows, columns = expected
    wanted = torch.zeros_like(moved)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            if 0 <= row - rows < SIZE[0] and 0 <= column - columns < SIZE[1]:
                wanted[:, :, row, column] = images[:1, :, row - rows, column - columns]
    assert torch.equal(moved, wanted)


def test_every_shift_and_every_cut_occurs_about_equally_often() -> None:
    uniform = torch.rand(4000, 7, dtype=torch.float64)
    image = torch.zeros(4000, 1, *SIZE)
    image[:, :, 12, 8] = 1
    moved = Augmentation(("translation",), uniform).pictures(image).nonzero()[:, 2:]
    found = {(int(row) - 12, int(column) - 8) for row, column in moved}
    assert found == {(row, column) for row in range(-3, 4) for column in range(-2, 3)}
    counts = torch.unique(moved, dim=0, return_counts=True)[1]
    assert counts.min() > 4000 / 35 / 2
    left = Augmentation(("cutout",), uniform).pictures(torch.ones(4000, 1, *SIZE)).mean((0, 1))
    assert left.min() > 0.5  # of a box 12 high and 9 wide no pixel is always in
    assert left.max() < 0.95


def test_a_cut_is_half_of_either_side() -> None:
    inside = fixed("cutout").pictures(torch.ones(1, 3, *SIZE))
    rows, columns = (inside[0, 0] == 0).any(1), (inside[0, 0] == 0).any(0)
    assert (int(rows.sum()), int(columns.sum())) == (12, 9)
    assert (inside[0, 0][rows][:, columns] == 0).all()
    corner = fixed("cutout", row=0.0, column=0.0).pictures(torch.ones(1, 3, *SIZE))
    assert (corner[0, 0] == 0).nonzero().amax(0).tolist() == [5, 4]


def test_colours_against_the_formulas() -> None:
    """DiffAugment's: add u - 0.5, then scale by 2u about grey, then by u + 0.5 about the mean."""
    x = torch.randn(1, 3, *SIZE, dtype=torch.float64)
    found = fixed("color", brightness=0.9, saturation=0.2, contrast=0.7).pictures(x)
    x = x + 0.4
    grey = (x[:, :1] + x[:, 1:2] + x[:, 2:]) / 3
    x = grey + 0.4 * (x - grey)
    x = x.mean() + 1.2 * (x - x.mean())
    torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)
    same = fixed("color").pictures(x)
    torch.testing.assert_close(same, x, rtol=1e-12, atol=1e-12)


def test_gradients_flow_through_everything() -> None:
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    augmentation = drawn(*KINDS, count=2)
    assert torch.autograd.gradcheck(augmentation.pictures, (x,))
    assert torch.autograd.gradgradcheck(augmentation.pictures, (x,))


def test_a_picture_is_augmented_alike_in_any_batch() -> None:
    images, maps = places()
    whole = drawn(*KINDS)
    part = Augmentation.draw(KINDS, picture_generators(0, 1, [3, 1], "test", CPU))
    assert torch.equal(whole.pictures(images)[[3, 1]], part.pictures(images[[3, 1]]))
    assert torch.equal(whole.labels(maps)[[3, 1]], part.labels(maps[[3, 1]]))
    assert not torch.equal(whole.uniform, drawn(*KINDS, step=2).uniform)


def test_a_kind_draws_the_same_whatever_else_there_is() -> None:
    _, maps = places()
    alone, among = drawn("translation"), drawn("color", "translation")
    assert torch.equal(alone.labels(maps), among.labels(maps))


def test_policies() -> None:
    assert parse_policy("diffaugment", "") == ()
    assert parse_policy("diffaugment", "cutout,color") == ("cutout", "color")
    for text in ("flip", "color,color", "color,"):
        expected = f"diffaugment='{text}': expected some of color,translation,cutout, each once"
        with pytest.raises(InputError, match=expected):
            parse_policy("diffaugment", text)


def test_styles_are_kept_with_the_chance_that_is_left() -> None:
    kept = kept_styles(0.3, 500, picture_generators(0, 1, range(20), "style", CPU))
    assert kept.shape == (20, 500)
    assert abs(float(kept.float().mean()) - 0.7) < 0.02
    assert not torch.equal(kept[0], kept[1])
    assert kept_styles(0.0, 500, picture_generators(0, 1, range(2), "style", CPU)).all()
