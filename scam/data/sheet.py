# SPDX-License-Identifier: Apache-2.0
"""Sheets of images: one row per sample, one captioned column per kind, legends below."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scam.data import colorize
from scam.data.convert import to_uint8
from scam.data.legend import Legend, label_legend
from scam.errors import InputError, printable, sized
from scam.storage.files import write_aside

Pixels = npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MIN_HEIGHT = 192
"""Pixels, the least height of images on a sheet unless a scale is given."""
MOST_SCALE = 16
_MOST_PIXELS = 1 << 30
_GAP = 4  # pixels between cells
_SIZES = 18, 10  # pixels, largest and smallest letters above cells of up to 448 pixels
_LETTERS_PER_CELL = 25  # above larger cells letters grow, to stay readable
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


def save_sheet(
    path: str | os.PathLike[str],
    columns: Mapping[str, Tensor],
    *,
    scale: int | None = None,
    min_height: int = MIN_HEIGHT,
    overwrite: bool = True,
    rows: Sequence[str] = (),
    label_names: Sequence[str] = (),
    legends: Sequence[Legend] = (),
) -> None:
    """Write a sheet as a PNG that is whole or absent; arguments as of :func:`draw_sheet`.

    overwrite: replace a file that is there already.

    Raises:
        ValueError: as :func:`draw_sheet`.
        InputError: the file cannot be written, or is there and not to be replaced.
    """
    sheet = draw_sheet(
        columns,
        scale=scale,
        min_height=min_height,
        rows=rows,
        label_names=label_names,
        legends=legends,
    )
    with write_aside(path, overwrite=overwrite) as file:
        sheet.save(file, format="PNG")


def draw_sheet(
    columns: Mapping[str, Tensor],
    *,
    scale: int | None = None,
    min_height: int = MIN_HEIGHT,
    rows: Sequence[str] = (),
    label_names: Sequence[str] = (),
    legends: Sequence[Legend] = (),
) -> Image.Image:
    """An image with one row per sample and one column per entry of ``columns``.

    Args:
        columns: caption -> images (N, 3, H, W), floating, in [-1, 1], or label maps (N, H, W),
            integer; N, H and W the same in all. No image is ever made smaller.
        scale: how many pixels wide and high each pixel is drawn, as a square of one colour, so
            that the model's pixels can be told; None: as many as images need to be
            ``min_height`` pixels high.
        rows: what to write before each row, N words or none.
        label_names: of all labels; with them a legend names those that the label maps hold.
        legends: of further colours.

    Raises:
        ValueError: no column, no sample, one of another size or kind, or a scale below 1.
        InputError: a sheet of more than 2^30 pixels.
    """
    cells = _cells(columns)
    captions, rows = list(map(printable, columns)), list(map(printable, rows))
    count, height, width, _ = next(iter(cells.values())).shape
    if len(rows) not in (0, count):
        raise ValueError(f"rows has {len(rows)} words, expected one for each of {count} rows")
    factor = automatic_scale(height, min_height) if scale is None else scale
    if factor < 1:
        raise ValueError(f"scale is {scale}, expected 1 or more")
    height, width = height * factor, width * factor

    font, top = _font(captions, height, width)
    margin = _GAP + max((int(font.getlength(text)) + _GAP for text in rows), default=0)
    size = (margin + len(cells) * (width + _GAP), top + count * (height + _GAP))
    if label_names:
        maps = [column for column in columns.values() if column.ndim == 3]
        legends = [label_legend(label_names, maps), *legends]
    below = [_draw_legend(legend, font, size[0]) for legend in legends if legend.entries]

    if size[0] * size[1] > _MOST_PIXELS:
        found = f"{size[0] * size[1]} pixels, {sized(size[::-1])}"
        message = f"{{scale}}: makes a sheet of {found}; expected {_MOST_PIXELS} or less"
        raise InputError(message, scale=factor)
    sheet = Image.new("RGB", (size[0], size[1] + sum(x.height for x in below)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(rows):
        middle = (_GAP, top + number * (height + _GAP) + height // 2)
        draw.text(middle, text, _INK, font, anchor="lm")
    for column, (caption, cell) in enumerate(zip(captions, cells.values(), strict=True)):
        left = margin + column * (width + _GAP)
        middle = (left + width // 2, top // 2)
        draw.text(middle, _shortened(caption, font, width), _INK, font, anchor="mm")
        for row, picture in enumerate(cell.repeat(factor, axis=1).repeat(factor, axis=2)):
            sheet.paste(Image.fromarray(picture), (left, top + row * (height + _GAP)))
    bottom = size[1]
    for drawn in below:
        sheet.paste(drawn, (0, bottom))
        bottom += drawn.height
    return sheet


def expect_scale(scale: int | None) -> None:
    """InputError unless ``scale`` is a factor by which sheets are enlarged, or None."""
    if scale is not None and not 1 <= scale <= MOST_SCALE:
        raise InputError(f"{{scale}}: expected 1 to {MOST_SCALE}", scale=scale)


def automatic_scale(height: int, min_height: int) -> int:
    """The smallest whole factor that makes ``height`` at least ``min_height`` pixels."""
    return max(1, -(-min_height // height))


def as_pixels(caption: str, column: Tensor) -> Pixels:
    """A column of a sheet as uint8 (N, H, W, 3). ValueError if it is not one."""
    if column.is_floating_point() and column.ndim == 4 and column.shape[1] == 3:
        pictures: Pixels = to_uint8(column).permute(0, 2, 3, 1).cpu().numpy()
        return pictures
    if not column.is_floating_point() and column.ndim == 3:
        maps = column.detach().cpu().numpy()
        return np.stack([colorize(labels) for labels in maps])
    raise ValueError(
        f"column {caption!r} must be images (N, 3, H, W), floating, or label maps (N, H, W), "
        f"integer; got {column.dtype} {tuple(column.shape)}"
    )


def _cells(columns: Mapping[str, Tensor]) -> dict[str, Pixels]:
    shapes = {caption: tuple(column.shape) for caption, column in columns.items()}
    if not columns or any(0 in shape for shape in shapes.values()):
        raise ValueError(f"a sheet needs at least one image, got shapes {shapes}")
    cells = {caption: as_pixels(caption, column) for caption, column in columns.items()}
    if len({cell.shape for cell in cells.values()}) > 1:
        raise ValueError(f"the columns of a sheet must have one N, H and W, got shapes {shapes}")
    return cells


def _draw_legend(legend: Legend, font: Font, width: int) -> Image.Image:
    """The heading and the entries, in as many lines as a sheet of this width needs."""
    line = int(font.getbbox("Ag")[3]) + 2 * _GAP
    swatch = line - 2 * _GAP
    x, y = _GAP, 0
    places: list[tuple[int, int, tuple[int, int, int] | None, str]] = []
    for colour, name in [(None, f"{printable(legend.heading)}:"), *legend.entries]:
        left = 0 if colour is None else swatch + _GAP
        name = _shortened(printable(name), font, width - left - 2 * _GAP)
        needed = left + int(font.getlength(name)) + 3 * _GAP
        if x > _GAP and x + needed - 2 * _GAP > width:
            x, y = _GAP, y + line
        places.append((x, y, colour, name))
        x += needed
    drawn = Image.new("RGB", (width, y + line), _PAPER)
    draw = ImageDraw.Draw(drawn)
    for x, y, colour, name in places:
        if colour is not None:
            box = (x, y + _GAP, x + swatch - 1, y + _GAP + swatch - 1)
            draw.rectangle(box, fill=colour, outline=_INK)
            x += swatch + _GAP
        draw.text((x, y + line // 2), name, _INK, font, anchor="lm")
    return drawn


def _font(captions: list[str], height: int, width: int) -> tuple[Font, int]:
    """The largest letters in which all captions fit, and how high their line is, in pixels."""
    largest = max(_SIZES[0], height // _LETTERS_PER_CELL)
    for size in range(largest, _SIZES[1] - 1, -1):
        font = ImageFont.load_default(size)
        if all(font.getlength(caption) <= width for caption in captions):
            break
    return font, largest + 8


def _shortened(caption: str, font: Font, width: int) -> str:
    if font.getlength(caption) <= width:
        return caption
    while caption and font.getlength(caption + "…") > width:
        caption = caption[:-1]
    return caption + "…"
