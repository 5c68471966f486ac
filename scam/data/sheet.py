# SPDX-License-Identifier: Apache-2.0
"""Sheets of pictures: one row per sample, one captioned column per kind."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scam.data import colorize
from scam.data.convert import to_uint8
from scam.errors import printable
from scam.storage.files import write_aside

Pixels = npt.NDArray[np.uint8]

_GAP = 4  # pixels between cells
_CAPTION = 26  # pixels, height of the line of captions
_FONTS = range(18, 9, -1)  # sizes to try, in pixels
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


def save_sheet(
    path: str | os.PathLike[str],
    columns: Mapping[str, Tensor],
    *,
    min_height: int = 192,
    overwrite: bool = True,
    rows: Sequence[str] = (),
) -> None:
    """Write a sheet as a PNG that is whole or absent; arguments as of :func:`draw_sheet`.

    overwrite: replace a file that is there already.

    Raises:
        ValueError: as :func:`draw_sheet`.
        InputError: the file cannot be written, or is there and not to be replaced.
    """
    sheet = draw_sheet(columns, min_height=min_height, rows=rows)
    with write_aside(path, overwrite=overwrite) as file:
        sheet.save(file, format="PNG")


def draw_sheet(
    columns: Mapping[str, Tensor], *, min_height: int = 192, rows: Sequence[str] = ()
) -> Image.Image:
    """A picture with one row per sample and one column per entry of ``columns``.

    Args:
        columns: caption -> pictures (N, 3, H, W), floating, in [-1, 1], or label maps (N, H, W),
            integer; N, H and W the same in all.
        min_height: pictures lower than this many pixels are enlarged by a whole factor.
        rows: what to write before each row, N words or none.

    Raises:
        ValueError: no column, no sample, or one of another size or kind.
    """
    shapes = {caption: tuple(column.shape) for caption, column in columns.items()}
    if not columns or any(0 in shape for shape in shapes.values()):
        raise ValueError(f"a sheet needs at least one picture, got shapes {shapes}")
    cells = {caption: _pixels(caption, column) for caption, column in columns.items()}
    captions, rows = list(map(printable, columns)), list(map(printable, rows))
    if len({cell.shape for cell in cells.values()}) > 1:
        raise ValueError(f"the columns of a sheet must have one N, H and W, got shapes {shapes}")
    count, height, width, _ = next(iter(cells.values())).shape
    if len(rows) not in (0, count):
        raise ValueError(f"rows has {len(rows)} words, expected one for each of {count} rows")
    factor = max(1, -(-min_height // height))
    height, width = height * factor, width * factor

    font = _font(captions, width)
    margin = _GAP + max((int(font.getlength(text)) + _GAP for text in rows), default=0)
    size = (margin + len(cells) * (width + _GAP), _CAPTION + count * (height + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(rows):
        middle = (_GAP, _CAPTION + number * (height + _GAP) + height // 2)
        draw.text(middle, text, _INK, font, anchor="lm")
    for column, (caption, cell) in enumerate(zip(captions, cells.values(), strict=True)):
        left = margin + column * (width + _GAP)
        middle = (left + width // 2, _CAPTION // 2)
        draw.text(middle, _shortened(caption, font, width), _INK, font, anchor="mm")
        for row, picture in enumerate(cell.repeat(factor, axis=1).repeat(factor, axis=2)):
            sheet.paste(Image.fromarray(picture), (left, _CAPTION + row * (height + _GAP)))
    return sheet


def _pixels(caption: str, column: Tensor) -> Pixels:
    if column.is_floating_point() and column.ndim == 4 and column.shape[1] == 3:
        pictures: Pixels = to_uint8(column).permute(0, 2, 3, 1).cpu().numpy()
        return pictures
    if not column.is_floating_point() and column.ndim == 3:
        maps = column.detach().cpu().numpy()
        return np.stack([colorize(labels) for labels in maps])
    raise ValueError(
        f"column {caption!r} must be pictures (N, 3, H, W), floating, or label maps (N, H, W), "
        f"integer; got {column.dtype} {tuple(column.shape)}"
    )


def _font(captions: list[str], width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for size in _FONTS:
        font = ImageFont.load_default(size)
        if all(font.getlength(caption) <= width for caption in captions):
            break
    return font


def _shortened(
    caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    if font.getlength(caption) <= width:
        return caption
    while caption and font.getlength(caption + "…") > width:
        caption = caption[:-1]
    return caption + "…"
