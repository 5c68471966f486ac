# SPDX-License-Identifier: Apache-2.0
"""Pictures of other proportions than a model's: squashed, cropped, padded, and back."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scam.data import FolderPairs, Mannequins, open_source, save_label_png
from scam.data.fit import Box, Fit, Frame
from scam.data.shapes import shapes_of
from scam.data.subset import Subset
from scam.errors import InputError

SIDES = st.integers(1, 80)


def ramp(height: int, width: int) -> np.ndarray:
    """A picture whose red and green are its row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def test_squashing_is_plain_resizing() -> None:
    picture = Image.fromarray(ramp(40, 60))
    labels = ramp(40, 60)[..., 0].astype(np.int32)
    place = Frame((20, 24)).place((40, 60))
    assert (place.seen, place.shown) == (Box(0, 0, 40, 60), Box(0, 0, 20, 24))
    plain = picture.resize((24, 20), Image.Resampling.BILINEAR)
    assert np.array_equal(place.image(picture), np.asarray(plain))
    nearest = Image.fromarray(labels).resize((24, 20), Image.Resampling.NEAREST)
    assert np.array_equal(place.labels(labels), np.asarray(nearest))


def test_cropping_keeps_the_middle_in_proportion() -> None:
    place = Frame((20, 10), "crop").place((40, 60))
    assert (place.seen, place.shown) == (Box(0, 20, 40, 20), Box(0, 0, 20, 10))
    labels = ramp(40, 60)[..., 1].astype(np.int32)
    assert place.labels(labels)[0].tolist() == list(range(21, 41, 2))
    columns = place.image(Image.fromarray(ramp(40, 60)))[0, :, 1].astype(int)
    assert abs(columns - range(20, 40, 2)).max() <= 1
    assert Frame((10, 20), "crop").place((60, 40)).seen == Box(20, 0, 20, 40)


def test_padding_repeats_the_edge_and_has_no_label() -> None:
    picture, labels = ramp(40, 60), np.full((40, 60), 3, np.int32)
    place = Frame((60, 60), "pad").place((40, 60))
    assert place.shown == Box(10, 0, 40, 60)
    image, found = place.image(Image.fromarray(picture)), place.labels(labels)
    assert np.array_equal(image[10:50], picture)
    assert (image[:10] == picture[0]).all()
    assert (image[50:] == picture[-1]).all()
    assert (found[10:50] == 3).all()
    assert (found[:10] == -1).all()
    assert (found[50:] == -1).all()


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.sampled_from(get_args(Fit)))
def test_any_picture_fits_any_frame_and_comes_back(
    shape: tuple[int, int], size: tuple[int, int], fit: Fit
) -> None:
    place = Frame(size, fit).place(shape)
    for box, (height, width) in ((place.seen, shape), (place.shown, size)):
        assert 0 <= box.top <= box.top + box.height <= height
        assert 0 <= box.left <= box.left + box.width <= width
        assert min(box.height, box.width) >= 1
    image = place.image(Image.fromarray(ramp(*shape)))
    labels = place.labels(np.zeros(shape, np.int32))
    assert image.shape == (*size, 3)
    assert labels.shape == size
    assert labels.dtype == np.int32
    assert int((labels == 0).sum()) == place.shown.height * place.shown.width
    seen = (place.seen.height, place.seen.width)
    assert place.enlarged(image).shape == (*seen, 3)
    assert (place.enlarged_labels(labels) == 0).all()
    assert int(place.covered.sum()) == seen[0] * seen[1]


def test_equal_proportions_make_no_difference() -> None:
    for fit in get_args(Fit):
        place = Frame((24, 16), fit).place((96, 64))
        assert (place.seen, place.shown) == (Box(0, 0, 96, 64), Box(0, 0, 24, 16))


def test_stretch() -> None:
    assert Frame((96, 64)).stretch((96, 64)) == 1
    assert Frame((96, 64)).stretch((64, 96)) == pytest.approx(2.25)
    assert Frame((64, 96)).stretch((96, 64)) == pytest.approx(2.25)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("a", "b"):
        Image.fromarray(ramp(20, 40)).save(tmp_path / "images" / f"{name}.png")
        save_label_png(tmp_path / "labels" / f"{name}.png", np.eye(20, 40, dtype=np.int32))
    return tmp_path


def test_a_folder_loads_as_asked(wide: Path) -> None:
    cropped = open_source(wide, None, fit="crop")
    image, labels = cropped.load(0, (20, 20))
    assert np.array_equal(image, ramp(20, 40)[:, 10:30])
    assert np.array_equal(labels, np.eye(20, 40, dtype=np.int32)[:, 10:30])
    assert (FolderPairs(wide, fit="pad").load(0, (40, 40))[1][:10] == -1).all()
    assert Subset(cropped, [1]).fit == "crop"
    assert Mannequins("val").fit == "squash"


def test_what_cannot_be(wide: Path) -> None:
    with pytest.raises(InputError, match="fit='stretch': expected squash, crop or pad"):
        FolderPairs(wide, fit="stretch")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="fit='crop': mannequins have no files"):
        open_source("mannequins", "val", fit="crop")


def test_shapes_come_from_headers(wide: Path) -> None:
    source = FolderPairs(wide)
    assert list(shapes_of(source)) == [(20, 40)] * 2
    source.pairs[0].labels.write_bytes(b"none")
    source.pairs[1].labels.unlink()
    assert list(shapes_of(source)) == []
    assert list(shapes_of(Mannequins("val", 2))) == []
