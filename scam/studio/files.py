# SPDX-License-Identifier: Apache-2.0
"""What a session becomes on a disk: the result, its label map, a sheet, a strip."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from scam.data.picture import palette
from scam.data.sheet import draw_sheet
from scam.editing.paste import Pixels
from scam.editing.transfers import SHEET_HEIGHT, sheet_columns
from scam.errors import InputError
from scam.studio.render import Opened

STRIP_STEPS = 7


def png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 (H, W, 3)."""
    return saved(Image.fromarray(pixels))


def result_png(session: Opened) -> bytes:
    """The edited image."""
    return png(session.edited().pixels)


def strip_png(session: Opened) -> bytes:
    """Pictures from the host's own latents to the edited ones, side by side."""
    return png(session.edited(STRIP_STEPS).pixels)


def labels_png(session: Opened) -> bytes:
    """The label map as an index PNG in the values of label files, coloured by a palette.

    Grey where values exceed 255. InputError if pixels have no label and files cannot say so.
    """
    values = session.checkpoint.label_values
    of_label = np.zeros(len(session.checkpoint.label_names) + 1, np.int32)
    for value, label in reversed([*enumerate(values.to_label)]):
        of_label[label] = value
    if (session.pose < 0).any():
        if values.ignore is None:
            count = int((session.pose < 0).sum())
            raise InputError(f"{count} pixels have no label, which files of this model cannot say")
        of_label[-1] = values.ignore
    indices = of_label[session.pose]
    if indices.max() > 255:
        return saved(Image.fromarray(indices.astype(np.uint16)))
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    colours = np.zeros((256, 3), np.uint8)
    colours[of_label[:-1].clip(max=255)] = palette(len(of_label) - 1)
    picture.putpalette(colours.tobytes())
    return saved(picture)


def sheet_png(session: Opened) -> bytes:
    """The donors, the host, the label map and the result, side by side."""
    pictures = [
        (f"{number}: {donor.text}", giver)
        for number, ((donor, _), giver) in enumerate(
            zip(session.donors, session.givers, strict=True), start=1
        )
        if giver is not None
    ]
    if session.subject is not None:
        pictures.insert(0, ("subject", session.subject[0]))
    columns = sheet_columns(
        [*pictures, ("background", session.host[0])],
        session.pose,
        session.checkpoint.frame,
        ("result", session.edited()),
    )
    names = session.checkpoint.label_names
    return saved(draw_sheet(columns, min_height=SHEET_HEIGHT, label_names=names))


FILES: dict[str, Callable[[Opened], bytes]] = {
    "result.png": result_png,
    "labels.png": labels_png,
    "sheet.png": sheet_png,
    "strip.png": strip_png,
}


def saved(picture: Image.Image) -> bytes:
    """A PNG file."""
    file = BytesIO()
    picture.save(file, format="PNG", compress_level=1)
    return file.getvalue()
