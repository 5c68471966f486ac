# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.semia.warps import (
    Warp,
    draw_warp,
    flipped,
    pixel_places,
    thin_plate_spline,
    zoomed,
)

SIZES = [(48, 64), (64, 48), (31, 90), (40, 40)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_labels(size: tuple[int, int], labels: int = 6) -> Tensor:
    coarse = torch.randint(-1, labels, (1, 1, 6, 6), generator=seeded(7))
    return torch.nn.functional.interpolate(coarse.float(), size)[:, 0].long()


def controls(size: tuple[int, int], jitter: float) -> tuple[Tensor, Tensor]:
    """Corners that stay and an inner point that is asked to move: targets, sources."""
    height, width = size
    corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    inner = [(0.25 * width, 0.3 * height), (0.7 * width, 0.6 * height)]
    sources = torch.tensor([*corners, *inner], dtype=torch.float64)
    targets = sources.clone()
    targets[4:] += torch.tensor([[jitter, -jitter / 2], [-jitter / 3, jitter]])
    return targets, sources


@pytest.mark.parametrize("size", SIZES)
def test_strength_zero_changes_no_bit(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size) * 2 - 1
    labels = random_labels(size)
    for seed in range(5):
        warp = draw_warp(size, 0, seeded(seed))
        assert torch.equal(warp.image(image), image)
        assert torch.equal(warp.labels(labels), labels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strength", [0.1, 1])
def test_image_and_labels_have_one_geometry(size: tuple[int, int], strength: float) -> None:
    labels = random_labels(size)
    picture = labels[:, None].float() / 8
    for seed in range(10):
        warp = draw_warp(size, strength, seeded(seed))
        as_image = warp.image(picture, "nearest")
        assert torch.equal((8 * as_image[:, 0]).round().long(), warp.labels(labels))
        assert set(warp.labels(labels).unique().tolist()) <= set(labels.unique().tolist())


@pytest.mark.parametrize("size", SIZES)
def test_control_points_land_where_requested(size: tuple[int, int]) -> None:
    targets, sources = controls(size, 4.5)
    found = thin_plate_spline(targets, targets, sources)
    assert (found - sources).abs().max() < 1e-9

    warp = Warp(size, thin_plate_spline(pixel_places(size), targets, sources))
    for target, source in zip(targets[4:], sources[4:], strict=True):
        blob = (-((pixel_places(size) - source) ** 2).sum(-1) / (2 * 1.5**2)).exp()
        seen = warp.image(blob[None, None])[0, 0].clamp(min=0)
        # Bending moves a wide blob's centre of mass: weigh what is near the peak.
        near = (pixel_places(size) - target).norm(dim=-1) < 2.5
        weight = seen.pow(4) * near
        centre = (weight[..., None] * pixel_places(size)).sum((0, 1)) / weight.sum()
        assert (centre - target).norm() < 0.1


@pytest.mark.parametrize("size", SIZES)
def test_a_spline_that_moves_nothing_is_the_identity(size: tuple[int, int]) -> None:
    targets, sources = controls(size, 0)
    places = thin_plate_spline(pixel_places(size), targets, sources)
    assert (places - pixel_places(size)).abs().max() < 1e-9


def test_the_spline_is_affine_where_its_points_are() -> None:
    targets = torch.rand(9, 2, generator=seeded(0), dtype=torch.float64) * 50
    matrix = torch.tensor([[1.1, 0.2], [-0.3, 0.9]], dtype=torch.float64)
    places = pixel_places((20, 30))
    found = thin_plate_spline(places, targets, targets @ matrix.T + 5)
    torch.testing.assert_close(found, places @ matrix.T + 5)


@pytest.mark.parametrize("size", [*SIZES, (160, 320)])
def test_a_drawn_spline_keeps_corners_and_does_not_fold(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scam.semia.warps._ZOOM", (1.0, 1.0))
    monkeypatch.setattr("scam.semia.warps._FLIP", 0.0)
    corners = pixel_places(size)[:: size[0] - 1, :: size[1] - 1]
    moved = []
    for seed in range(20):
        places = draw_warp(size, 1, seeded(seed)).places
        assert places is not None
        assert (places[:: size[0] - 1, :: size[1] - 1] - corners).abs().max() < 1e-9
        across, down = places.diff(dim=1)[:-1], places.diff(dim=0)[:, :-1]
        turn = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
        assert turn.min() > 0
        moved.append((places - pixel_places(size)).norm(dim=-1).mean().item())
    assert 0.01 * max(size) < sum(moved) / len(moved) < 0.05 * max(size)


def test_a_flip_and_a_zoom_read_where_they_should() -> None:
    size = (30, 44)
    image = torch.rand(1, 3, *size) * 2 - 1
    labels = random_labels(size)
    flip = Warp(size, flipped(pixel_places(size), size))
    torch.testing.assert_close(flip.image(image), image.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(flip.labels(labels), labels.flip(-1))

    larger = zoomed(pixel_places(size), size, 2.0)
    assert larger[0, 0].tolist() == [43 / 4, 29 / 4]
    assert larger[-1, -1].tolist() == [43 * 3 / 4, 29 * 3 / 4]
    smaller = Warp(size, zoomed(pixel_places(size), size, 0.85))
    assert smaller.places is not None
    assert smaller.places.min() < 0
    assert set(smaller.labels(labels).unique().tolist()) == set(labels.unique().tolist())


def test_the_generator_alone_decides() -> None:
    size = (32, 48)
    image = torch.rand(1, 3, *size) * 2 - 1
    first, again, other = (draw_warp(size, 0.7, seeded(s)).image(image) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= -1
    assert first.max() <= 1

    after = []
    for strength in (0.0, 0.3, 1.0):
        generator = seeded(5)
        draw_warp(size, strength, generator)
        after.append(torch.rand(1, generator=generator).item())
    assert len(set(after)) == 1


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"strength=1\.5: expected 0 \.\. 1"):
        draw_warp((8, 8), 1.5, seeded(0))
    with pytest.raises(InputError, match=r"size=.*expected 2 pixels or more"):
        draw_warp((1, 9), 1, seeded(0))
    with pytest.raises(InputError, match=r"labels=.*expected H, W = 8, 9"):
        draw_warp((8, 9), 1, seeded(0)).labels(torch.zeros(1, 9, 8, dtype=torch.long))
