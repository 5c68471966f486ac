# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from scam.editing import enlarge_by_labels, paste_back, spread_labels, touched_pixels


def test_touched_is_where_either_map_holds_the_subject() -> None:
    before = np.array([[0, 0, 1, 1, -1, 4]])
    after = np.array([[0, 2, 0, 3, -1, 0]])
    assert touched_pixels(before, after, [0]).tolist() == [[False, True, True, True, False, True]]
    assert touched_pixels(before, after, [0, 4]).tolist()[0][-1] is False


@pytest.mark.parametrize("feather", [0, 1, 5])
def test_blend_runs_out_linearly_and_then_stops(feather: int) -> None:
    photo = np.zeros((1, 20, 3), np.uint8)
    generated = np.full_like(photo, 240)
    touched = np.zeros((1, 20), bool)
    touched[0, :4] = True
    row = paste_back(photo, generated, touched, feather)[0, :, 0]
    ramp = [round(240 * (1 - i / (feather + 1))) for i in range(1, feather + 1)]
    assert row.tolist() == [240] * 4 + ramp + [0] * (16 - feather)


def distances(mask: np.ndarray, most: int) -> np.ndarray:
    """How far each pixel (H, W) is from ``mask``, infinite beyond ``most`` up or aside."""
    padded, (height, width) = np.pad(mask, most), mask.shape
    found = np.full(mask.shape, np.inf)
    for y, x in np.ndindex(2 * most + 1, 2 * most + 1):
        there = padded[y : y + height, x : x + width]
        found[there] = np.minimum(found[there], np.hypot(y - most, x - most))
    return found


@pytest.mark.parametrize("feather", [0, 1, 4, 8, 40])
def test_the_edge_is_as_wide_in_every_direction(feather: int) -> None:
    generator = np.random.default_rng(feather)
    touched = np.zeros((90, 70), bool)
    touched[tuple(generator.integers(20, 50, (2, 6)))] = True
    touched[40:70, 30] = True
    photo = np.zeros((*touched.shape, 3), np.uint8)
    share = paste_back(photo, np.full_like(photo, 240), touched, feather)[..., 0] / 240
    apart = distances(touched, feather + 1)
    assert (share[apart > feather] == 0).all()
    near = apart <= feather
    assert np.abs(share[near] - (1 - apart[near] / (feather + 1))).max() <= 0.51 / 240


def test_nothing_touched_is_the_photograph() -> None:
    photo = np.full((4, 5, 3), 9, np.uint8)
    assert np.array_equal(paste_back(photo, photo + 1, np.zeros((4, 5), bool)), photo)


def test_far_pixels_are_the_photograph_itself() -> None:
    generator = np.random.default_rng(0)
    photo, generated = (generator.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(2))
    touched = np.zeros((30, 30), bool)
    touched[10:15, 12:20] = True
    result = paste_back(photo, generated, touched, 3)
    near = np.zeros_like(touched)
    near[7:18, 9:23] = True
    assert np.array_equal(result[~near], photo[~near])
    assert np.array_equal(result[touched], generated[touched])


PERSON, SCENE, PHOTO = (250, 30, 10), (20, 60, 240), (0, 200, 100)


def disc(height: int, width: int) -> np.ndarray:
    """A label map (height, width): 1 on a disc, 0 elsewhere."""
    y, x = (np.arange(n) / n + 0.5 / n - 0.5 for n in (height, width))
    return (y[:, None] ** 2 + x**2 < 0.09).astype(np.int32)


def generated(factor: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame of flat colours whose pixels mix them along the border, and both label maps."""
    labels = disc(32 * factor, 24 * factor)
    flat = np.where(labels[..., None] == 1, PERSON, SCENE)
    frame = flat.reshape(32, factor, 24, factor, 3).mean((1, 3)).round().astype(np.uint8)
    return frame, labels[factor // 2 :: factor, factor // 2 :: factor], labels


def within(mask: np.ndarray, pixels: int) -> np.ndarray:
    """What is at most so many pixels from ``mask``, diagonals included."""
    padded = np.pad(mask, pixels)
    steps = range(2 * pixels + 1)
    height, width = mask.shape
    return np.any([padded[y : y + height, x : x + width] for y in steps for x in steps], axis=0)


@pytest.mark.parametrize("factor", [2, 5, 8])
def test_enlarged_labels_do_not_bleed_into_each_other(factor: int) -> None:
    frame, small, labels = generated(factor)
    mixed = (frame != PERSON).any(-1) & (frame != SCENE).any(-1)
    assert mixed.any()
    result = enlarge_by_labels(frame, small, labels)
    person = labels == 1
    inside, outside = ~within(~person, 1), ~within(person, 1)
    assert (result[inside] == PERSON).all()
    assert (result[outside] == SCENE).all()
    # Between them each pixel shows the share of the nine around it that are the person's.
    padded = np.pad(person, 1, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    share = views.mean((2, 3))[..., None]
    expected = share * np.array(PERSON) + (1 - share) * np.array(SCENE)
    assert np.abs(result - expected).max() <= 0.51


@pytest.mark.parametrize("feather", [0, 1, 4])
def test_the_ring_is_a_blend_of_the_person_and_the_photograph(feather: int) -> None:
    frame, small, labels = generated(8)
    photo = np.full((*labels.shape, 3), PHOTO, np.uint8)
    touched = labels == 1
    around = spread_labels(labels, touched, feather + 1)
    result = paste_back(photo, enlarge_by_labels(frame, small, around), touched, feather)
    assert (result[touched] == PERSON).all()
    apart = distances(touched, feather + 1)
    share = np.where(apart <= feather, 1 - apart / (feather + 1), 0)[..., None]
    expected = share * np.array(PERSON) + (1 - share) * np.array(PHOTO)
    assert np.abs(result - expected).max() <= 0.51
    assert (result[apart > feather] == PHOTO).all()


def test_labels_spread_around_the_touched_region_only() -> None:
    labels = np.array([[-1, 0, 0, 3, 4, 0, 0, 0, 2]])
    touched = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], bool)
    assert spread_labels(labels, touched, 2).tolist() == [[-1, 3, 3, 3, 4, 4, 4, 0, 2]]
    assert spread_labels(labels, touched, 0).tolist() == labels.tolist()
    assert spread_labels(labels, labels < 0, 1).tolist() == [[-1, -1, *labels[0, 2:]]]


def test_pictures_that_are_not_enlarged_are_resampled_as_they_are() -> None:
    frame, small, labels = generated(5)
    assert np.array_equal(enlarge_by_labels(frame, small, small), frame)
    wide = labels[::5]  # 32 high, 120 wide
    plain = Image.fromarray(frame).resize(wide.shape[::-1], Image.Resampling.BICUBIC)
    assert np.array_equal(enlarge_by_labels(frame, small, wide), plain)


def test_labels_that_the_small_map_lost_take_what_is_there() -> None:
    frame, small, labels = generated(8)
    labels = labels.copy()
    labels[127:130, 95:98], labels[0:2] = 7, -1
    result = enlarge_by_labels(frame, small, labels)
    assert result.shape == (256, 192, 3)
    assert (result[124:133, 92:101] == PERSON).all()
    assert (result[0] == SCENE).all()


def test_thin_regions_keep_their_colours() -> None:
    small = np.zeros((20, 20), np.int32)
    small[:, 9:11] = 1
    frame = np.where(small[..., None] == 1, PERSON, SCENE).astype(np.uint8)
    labels = small.repeat(4, 0).repeat(4, 1)
    result = enlarge_by_labels(frame, small, labels)
    assert (result[:, 37:43] == PERSON).all()
    assert (result[:, :35] == SCENE).all()
