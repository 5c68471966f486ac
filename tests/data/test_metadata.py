# SPDX-License-Identifier: Apache-2.0
"""Nothing but unreadable pixels refuses a picture: whatever its metadata holds, it is read."""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data.picture import read_image, read_label_png

PIXELS = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def tiff(kind: int, count: int, value: bytes, order: str = "<", place: int = 8) -> bytes:
    """EXIF whose only entry is an orientation of this type."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", place)
    entry = struct.pack(f"{order}HHI", 0x0112, kind, count) + value
    return head + struct.pack(f"{order}H", 1) + entry + struct.pack(f"{order}I", place)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png(*chunks: bytes, last: bool = False, pixels: np.ndarray = PIXELS) -> bytes:
    """A png with these chunks behind its header, or before its end."""
    data = encoded(pixels, "PNG")
    at = len(data) - 12 if last else 33
    return data[:at] + b"".join(chunks) + data[at:]


def jpeg(*segments: bytes) -> bytes:
    data = encoded(PIXELS, "JPEG", quality=95, subsampling=0)
    return data[:2] + b"".join(segments) + data[2:]


def webp(body: bytes) -> bytes:
    return encoded(PIXELS, "WEBP", lossless=True, exif=body)


TEXT = bytes([6, 0, 0, 0])
NONSENSE = {
    "text orientation": tiff(2, 2, b"6\0\0\0"),
    "byte orientation": tiff(1, 1, TEXT),
    "undefined orientation": tiff(7, 4, TEXT),
    "orientation 0": tiff(3, 1, bytes(4)),
    "orientation 9": tiff(3, 1, b"\x09\0\0\0"),
    "orientation 65535": tiff(3, 1, b"\xff\xff\0\0"),
    "rational orientation": tiff(5, 1, b"\xff\xff\xff\xff"),
    "a list of orientations": tiff(3, 2, b"\6\0\6\0"),
    "float orientation": tiff(11, 1, struct.pack("<f", 6)),
    "cyclic directories": tiff(4, 1, b"\x63\0\0\0"),
    "a directory beyond the end": tiff(3, 1, TEXT, place=1 << 31),
    "no tiff": b"not tiff at all",
    "a header alone": b"II*\0",
    "nothing": b"",
    "zeros": bytes(40),
    "cut short": tiff(3, 1, TEXT)[:15],
}
PNGS = {
    "tRNS of 300 bytes": [chunk(b"tRNS", bytes(300))],
    "tRNS of 1 byte": [chunk(b"tRNS", b"\0")],
    "tRNS with a bad checksum": [chunk(b"tRNS", bytes(6), 0)],
    "iCCP of nonsense": [chunk(b"iCCP", b"name\0\0no zlib")],
    "iCCP without a name": [chunk(b"iCCP", b"")],
    "iCCP of a method": [chunk(b"iCCP", b"x\0\7abc")],
    "iCCP bomb": [chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 25)))],
    "zTXt bomb": [chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 25)))],
    "many zTXt": [chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20)))] * 70,
    "iTXt bomb": [chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(1 << 25)))],
    "iTXt in no utf-8": [chunk(b"iTXt", b"x\0\0\0\xff\xfe\0\xff\0\xff")],
    "iTXt of one byte": [chunk(b"iTXt", b"x")],
    "XMP of nonsense": [chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0tiff:Orientation="77"')],
    "raw profile": [chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  12\nzz no hexadecimal")],
    "raw profile bomb": [
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n" * (1 << 25)))
    ],
    "gAMA of nothing": [chunk(b"gAMA", b"")],
    "cHRM of nothing": [chunk(b"cHRM", b"\0")],
    "sRGB of nothing": [chunk(b"sRGB", b"")],
    "pHYs of nothing": [chunk(b"pHYs", b"\0")],
    "tIME of nothing": [chunk(b"tIME", b"")],
    "acTL of nothing": [chunk(b"acTL", b"")],
    "acTL of no frame": [chunk(b"acTL", bytes(8))],
    "acTL of many frames": [chunk(b"acTL", b"\xff" * 8), chunk(b"fcTL", bytes(26))],
    "a checksum that is wrong": [chunk(b"tEXt", b"a\0b", 7)],
    "a private chunk": [chunk(b"abCd", b"anything")],
    "eXIf twice": [chunk(b"eXIf", b"bad"), chunk(b"eXIf", b"")],
}
JPEGS = {
    "JFIF cut short": [segment(0xE0, b"JFIF\0\1")],
    "JFIF of density 0": [segment(0xE0, b"JFIF\0\1\1\3" + bytes(6))],
    "Adobe cut short": [segment(0xEE, b"Adobe")],
    "ICC of a part": [segment(0xE2, b"ICC_PROFILE\0\1\7nonsense")],
    "MPF of nonsense": [segment(0xE2, b"MPF\0nonsense")],
    "MPF cut short": [segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")],
    "Photoshop of nonsense": [segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff")],
    "XMP of nonsense": [segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0tiff:Orientation="x"')],
    "a comment in no code": [segment(0xFE, b"\xff\xfe\0")],
    "empty segments": [segment(marker, b"") for marker in range(0xE0, 0xF0)],
}


def assert_upright(path: Path, data: bytes, close: int = 0) -> None:
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture, orientation = read_image(path)
    assert orientation == 1
    assert np.abs(np.asarray(picture).astype(int) - PIXELS).max() <= close


@pytest.mark.parametrize("exif", NONSENSE.values(), ids=NONSENSE)
def test_exif_that_says_nothing(tmp_path: Path, exif: bytes) -> None:
    for last in (False, True):
        assert_upright(tmp_path / "a.png", png(chunk(b"eXIf", exif), last=last))
    hidden = b"Raw profile type exif\0\nexif\n  9\n" + exif.hex().encode()
    assert_upright(tmp_path / "a.png", png(chunk(b"tEXt", hidden)))
    assert_upright(tmp_path / "a.jpg", jpeg(segment(0xE1, b"Exif\0\0" + exif)), 12)
    assert_upright(tmp_path / "a.jpg", jpeg(segment(0xE1, exif)), 12)
    assert_upright(tmp_path / "a.webp", webp(exif or b"\0"))
    assert_upright(tmp_path / "a.webp", webp(b"Exif\0\0" + exif))


@pytest.mark.parametrize("chunks", PNGS.values(), ids=PNGS)
def test_png_metadata_of_nonsense(tmp_path: Path, chunks: list[bytes]) -> None:
    for last in (False, True):
        assert_upright(tmp_path / "a.png", png(*chunks, last=last))
    labels = np.arange(24, dtype=np.uint8).reshape(6, 4)
    (tmp_path / "l.png").write_bytes(png(*chunks, pixels=labels))
    assert (read_label_png(tmp_path / "l.png") == labels).all()


@pytest.mark.parametrize("segments", JPEGS.values(), ids=JPEGS)
def test_jpeg_metadata_of_nonsense(tmp_path: Path, segments: list[bytes]) -> None:
    assert_upright(tmp_path / "a.jpg", jpeg(*segments), 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_to_say_an_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    short = tiff(3, 1, struct.pack(">HH", orientation, 0), ">")
    xmp = f'<x xmlns:tiff="t" tiff:Orientation="{orientation}"/>'.encode()
    hexed = b"\nexif\n  26\n" + (b"Exif\0\0" + short).hex().encode()
    files = [
        png(chunk(b"eXIf", short)),
        png(chunk(b"eXIf", short), last=True),
        png(chunk(b"eXIf", tiff(4, 1, struct.pack("<I", orientation)))),
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexed))),
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))),
        encoded(PIXELS, "PNG", exif=exif),
        encoded(PIXELS, "WEBP", exif=exif, lossless=True),
        encoded(PIXELS, "JPEG", exif=exif),
        jpeg(segment(0xE1, b"Exif\0\0" + short)),
        jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)),
    ]
    for number, data in enumerate(files):
        path = tmp_path / "a"
        path.write_bytes(data)
        with Image.open(path) as theirs:
            stored = theirs.convert("RGB")
        picture, found = read_image(path)
        assert found == orientation, number
        turned = stored if orientation == 1 else stored.transpose(_TURNS[orientation - 2])
        assert picture.tobytes() == turned.tobytes(), number


_TURNS = [  # what undoes the orientations 2 .. 8
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
]


def test_the_first_of_several_frames(tmp_path: Path) -> None:
    first, second = Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("MPO", {"quality": 95})):
        first.save(tmp_path / "a", kind, save_all=True, append_images=[second], **options)
        picture, _ = read_image(tmp_path / "a")
        gap = np.asarray(picture).astype(int) - PIXELS
        assert np.abs(gap).mean() < 12, kind
