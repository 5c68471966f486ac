# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import numpy as np
import pytest
from drawings import (
    COLOURS,
    FIELD,
    FINE_MAP,
    HEIGHT,
    LABELS,
    ROOF,
    SKY,
    WIDTH,
    coloured,
    recoded,
    smoothed,
)
from PIL import Image, ImageDraw

from scam.semia.mixtures import distance
from scam.semia.quantise import Quantised, quantise


def read(picture: Image.Image, known: tuple[int, ...] | None = None) -> Quantised:
    rgb = np.asarray(picture.convert("RGB"))
    return quantise(
        rgb,
        np.ones(rgb.shape[:2], np.bool_),
        None if known is None else np.array(known, np.int32),
    )


def agreement(found: Quantised, close: int = 0) -> float:
    """Share of the pixels with the right label; every colour is found once, within ``close``."""
    place = [int(distance(found.colours, colour).argmin()) for colour in COLOURS]
    assert sorted(place) == list(range(len(found.colours)))
    assert max(distance(found.colours, c).min() for c in COLOURS) <= close
    return float(np.mean(found.labels == np.array(place)[LABELS]))


def test_exact_colours() -> None:
    found = read(coloured(LABELS))
    assert agreement(found) == 1
    assert not found.lossy
    assert found.strange == 0


@pytest.mark.parametrize("name", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
def test_smoothed_borders_are_no_labels(name: str) -> None:
    picture = smoothed(Image.Resampling[name])
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50
    found = read(picture)
    assert agreement(found) > 0.995
    assert not found.lossy


@pytest.mark.parametrize("quality", [95, 75, 60])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_compression_makes_no_labels(kind: str, quality: int) -> None:
    found = read(recoded(smoothed(), kind, quality=quality))
    assert agreement(found, close=12) > 0.995
    assert found.lossy


def test_the_order_of_greys_may_be_ids() -> None:
    ids = (0, 0x010101, 0x020202, 0x030303, 0x0D0D0D)
    found = read(coloured(LABELS, ids))
    assert sorted(found.colours) == list(ids)
    np.testing.assert_array_equal(found.colours[found.labels], np.array(ids)[LABELS])


def test_thin_lines_of_an_exact_colour_are_labels() -> None:
    picture = coloured(LABELS)
    ImageDraw.Draw(picture).line([(0, 20), (239, 20)], (200, 0, 200))
    found = read(picture)
    assert 0xC800C8 in found.colours
    line = found.labels == list(found.colours).index(0xC800C8)
    assert line.sum() == 240


def test_thin_parts_that_smoothing_pales_stay_with_their_label() -> None:
    labels = FINE_MAP.copy()
    labels[:5] = labels[-5:] = COLOURS.index(ROOF)  # a frame of one pixel and a bit
    labels[:, :5] = labels[:, -5:] = COLOURS.index(ROOF)
    found = read(coloured(labels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    assert sorted(found.colours) == list(COLOURS)


def test_seams_of_a_lossy_picture_belong_to_what_they_part() -> None:
    picture = smoothed()
    draw = ImageDraw.Draw(picture)
    draw.line([(0, 30), (239, 30)], (8, 8, 8))
    draw.line([(239, 0), (239, 159)], (8, 8, 8))
    found = read(recoded(picture, quality=85))
    assert agreement(found, close=6) > 0.99


def test_specks_are_no_labels() -> None:
    picture = coloured(LABELS)
    ImageDraw.Draw(picture).rectangle((30, 10, 33, 13), (255, 0, 0))  # 0.04 %
    assert agreement(read(picture)) > 0.999


def test_known_colours_need_no_area() -> None:
    picture = coloured(LABELS)
    picture.putpixel((20, 20), (255, 0, 0))
    found = read(picture, (0xFF0000, FIELD, SKY))
    assert list(found.colours[:3]) == [0xFF0000, FIELD, SKY]
    assert (found.labels == 0).sum() == 1
    assert len(found.colours) == 6


def test_a_known_colour_may_drift() -> None:
    drifted = tuple(colour ^ 0x070707 for colour in COLOURS)
    found = read(coloured(LABELS, drifted), COLOURS)
    assert tuple(found.colours) == COLOURS
    np.testing.assert_array_equal(found.labels, LABELS)


def test_transparent_pixels_take_the_nearest_label() -> None:
    rgb = np.array(coloured(LABELS))
    opaque = np.ones(LABELS.shape, np.bool_)
    opaque[118:125, 178:190] = False  # most of the door
    opaque[10:14, 100:200] = False
    rgb[~opaque] = 0
    found = quantise(rgb, opaque)
    assert 0 not in found.colours
    assert set(found.colours[np.unique(found.labels[10:14])]) == {SKY}


def test_strange_colours_are_counted() -> None:
    rgb = np.array(coloured(LABELS))
    rgb[120:150, 10:50] = np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    found = quantise(rgb, np.ones(LABELS.shape, np.bool_))
    assert 0.6 < found.strange * LABELS.size / 1200 < 1


def test_the_same_twice() -> None:
    picture = recoded(smoothed(), quality=75)
    first, second = read(picture), read(picture)
    np.testing.assert_array_equal(first.colours, second.colours)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_nothing_but_noise_has_no_colours() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = quantise(noise, np.ones((64, 64), np.bool_))
    assert found.strange > 0.5


def test_one_pixel() -> None:
    found = quantise(np.full((1, 1, 3), 7, np.uint8), np.ones((1, 1), np.bool_))
    assert found.labels.tolist() == [[0]]
    assert list(found.colours) == [0x070707]


def test_the_drawing_is_what_the_tests_need() -> None:
    assert all(low < high for low, high in pairwise(COLOURS))
    share = np.bincount(LABELS.ravel()) / LABELS.size
    assert 0.0015 < share[0] < 0.0025
    assert LABELS.shape == (240, 360)
