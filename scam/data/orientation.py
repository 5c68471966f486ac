# SPDX-License-Identifier: Apache-2.0
"""How an image is to be turned, from its metadata, whatever nonsense that holds.

EXIF is a TIFF file; XMP is XML.
"""

import re
import struct

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\b")
_LONGEST_PACKET = 1 << 20


def orientation(exif: list[bytes], xmp: list[bytes]) -> int:
    """1 .. 8, as the first of these blocks says, EXIF before XMP; 1, upright, if none does."""
    for block in exif:
        found = _tiff_orientation(block.removeprefix(b"Exif\0").removeprefix(b"\0"))
        if found:
            return found
    for packet in xmp:
        match = _XMP.search(packet[:_LONGEST_PACKET])
        if match:
            return int(match[1])
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    """The orientation in the first directory of a TIFF header; 0 if there is none from 1 to 8."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 0
    try:
        (place,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, entry)
            if tag == _ORIENTATION and values == 1 and kind in (_SHORT, _LONG):
                form = "H" if kind == _SHORT else "I"
                (found,) = struct.unpack_from(order + form, tiff, entry + 8)
                return int(found) if 1 <= found <= 8 else 0
    except struct.error:
        pass
    return 0
