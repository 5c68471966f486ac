# SPDX-License-Identifier: Apache-2.0
"""What surrounds the pixels of an image file: told apart by its first bytes, then left out.

Metadata (EXIF, XMP, colour profiles, text, times, sizes on paper) is made by thousands of programs
and may be wrong in any way. Decoders trip over it, so they are given a file without it. What is
needed of it, the orientation, the colour profile and the number of frames, is read here by code
that never raises. PNG: www.w3.org/TR/png-3; JPEG: ITU T.81, annex B, with profiles as annex B of
ICC.1 puts them; WebP: RFC 9649.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from scam.data.orientation import orientation

_KINDS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
# What images often are under another name, for a better word than "not an image".
_OTHERS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE html": "HTML",
    b"<html": "HTML",
    b"version https://git-lfs": "the pointer of a Git LFS file",
}
EXPECTED = "expected png, jpeg or webp"
"""What a file of another kind should have been."""
_MOST_PARTS = 1 << 20
# Progressive scans cost a pass over the image each, however short they are; real files have 10.
_MOST_SCANS = 500
_LONGEST_TEXT = 1 << 20
# Real ones have 500 bytes to 2 MiB (those of presses); a longer one is cut, thus broken.
_LONGEST_PROFILE = 1 << 22

# A JPEG marker that begins a segment or ends the file: not a stuffed 0xFF, a restart or padding.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_SCAN, _END, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2
_PROFILE = b"ICC_PROFILE\0"


class DamagedError(ValueError):
    """A file that cannot be taken apart, and why."""


@dataclass(frozen=True)
class Container:
    """pixels: a file of this kind (PNG, JPEG, ...) without metadata. orientation: 1 .. 8.

    profile: the ICC profile, unchecked, of a PNG, JPEG or WebP file; empty if there is none.
    frames: how many an animated PNG announces; its pixels are the first of them.
    """

    kind: str
    pixels: bytes
    orientation: int = 1
    profile: bytes = b""
    frames: int = 1


def kind_of(start: bytes) -> str:
    """The kind of a file that begins with these 32 bytes. DamagedError if it is none of ours."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            return kind
    if not start:
        raise DamagedError("the file is empty")
    if start[4:8] == b"ftyp":
        raise DamagedError(f"holds {'AVIF' if start[8:11] == b'avi' else 'HEIC'}, {EXPECTED}")
    for magic, other in _OTHERS.items():
        if start.startswith(magic):
            raise DamagedError(f"holds {other}, {EXPECTED}")
    raise DamagedError("not an image")


def take_apart(data: bytes) -> Container:
    """The pixels of a file, and how its metadata says to turn it. DamagedError for no image."""
    kind = kind_of(data[:32])
    read = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp}.get(kind)
    return Container(kind, data) if read is None else read(data)


def _png(data: bytes) -> Container:
    kept, exif, texts = [data[:8]], [], []
    colour, entries, profile, frames = 0, 0, b"", 1
    for kind, start, stop in _chunks(data):
        body = data[start + 8 : stop - 4]
        if kind == b"IHDR" and len(body) == 13:
            colour = body[9]
        elif kind == b"PLTE":
            entries = len(body) // 3
        elif kind == b"eXIf":
            exif.append(body)
        elif kind == b"iCCP":
            profile = _inflated(body.partition(b"\0")[2][1:], _LONGEST_PROFILE)
        elif kind == b"acTL":
            frames = int.from_bytes(body[:4], "big")
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts.append((kind, body))
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND") or (
            kind == b"tRNS" and _is_sound(data[start:stop], colour, entries)
        ):
            kept.append(data[start:stop])
        if kind == b"IEND":
            break
    hidden, packets = _png_texts(texts)
    turned = orientation([*exif, *hidden], packets)
    return Container("PNG", b"".join(kept), turned, profile, frames)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and stop of each chunk; the last may be cut short."""
    start = 8
    for _ in range(_MOST_PARTS):
        if start + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        if not kind.isalpha():
            return
        stop = start + 12 + length
        yield kind, start, min(stop, len(data))
        start = stop
    raise DamagedError(f"more than {_MOST_PARTS} chunks")


def _is_sound(chunk: bytes, colour: int, entries: int) -> bool:
    """Whether a tRNS chunk is one of an image of this colour type; others are ignored."""
    body = chunk[8:-4]
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    return {0: len(body) == 2, 2: len(body) == 6, 3: 0 < len(body) <= entries}.get(colour, False)


def _png_texts(texts: list[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """EXIF as ImageMagick hides it in text, and XMP packets."""
    exif, packets = [], []
    for kind, body in texts:
        keyword, _, rest = body.partition(b"\0")
        if keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
            text = _inflated(rest[1:]) if kind == b"zTXt" else rest
            try:
                # A line "exif", one with the length, then hexadecimal digits.
                exif.append(bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")))
            except ValueError:
                continue
        elif keyword == b"XML:com.adobe.xmp" and kind == b"iTXt":
            compressed, after = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
            packets.append(_inflated(after) if compressed else after)
    return exif, packets


def _inflated(data: bytes, longest: int = _LONGEST_TEXT) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, longest)
    except zlib.error:
        return b""


def _jpeg(data: bytes) -> Container:
    kept, exif, packets, profile = [data[:2]], [], [], list[bytes]()
    position, scans = 2, 0
    for _ in range(_MOST_PARTS):
        found = _MARKER.search(data, position)
        if scans:  # what is between a scan's header and the next marker are its pixels
            kept.append(data[position : found.start() if found else len(data)])
        if found is None:
            break
        start, marker = found.start(), found[1][0]
        if marker == _END:
            kept.append(found[0])
            break
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        body = data[start + 4 : position]
        scans += marker == _SCAN
        if scans > _MOST_SCANS:
            raise DamagedError(f"more than {_MOST_SCANS} scans")
        if marker == _APP1 and body.startswith(b"Exif\0"):
            exif.append(body)
        elif marker == _APP1 and body.startswith(b"http://ns.adobe.com/xap"):
            packets.append(body)
        elif marker == _APP2 and body.startswith(_PROFILE):
            profile.append(body)
        if _is_needed(marker, body):
            kept.append(data[start:position])
    else:
        raise DamagedError(f"more than {_MOST_PARTS} segments")
    # Behind the name stand the part's number and how many there are.
    whole = b"".join(part[len(_PROFILE) + 2 :] for part in sorted(profile))[:_LONGEST_PROFILE]
    return Container("JPEG", b"".join(kept), orientation(exif, packets), whole)


def _is_needed(marker: int, body: bytes) -> bool:
    """Of the application's segments JFIF and Adobe's alone say something about the pixels."""
    if marker == 0xE0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12
    return not (0xE1 <= marker <= 0xEF or marker == 0xFE)


def _webp(data: bytes) -> Container:
    exif, packets, profile = [], [], b""
    start = 12
    for _ in range(_MOST_PARTS):
        if start + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, start)
        if kind == b"EXIF":
            exif.append(data[start + 8 : start + 8 + length])
        elif kind == b"XMP ":
            packets.append(data[start + 8 : start + 8 + length])
        elif kind == b"ICCP":
            profile = data[start + 8 : start + 8 + min(length, _LONGEST_PROFILE)]
        start += 8 + length + length % 2
    # libwebp hands metadata on and never looks into it: the file can stay as it is.
    return Container("WEBP", data, orientation(exif, packets), profile)
