# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files: one line that names the file, or a picture; no hang, no flood."""

import os
import random
import socket
import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import picture
from scam.data.prepare import palette
from scam.data.prepare.plan import Item
from scam.errors import InputError
from scam.settings import environment

READERS = (picture.read_image, picture.read_label_png, picture.read_mask)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seeds() -> list[bytes]:
    """Small files of every kind that is read."""
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 255, (19, 23, 3), np.uint8))
    grey, few = rgb.convert("L"), rgb.quantize(7)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 200)
    more = {"save_all": True, "append_images": [rgb.rotate(90)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(rgb, "PNG", exif=exif),
        encoded(grey, "PNG"),
        encoded(few, "PNG", transparency=bytes([0, 9, 3])),
        encoded(grey.point(lambda value: value > 99, "1"), "PNG"),
        encoded(deep, "PNG", transparency=100),
        encoded(rgb.convert("RGBA"), "PNG"),
        encoded(rgb, "PNG", **more),
        encoded(rgb, "JPEG", exif=exif),
        encoded(rgb, "JPEG", progressive=True),
        encoded(rgb.convert("CMYK"), "JPEG"),
        encoded(rgb, "MPO", **more),
        encoded(rgb, "WEBP", exif=exif),
        encoded(rgb, "WEBP", lossless=True, **more),
        encoded(few, "GIF"),
        encoded(rgb, "BMP"),
    ]


def mutant(data: bytes, chance: random.Random) -> bytes:
    """The file with a few bytes changed, cut out or put in, near its header as often as not."""
    new = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(min(len(new), chance.choice([80, len(new)])) or 1)
        kind = chance.randrange(4)
        if kind == 0 and new:
            new[at] = chance.choice([0, 255, 127, chance.randrange(256)])
        elif kind == 1:
            del new[at : at + chance.randrange(1, 20)]
        elif kind == 2:
            new[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            new = new[: at + 1]
    return bytes(new)


@pytest.mark.parametrize("seed", range(15))
def test_mutants_are_read_or_named(tmp_path: Path, seed: int) -> None:
    data, chance, file = seeds()[seed], random.Random(seed), tmp_path / "a.png"
    for _ in range(25):
        file.write_bytes(mutant(data, chance))
        for read in READERS:
            said, begin = str(file), time.monotonic()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    read(file)
                except InputError as error:
                    said = str(error)
            assert str(file) in said
            assert "\n" not in said
            assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"), SyntaxError("x"), ValueError(), TypeError("x"), struct.error("x"),
        IndexError(), KeyError("x"), OverflowError(), ZeroDivisionError(), MemoryError(),
        zlib.error("x"), EOFError(), AttributeError("x"), RuntimeError("a\nb"), RecursionError(),
        Image.DecompressionBombError("x"),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("read", READERS)
def test_whatever_a_decoder_raises(tmp_path: Path, monkeypatch, read, error) -> None:
    def load(_: object) -> None:
        raise error

    file = tmp_path / "a.png"
    Image.new("L", (4, 4)).save(file)
    monkeypatch.setattr(picture.PngImageFile, "load", load)
    with pytest.raises(InputError, match=r"a\.png: cannot be read \(.+\)$") as caught:
        read(file)
    assert "\n" not in str(caught.value)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # such an address is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = {
    "is a pipe, expected a file": _fifo,
    "is a socket, expected a file": _socket,
    "is a folder, expected a file": Path.mkdir,
    "is a device, expected a file": lambda path: path.symlink_to("/dev/zero"),
    r"cannot be read \(Too many levels of symbolic links\)": _loop,
    r"cannot be read \(a link to gone\.png, which is not there\)": lambda path: path.symlink_to(
        "gone.png"
    ),
    r"cannot be read \(the file is empty\)": Path.touch,
    r"cannot be read \(No such file or directory\)": lambda path: None,
}


@pytest.mark.parametrize(("expected", "make"), NO_FILES.items(), ids=NO_FILES)
@pytest.mark.parametrize("read", READERS)
def test_regular_files_alone_are_opened(tmp_path: Path, read, expected: str, make) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(InputError, match=rf"a\.png: {expected}$"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"II*\0", "TIFF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"<!DOCTYPE html><title>Not found", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "the pointer of a Git LFS file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
    ],
)
def test_what_a_file_is_instead(tmp_path: Path, start: bytes, found: str) -> None:
    (tmp_path / "a.jpg").write_bytes(start)
    expected = rf"a\.jpg: cannot be read \(holds {found}, expected png, jpeg or webp\)"
    with pytest.raises(InputError, match=expected):
        picture.read_image(tmp_path / "a.jpg")


@pytest.fixture
def limit(monkeypatch) -> Iterator[None]:
    """At most 1000 pixels."""
    monkeypatch.setenv("SCAM_MAX_PIXELS", "1000")
    environment.max_pixels.cache_clear()
    yield
    environment.max_pixels.cache_clear()


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_too_many_pixels(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (40, 25)).save(file, kind)
    picture.read_image(file)
    Image.new("RGB", (40, 26)).save(file, kind)
    message = (
        r"a\.png: has 1040 pixels, 26x40 \(height x width\), expected 1000 pixels at most: "
        r"scale it down, or set "
        "the environment variable SCAM_MAX_PIXELS"
    )
    with pytest.raises(InputError, match=message):
        picture.read_image(file)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e9", "9" * 40])
def test_a_limit_that_is_none(monkeypatch, value: str) -> None:
    monkeypatch.setenv("SCAM_MAX_PIXELS", value)
    environment.max_pixels.cache_clear()
    with pytest.raises(InputError, match=r"SCAM_MAX_PIXELS=.*expected a number of pixels"):
        environment.max_pixels()
    environment.max_pixels.cache_clear()


def _header(width: int, height: int) -> bytes:
    """A png that claims a size and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + body + crc + bytes(4) + b"IDAT" + bytes(4)


@pytest.mark.parametrize("size", [(14000, 14000), (1 << 31, 1), (65535, 65535)])
def test_the_usual_limit(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(_header(*size))
    with pytest.raises(InputError, match=r"\(height x width\), expected 178956970 pixels at most"):
        picture.read_image(tmp_path / "a.png")


def test_a_file_larger_than_any_picture(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(_header(4, 4))
        file.truncate(1 << 40)  # a hole
    with pytest.raises(InputError, match=r"1099511627776 bytes, expected 178956970 pixels"):
        picture.read_image(tmp_path / "a.png")


def test_scans_without_end(tmp_path: Path) -> None:
    data = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(data[:scan] + data[scan:-2] * 600 + b"\xff\xd9")
    with pytest.raises(InputError, match="more than 500 scans"):
        picture.read_image(tmp_path / "a.jpg")


def test_large_pictures_are_read_in_blocks_and_alike(tmp_path: Path, monkeypatch) -> None:
    few = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(7, 5) % 4).convert("P")
    few.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 1, 2, 3])
    for kind, options in (("P", {"transparency": bytes([255, 80, 0])}), ("RGBA", {}), ("LA", {})):
        few.convert(kind).save(tmp_path / f"{kind}.png", **options)
    Image.fromarray(np.arange(35, dtype=np.uint16).reshape(7, 5) * 999).save(tmp_path / "I.png")
    found = []
    for block in (1 << 22, 10, 1):
        monkeypatch.setattr(picture, "_BLOCK", block)
        pictures = [picture.read_image(file)[0] for file in sorted(tmp_path.glob("*.png"))]
        item = Item(None, "a", tmp_path / "P.png", (tmp_path / "P.png",))
        colours, _ = palette.find_palette([item])
        labels = palette.ColourMaps(colours)(item)
        found.append(([each.tobytes() for each in pictures], colours, labels.tolist()))
    assert found[0] == found[1] == found[2]


def test_the_colours_of_a_large_picture_fit_into_memory(tmp_path: Path, monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(picture, "_BLOCK", 1 << 18)
    side = 2500
    image = Image.new("P", (side, side))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.paste(1, (100, 100, 500, 900))
    image.save(tmp_path / "a.png")
    item = Item(None, "a", tmp_path / "a.png", (tmp_path / "a.png",))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # whose peak is its own
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        palette.ColourMaps(palette.find_palette([item])[0])(item)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(writing, str(after - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    grown = int(os.read(reading, 20)) * 1024
    assert grown < 16 * side * side  # bytes a pixel; 55 before
