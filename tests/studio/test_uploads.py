# SPDX-License-Identifier: Apache-2.0
"""Files of strangers: read as the command line reads them, refused in one line, never inflated."""

import base64
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_studio import Client, as_png, draw, make_opener, serving, tiny, upload

from scam.studio import pictures
from scam.studio.pictures import GoneError, Pictures
from scam.studio.session import PictureData

GREY = draw(1).labels.astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def png_of(width: int, height: int, pixels: bytes) -> str:
    """A grey PNG whose header says what it likes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def saved(picture: Image.Image, kind: str) -> str:
    file = BytesIO()
    picture.save(file, format=kind)
    return base64.b64encode(file.getvalue()).decode()


WHOLE = as_png(draw(1).photo)
PALETTE = Image.fromarray(GREY, mode="P")
PALETTE.putpalette(bytes(range(9)))
PALETTE_MAP = saved(PALETTE, "PNG")


def test_kinds_that_are_read(client: Client) -> None:
    photo = Image.fromarray(draw(1).photo)
    turned = Image.Exif()
    turned[0x0112] = 6
    file = BytesIO()
    photo.transpose(Image.Transpose.ROTATE_90).save(file, format="JPEG", exif=turned)
    given = [saved(photo, "PNG"), saved(photo, "WEBP"), saved(photo.convert("LA"), "PNG")]
    for data in (*given, base64.b64encode(file.getvalue()).decode()):
        for labels in (as_png(GREY), PALETTE_MAP, as_png(GREY.astype(np.uint16))):
            answer = client.post("/api/pictures", {"name": "x", "photo": data, "labels": labels})
            assert answer.status == 200, answer.body
            assert (answer.json["width"], answer.json["height"]) == (24, 32)


@pytest.mark.parametrize(
    ("photo", "labels", "words"),
    [
        ("", as_png(GREY), "me (image): cannot be read (the file is empty)"),
        ("AAAA", as_png(GREY), "me (image): cannot be read (not an image)"),
        ("A", as_png(GREY), "me (image): expected base64"),
        ("\u00e9A==", as_png(GREY), "me (image): expected base64"),
        (WHOLE[:-400], as_png(GREY), "me (image): cannot be read"),
        (WHOLE, as_png(GREY)[:-40], "me (label map): cannot be read"),
        (WHOLE, as_png(GREY[:, :-1]), "me (label map): is 32x23 but me (image) is 32x24"),
        (WHOLE, as_png(GREY + 7), "me (label map): holds 7 (264 pixels), 8 (264 pixels), expected"
         " labels 0 .. 2 or 9 (ignored)"),
        (WHOLE, WHOLE, "me (label map): looks like a photograph (768 colours, hardly an even "
         "area), expected a label map"),
        (WHOLE, saved(PALETTE.convert("RGB"), "PNG"), "me (label map): is an RGB colour image; "
         "convert it to an index map first: python -m scam.data prepare palette SRC DST "
         "--palette palette.txt"),
        (WHOLE, saved(Image.fromarray(GREY), "JPEG"), "me (label map): is a JPEG file of greys, "
         "expected an index map; convert it to an index map first: "
         "python -m scam.data prepare indices SRC DST"),
        (saved(Image.fromarray(draw(1).photo), "TIFF"), None, "me (image): cannot be read (holds"
         " TIFF, expected png, jpeg or webp)"),
        (png_of(100000, 100000, b"\0" * 1000), None, "me (image): has "),
        (png_of(4097, 4096, b"\0" * 1000), None, "me (image): has 16781312 pixels, 4096x4097 "
         "(height x width), expected 16777216 pixels at most: scale it down"),
        (WHOLE, png_of(60000, 60000, b"\0" * 1000), "me (label map): has "),
        (base64.b64encode(b"GIF89a" + b"\xff" * 64).decode(), None, "me (image): "),
        (base64.b64encode(b"BM" + b"\xff" * 64).decode(), None, "me (image): "),
        (base64.b64encode(b"<svg></svg>").decode(), None, "me (image): cannot be read (holds SVG"),
        (base64.b64encode(b"PK\3\4" + zlib.compress(bytes(1 << 20))).decode(), None, "not an im"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used(
    client: Client, photo: str, labels: str | None, words: str
) -> None:
    answer = client.post("/api/pictures", {"name": "me", "photo": photo, "labels": labels})
    assert answer.status == 400
    assert words in answer.error
    assert len(answer.error) < 170


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "found [], expected settings by name"),
        ({"name": "x"}, "expected example or photo, one of them"),
        ({"photo": WHOLE}, "name is missing"),
        ({"name": "", "photo": WHOLE}, "name='': expected 1 to 255 characters"),
        ({"name": "x" * 256, "photo": WHOLE}, "expected 1 to 255 characters"),
        ({"name": 3, "photo": WHOLE}, "name=3: expected text"),
        ({"name": "a\0", "photo": WHOLE}, "expected no NUL"),
        ({"name": "x", "photo": WHOLE, "path": "/etc/passwd"}, "'path' is not one of name"),
        ({"name": "x", "photo": WHOLE, "example": "example_0"}, "one of them"),
        ({"name": "x", "example": "example_0", "labels": WHOLE}, "labels: expected none"),
        ({"name": "x", "example": "../../etc/passwd"}, "expected one of example_0, example_1"),
        ({"name": "x", "example": "/etc/passwd"}, "example '/etc/passwd': expected one of"),
        ({"name": "x", "photo": "/etc/passwd"}, "x (image): expected base64"),
        ({"name": "a\nb\u202e", "photo": "A"}, "a\\nb\\u202e (image): expected base64"),
    ],
)
def test_words_that_cannot_be_used(client: Client, value: Any, words: str) -> None:
    answer = client.post("/api/pictures", value)
    assert answer.status == 400
    assert words in answer.error


def test_files_are_measured_before_they_are_decoded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 300)
    answer = client.post("/api/pictures", upload(draw(1)))
    assert answer.error == "p1 (image): is too large, expected 300 bytes at most"


def test_the_cache_is_bounded() -> None:
    one = draw(0)
    size = one.photo.nbytes + one.labels.nbytes
    cache = Pictures(tiny(), limit=3 * size)
    data = [PictureData.from_dict(upload(draw(number))) for number in range(5)]
    ids = [cache.add(given) for given in data[:3]]
    cache.get(ids[0])
    ids += [cache.add(given) for given in data[3:]]
    assert cache.get(ids[0]).picture.name == "p0"
    assert cache.get(ids[0]).latents() is cache.get(ids[0]).latents()
    for gone in ids[1:3]:
        with pytest.raises(GoneError):
            cache.get(gone)
    small = Pictures(tiny(), limit=1)
    assert small.get(small.add(data[0])).picture.name == "p0"


def test_without_examples_and_parser() -> None:
    opener = make_opener(function=None)
    opener.pictures.examples = None
    with serving(opener) as client:
        about = client.get("/api/model").json
        assert (about["examples"], about["parser"]) == ([], False)
        answer = client.post("/api/pictures", {"name": "x", "photo": WHOLE, "labels": None})
        assert (
            answer.error
            == "x: has no label map; add one: only a page started with a parser makes label maps"
        )
        assert client.post("/api/pictures", {"name": "x", "example": "x"}).status == 400
