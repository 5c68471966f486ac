# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.synthesis.texture import texture_distance


def stripes(*, phase: int = 0, across: bool = False, period: int = 6) -> torch.Tensor:
    """(1, 3, 96, 64): stripes of +-0.5, horizontal unless ``across``."""
    rows = (((torch.arange(96) + phase) // (period // 2)) % 2).float() - 0.5
    image = rows[:, None].expand(96, 96)
    return (image.T if across else image)[:, :64].expand(1, 3, 96, 64)


FLAT = torch.zeros(1, 3, 96, 64)
MISSING = texture_distance(FLAT, stripes())


def test_equal_pictures_have_no_distance_and_either_order_has_the_same() -> None:
    image, other = torch.rand(2, 2, 3, 40, 32) * 2 - 1
    assert texture_distance(image, image) == 0
    torch.testing.assert_close(texture_distance(image, other), texture_distance(other, image))


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_shifted_pattern_costs_far_less_than_a_missing_one(phase: int) -> None:
    assert texture_distance(stripes(phase=phase), stripes()) < MISSING / 5


def test_another_direction_or_half_the_contrast_does_cost() -> None:
    assert texture_distance(stripes(across=True), stripes()) > MISSING
    half = texture_distance(stripes() / 2, stripes())
    torch.testing.assert_close(half, MISSING / 2, rtol=0.05, atol=0)


def test_colour_does_not_count() -> None:
    assert texture_distance(FLAT + 0.7, FLAT) == 0


def test_coarse_patterns_are_seen_at_halved_sizes() -> None:
    """A checkerboard of single pixels vanishes at half size, where only full size counts it."""
    board = (torch.arange(96)[:, None] + torch.arange(64)) % 2 - 0.5
    fine = texture_distance(board.expand(1, 3, 96, 64), FLAT)
    assert fine > 0
    torch.testing.assert_close(
        texture_distance(board[:63, :63].expand(1, 3, 63, 63), FLAT[..., :63, :63]), 2 * fine,
        rtol=1e-3, atol=0,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(2, 2), (3, 9), (64, 31)])
def test_pictures_smaller_than_the_window(size: tuple[int, int]) -> None:
    assert texture_distance(torch.zeros(1, 3, *size), torch.rand(1, 3, *size)) > 0


def test_gradients_of_flat_pictures_are_finite() -> None:
    image = FLAT.clone().requires_grad_()
    texture_distance(image, stripes()).backward()
    assert torch.isfinite(image.grad).all()


def test_half_precision_is_computed_in_single() -> None:
    distance = texture_distance(FLAT.bfloat16(), stripes().bfloat16())
    torch.testing.assert_close(distance, MISSING)
