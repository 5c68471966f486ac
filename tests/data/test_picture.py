# SPDX-License-Identifier: Apache-2.0
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data.picture import Upload, colorize, palette, read_image, read_label_png, save_label_png
from scam.errors import InputError


def _write_grey_png(path, bits: int, values: np.ndarray) -> None:
    """Grey png of 1, 2 or 4 bits, byte for byte: PIL cannot write them."""
    height, width = values.shape
    rows = b""
    for row in values:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("top", "mode"), [(3, "L"), (255, "L"), (256, "I;16"), (65535, "I;16")])
def test_label_png_round_trip(tmp_path, top: int, mode: str) -> None:
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    labels[2, 3] = top
    save_label_png(tmp_path / "a.png", labels)
    assert Image.open(tmp_path / "a.png").mode == mode
    back = read_label_png(tmp_path / "a.png")
    assert back.dtype == np.int32
    assert (back == labels).all()


def test_ignored_pixels_are_written_as_the_ignore_label(tmp_path) -> None:
    labels = np.array([[0, -1], [2, 1]], np.int32)
    save_label_png(tmp_path / "a.png", labels, ignore_label=255)
    assert read_label_png(tmp_path / "a.png").tolist() == [[0, 255], [2, 1]]


@pytest.mark.parametrize(
    ("labels", "ignore", "message"),
    [
        ([[0, -1]], None, "give the ignore_label"),
        ([[0, -1]], 0, "also the id of a label"),
        ([[70000]], None, "run to 70000"),
        ([0, 1], None, "expected"),
    ],
)
def test_labels_that_cannot_be_written(tmp_path, labels, ignore, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_label_png(tmp_path / "a.png", np.array(labels), ignore_label=ignore)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_bit_depths_hold_ids_not_brightness(tmp_path, bits: int) -> None:
    values = np.arange(15).reshape(3, 5) % (1 << bits)
    _write_grey_png(tmp_path / "a.png", bits, values)
    assert (read_label_png(tmp_path / "a.png") == values).all()


def test_palette_png_reads_as_indices(tmp_path) -> None:
    values = np.array([[3, 1], [0, 2]], np.uint8)
    picture = Image.fromarray(values).convert("P")
    picture.putdata(values.ravel().tolist())
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    assert (read_label_png(tmp_path / "a.png") == values).all()


@pytest.mark.parametrize(
    ("mode", "colour", "found", "kind"),
    [
        ("RGB", "red", "an RGB colour image", "palette"),
        ("RGBA", "red", "an RGBA colour image", "palette"),
        ("RGB", "grey", "an RGB image of greys", "indices"),
        ("RGBA", "grey", "an RGBA image of greys", "indices"),
        ("LA", "grey", "a grey image with alpha", "indices"),
    ],
)
def test_colour_labels_are_refused(
    tmp_path, mode: str, colour: str, found: str, kind: str
) -> None:
    Image.new(mode, (4, 4), colour).save(tmp_path / "a.png")
    message = rf"a\.png: is {found}; convert .*: python -m scam\.data prepare {kind} SRC DST"
    with pytest.raises(InputError, match=message) as refused:
        read_label_png(tmp_path / "a.png")
    # A folder is advised where a file was given: say what it has to hold.
    assert "SRC/images holds the photograph and SRC/labels the label map" in str(refused.value)
    assert ("add --palette" in str(refused.value)) == (kind == "palette")


def test_a_photograph_is_no_label_map(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    with pytest.raises(
        InputError, match=r"a\.png: looks like a photograph \(16\d\d colours"
    ) as no:
        read_label_png(tmp_path / "a.png")
    assert "scam.data label makes them" in str(no.value)


def test_jpeg_labels_are_refused(tmp_path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(InputError, match="is a JPEG file of greys, expected an index map"):
        read_label_png(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_label_png])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_broken_files_are_named(tmp_path, read, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(file)
    whole = file.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:20], b"", b"hello"):
        file.write_bytes(part)
        with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be read") as caught:
            read(file)
        assert "\n" not in str(caught.value)
        assert "0x" not in str(caught.value)
    file.unlink()
    with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be read"):
        read(file)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (40, 0), (255, 255, 255)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode: str, colour, expected) -> None:
    Image.new(mode, (5, 4), colour).save(tmp_path / "a.png")
    picture, orientation = read_image(tmp_path / "a.png")
    assert picture.mode == "RGB"
    assert orientation == 1
    assert (np.asarray(picture) == expected).all()


def test_sixteen_bit_grey_is_scaled(tmp_path) -> None:
    Image.fromarray(np.full((4, 5), 0x80FF, np.uint16)).save(tmp_path / "a.png")
    assert (np.asarray(read_image(tmp_path / "a.png")[0]) == 0x80).all()
    deep = np.array([[700, 701], [65535, 0]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "clear.png", transparency=700)
    grey = np.asarray(read_image(tmp_path / "clear.png")[0])[..., 0]
    assert grey.tolist() == [[255, 2], [255, 0]], "what is transparent is white"


def test_palette_and_cmyk_images(tmp_path) -> None:
    Image.new("RGB", (8, 8), (200, 30, 40)).quantize(4).save(tmp_path / "p.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    for name in ("p.png", "c.jpg"):
        red, green, blue = np.asarray(read_image(tmp_path / name)[0])[4, 4]
        assert red > 180, name
        assert max(green, blue) < 60, name


def test_exif_orientation_turns_the_image(tmp_path) -> None:
    upright = np.zeros((6, 4, 3), np.uint8)
    upright[0] = 255
    # Orientation 6: the camera lay on its side, and viewers turn the file by 90 degrees.
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "a.png", exif=exif)
    picture, orientation = read_image(tmp_path / "a.png")
    assert orientation == 6
    assert (np.asarray(picture) == upright).all()


def test_palette_is_distinct_stable_and_dark_at_zero() -> None:
    colours = palette(300)
    assert colours.shape == (300, 3)
    assert colours.dtype == np.uint8
    assert len({tuple(c) for c in colours}) == 300
    assert colours[0].max() < 80
    assert (palette(7) == colours[:7]).all()
    first = palette(20).astype(int)
    gaps = np.abs(first[:, None] - first[None]).sum(-1) + 999 * np.eye(20, dtype=int)
    assert gaps.min() > 60
    assert palette(5000).shape == (5000, 3)


def test_colorize() -> None:
    picture = colorize(np.array([[0, 2], [-1, 1]], np.int32))
    assert picture.dtype == np.uint8
    assert (picture[[0, 0, 1], [0, 1, 1]] == palette(3)[[0, 2, 1]]).all()
    assert (picture[1, 0] == 0).all()
    assert colorize(np.full((2, 3), -1)).tolist() == [[[0, 0, 0]] * 3] * 2


def test_bytes_are_read_as_the_file_is(tmp_path, monkeypatch) -> None:
    save_label_png(tmp_path / "a.png", np.arange(12).reshape(3, 4))
    file = (tmp_path / "a.png").read_bytes()
    given = Upload("hers", file, 12)
    assert np.array_equal(read_label_png(given), read_label_png(tmp_path / "a.png"))
    assert np.array_equal(read_image(given)[0], read_image(tmp_path / "a.png")[0])
    with pytest.raises(InputError, match=r"^hers: cannot be read"):
        read_image(Upload("hers", file[:40], 12))
    with pytest.raises(
        InputError, match=r"^hers: has 12 pixels, 3x4 \(height x width\), expected 11 .* it down$"
    ):
        read_image(Upload("hers", file, 11))
    monkeypatch.setattr("scam.data.picture.max_pixels", lambda: 10)
    with pytest.raises(InputError, match=r"^hers: .* expected 10 .* SCAM_MAX_PIXELS$"):
        read_image(Upload("hers", file, 11))


def test_label_maps_of_a_tensor_into_a_new_folder(tmp_path: Path) -> None:
    labels = torch.arange(6).reshape(2, 3)
    save_label_png(tmp_path / "new" / "map.png", labels)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "map.png")), labels)


@pytest.mark.parametrize(
    ("labels", "found"),
    [(np.full((4, 4), 0.7), "float64"), (np.ones((4, 4), bool), "bool"), ([[1, 2]], "a list"),
     (torch.zeros(4, 4), "float32")],
)  # fmt: skip
def test_label_maps_are_integers(tmp_path: Path, labels: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"labels: found {found}, expected integers"):
        save_label_png(tmp_path / "map.png", labels)
    assert not list(tmp_path.iterdir())


def test_label_maps_are_png(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"map\.jpg.*: expected a \.png file"):
        save_label_png(tmp_path / "map.jpg", np.zeros((2, 2), int))
