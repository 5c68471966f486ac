# SPDX-License-Identifier: Apache-2.0
"""Photographs and label maps from files, PIL, arrays and functions are the same picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data import FolderPairs, LabelValues, Mannequins, PairDataset, save_label_png
from scam.data.fit import Frame
from scam.data.open_picture import ImageAndLabels, open_picture, read_photograph
from scam.data.save_picture import save_picture
from scam.errors import InputError

SIZE = (24, 16)
VALUES = LabelValues(to_label=(0, 2, 1), ignore=255)
PHOTO, MAP = Mannequins("val").load(3, (48, 40))
PIXELS = torch.from_numpy(PHOTO).permute(2, 0, 1)  # as scam.semia has images
FILE = (MAP % 3).astype(np.int64)
FILE[:4] = 255
LABELS = np.array([0, 2, 1, -1])[np.minimum(FILE, 3)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(PHOTO).save(folder / "anna.png")
    save_label_png(folder / "anna_labels.png", FILE)
    return folder / "anna.png", folder / "anna_labels.png"


def equal(found: ImageAndLabels, expected: ImageAndLabels) -> bool:
    return all(map(torch.equal, found, expected))


def test_every_way_gives_what_training_sees(files: tuple[Path, Path], tmp_path: Path) -> None:
    for name, file in zip(("images", "labels"), files, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "anna.png").write_bytes(file.read_bytes())
    (tmp_path / "labels.txt").write_text("0 a\n1 b\n2 c\n")
    source = FolderPairs(tmp_path, split=None, ignore_label=255)
    expected = ImageAndLabels(*PairDataset(source, SIZE).pair(0))
    values = source.label_values
    maps: list[Any] = [
        *(files[1], str(files[1]), Image.open(files[1]), FILE, FILE.astype(np.uint8)),
        *(torch.from_numpy(FILE), np.where(FILE == 255, -1, FILE)),
        *(lambda photo: FILE, lambda photo: torch.from_numpy(FILE)),
    ]
    in_memory = (Image.open(files[0]), PHOTO, PHOTO[::-1][::-1], PIXELS)
    for image in (files[0], str(files[0]), *in_memory):
        for labels in maps:
            assert equal(open_picture(image, labels, Frame(SIZE), values), expected)
    assert expected.image.dtype == torch.float32
    assert expected.labels.dtype == torch.int32


def test_values_of_files_become_labels() -> None:
    found = open_picture(PHOTO, FILE, Frame(PHOTO.shape[:2]), VALUES)
    assert np.array_equal(found.labels.numpy(), LABELS)


@pytest.mark.parametrize("read", [lambda path: path, Image.open], ids=["file", "PIL"])
def test_photographs_are_upright(read: Callable[[Path], Any], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(PHOTO, -1)
    seen = []

    def parser(photo: np.ndarray) -> Any:
        seen.append(photo)
        return np.rot90(FILE, -1)

    found = open_picture(read(tmp_path / "turned.png"), parser, Frame(SIZE), VALUES)
    assert np.array_equal(seen[0], upright)
    assert equal(found, open_picture(upright, np.rot90(FILE, -1), Frame(SIZE), VALUES))
    with pytest.raises(InputError, match=r"48x40 but .* is 40x48 .* after its EXIF orientation 6"):
        open_picture(read(tmp_path / "turned.png"), FILE, Frame(SIZE), VALUES)


def silent(photo: np.ndarray) -> Any:
    """Forgets to return its map."""


def failing(photo: np.ndarray) -> Any:
    raise RuntimeError("out of luck\nand more")


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        ("nowhere.jpg", FILE, "nowhere.jpg: cannot be read"),
        ("", FILE, "image '': expected a path, not empty"),
        (3, FILE, "image is an int: expected a path, a PIL image, an array uint8"),
        (PHOTO.astype(float), FILE, r"image is an array float64 \(48, 40, 3\): expected uint8"),
        (
            PHOTO[:0],
            FILE,
            r"image is an empty array uint8 \(0, 40, 3\): expected uint8 \(H, W, 3\)",
        ),
        (PHOTO, "nowhere.png", "nowhere.png: cannot be read"),
        (PHOTO, None, "labels: none given; expected .*label map .*, or a parser: a function"),
        (PHOTO, 3, "labels is an int: expected a PIL image .* a path; or a function"),
        (PHOTO, FILE[:5], r"labels: is 5x40 but image is 48x40 \(h.*, expected equal sizes"),
        (PHOTO, FILE.astype(float), r"labels is an array float64 \(48, 40\): expected integers"),
        (PHOTO, FILE + 7, "labels: holds 7 .*, expected labels 0 .. 2 or 255 .ignored."),
        (PHOTO, FILE + 70000, "labels: holds 70000 .*, expected labels 0 .. 2"),
        (PHOTO, Image.fromarray(PHOTO), "labels: looks like a photograph"),
        (PIXELS.float(), FILE, r"image is a tensor float32 \(3, 48, 40\): expected uint8 \(3, H,"),
        (torch.tensor(PHOTO), FILE, r"image is a tensor uint8 \(48, 40, 3\): expected"),
        (PHOTO, torch.tensor(FILE) > 0, r"labels is a tensor bool \(48, 40\): expected integers"),
        (PHOTO, silent, "labels: silent: the function returned None, expected integers"),
        (PHOTO, failing, "labels: failing: RuntimeError: out of luck$"),
        (
            PHOTO,
            lambda photo: photo,
            r"labels: <lambda>: the function returned uint8 \(48, 40, 3\), expected ",
        ),
        (
            PHOTO,
            lambda photo: FILE - 9,
            "labels: <lambda>: the function returned values -9 .. 246, expected 0",
        ),
    ],
)
def test_what_cannot_be_opened_is_named(image: Any, labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_picture(image, labels, Frame(SIZE), VALUES)
    assert "\n" not in str(caught.value)


def test_saved_pictures_are_what_was_given(tmp_path: Path) -> None:
    image = open_picture(PHOTO, FILE, Frame(PHOTO.shape[:2]), VALUES).image
    for number, given in enumerate(
        (image, image[None], PHOTO, Image.fromarray(PHOTO), PIXELS, PIXELS[None])
    ):
        path = tmp_path / "made" / f"{number}.png"
        save_picture(given, path)
        assert np.array_equal(np.asarray(Image.open(path)), PHOTO)
    for name in ("a.jpg", "a.WEBP"):
        save_picture(image, str(tmp_path / name))
        assert Image.open(tmp_path / name).size == (40, 48)


def test_a_saved_picture_replaces_nothing_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(
        InputError, match=r"a.png'?: already exists; choose another name or give over"
    ):
        save_picture(PHOTO, path)
    assert path.read_text() == "mine"
    save_picture(PHOTO, path, overwrite=True)
    assert np.array_equal(np.asarray(Image.open(path)), PHOTO)


IMAGE = torch.zeros(3, 4, 5)


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (IMAGE, "a.gif", "expected a .png, .jpg, .jpeg, .webp file"),
        (IMAGE, "a", "expected a .png"),
        (IMAGE.expand(2, 3, 4, 5), "a.png", "image holds 2 images: expected one"),
        (IMAGE[0], "a.png", r"image has shape \(4, 5\): expected"),
        (IMAGE.int(), "a.png", "image has dtype torch.int32: expected a floating one"),
        (PIXELS[:2], "a.png", "image has shape"),
        (IMAGE + 255, "a.png", r"image holds values from 255 to 255: expected \[-1, 1\]"),
        (IMAGE / 0, "a.png", "image holds values that are not finite"),
        (MAP, "a.png", "image is an array int32"),
        ("b.png", "a.png", "image is a str: expected one tensor, PIL image or array$"),
        ((IMAGE, MAP), "a.png", "image is a tuple: expected one .* of a pair .* give the first"),
    ],
)
def test_what_cannot_be_saved_is_named(image: Any, name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        save_picture(image, tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_floats_of_pil_are_refused() -> None:
    grey = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    with pytest.raises(InputError, match="image is a PIL image of mode F, floats: expected 8 or"):
        read_photograph(grey)
