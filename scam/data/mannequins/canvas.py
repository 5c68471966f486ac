# SPDX-License-Identifier: Apache-2.0
"""A supersampled image and label map that outlines are filled into, later over earlier."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scam.data.mannequins.colour import Colour
from scam.data.mannequins.texture import Texture

BACKGROUND = 0
_UNSHADED = 255


@dataclass(frozen=True)
class Surface:
    """How an outline is coloured: a texture in the frame (origin, axis), and its shading.

    axis: unit vector "along"; "across" points to image left where axis points down.
    width: half the part's extent across, length: its extent along, both to measure shading.
    rounding: how much darker the sides are than the middle. fade: brightness gained along.
    """

    texture: Texture
    origin: complex = 0
    axis: complex = 1j
    width: float = 1.0
    length: float = 1.0
    rounding: float = 0.0
    fade: float = 0.0

    @property
    def is_flat(self) -> bool:
        """Whether every pixel has the texture's first colour."""
        return self.texture.kind == "plain" and not self.rounding and not self.fade

    def frame(self) -> tuple[float, ...]:
        """Eight numbers: origin, axis, 1 / width, 1 / length, rounding, fade."""
        place = self.origin.real, self.origin.imag, self.axis.real, self.axis.imag
        return (*place, 1 / self.width, 1 / self.length, self.rounding, self.fade)


@dataclass(frozen=True)
class _Strip:
    """Rows that blend from one colour to another, top to bottom."""

    rows: tuple[int, int]
    first: Colour
    last: Colour


class Canvas:
    """Picture coordinates: y in 0 .. 1 from top to bottom, x in the same unit, 0 in the middle.

    Drawing only records: each outline writes its number over what is below, so that
    :meth:`finish` colours every pixel once. Drawn ``fine`` times larger each way than ``size``
    = (H, W). light: -1 from the right .. 1 from the left.
    """

    def __init__(self, size: tuple[int, int], light: float, fine: int) -> None:
        self.size = size
        self.aspect = size[1] / size[0]
        self.light = light
        self._fine = fine
        self._rows, self._columns = size[0] * fine, size[1] * fine
        box = self._columns, self._rows
        self._numbers = Image.new("I", box)
        # Brightness of the figure and of the ground around it; filling the figure resets it.
        self._figure_shade = Image.new("L", box, _UNSHADED)
        self._ground_shade = Image.new("L", box, _UNSHADED)
        self._draw_number = ImageDraw.Draw(self._numbers).polygon
        self._draw_figure = ImageDraw.Draw(self._figure_shade).polygon
        self._draw_ground = ImageDraw.Draw(self._ground_shade).polygon
        self._parts: list[Surface | _Strip] = [_Strip((0, 0), (0, 0, 0), (0, 0, 0))]
        self._labels = [BACKGROUND]

    def gradient(self, top: float, bottom: float, first: Colour, last: Colour) -> None:
        """Fill the full-width background strip between two heights, blending two colours."""
        y0, y1 = (round(min(1.0, max(0.0, y)) * self._rows) for y in (top, bottom))
        if y0 < y1:
            self._parts.append(_Strip((y0, y1), first, last))
            self._labels.append(BACKGROUND)
            corners = [(0, y0), (self._columns, y0), (self._columns, y1 - 1), (0, y1 - 1)]
            self._draw_number(corners, fill=len(self._parts) - 1)

    def fill(self, outline: Sequence[complex], surface: Surface, label: int = BACKGROUND) -> None:
        """Colour and label the inside of an outline."""
        points = self._pixels(outline)
        self._parts.append(surface)
        self._labels.append(label)
        self._draw_number(points, fill=len(self._parts) - 1)
        if label != BACKGROUND:
            self._draw_figure(points, fill=_UNSHADED)

    def plain(self, outline: Sequence[complex], colour: Colour, label: int = BACKGROUND) -> None:
        """Fill with one colour."""
        self.fill(outline, Surface(Texture("plain", colour)), label)

    def shade_figure(self, outline: Sequence[complex], factor: float) -> None:
        """Darken the figure drawn so far, under an outline."""
        self._draw_figure(self._pixels(outline), fill=round(factor * _UNSHADED))

    def shade_ground(self, outline: Sequence[complex], factor: float) -> None:
        """Darken the background under an outline."""
        self._draw_ground(self._pixels(outline), fill=round(factor * _UNSHADED))

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return image (H, W, 3), averaged down, and labels (H, W): the most frequent in each."""
        numbers = np.asarray(self._numbers).ravel().astype(np.uint16)
        labels = np.array(self._labels, np.uint8)[numbers]
        image = self._coloured(numbers)
        shade = np.where(
            labels == BACKGROUND,
            np.asarray(self._ground_shade).ravel(),
            np.asarray(self._figure_shade).ravel(),
        )
        dim = np.flatnonzero(shade < _UNSHADED)
        image[dim] = image[dim] * (shade[dim, None].astype(np.float32) / _UNSHADED)
        # RGBX, not RGBA: the fourth byte is padding and must not weigh the others.
        fine = Image.frombuffer("RGBX", self._numbers.size, image, "raw", "RGBX", 0, 1)
        small = np.ascontiguousarray(np.asarray(fine.reduce(self._fine))[..., :3])
        return small, self._majority(labels)

    def _coloured(self, numbers: NDArray[np.uint16]) -> NDArray[np.uint8]:
        # Four bytes to a pixel, so that a plain colour is one number to look up and to write.
        flat = np.zeros((len(self._parts), 4), np.uint8)
        for number, part in enumerate(self._parts):
            if isinstance(part, Surface):
                flat[number, :3] = part.texture.first
        packed = flat.view(np.uint32)[:, 0][numbers]
        for number, part in enumerate(self._parts):
            if isinstance(part, _Strip):
                self._blend(packed, numbers == number, part)
        self._texture(packed, numbers)
        return packed.view(np.uint8).reshape(-1, 4)

    def _blend(self, packed: NDArray[np.uint32], where: NDArray[np.bool_], strip: _Strip) -> None:
        top, bottom = strip.rows
        ramp = np.zeros((bottom - top, 4), np.uint8)
        ramp[:, :3] = np.linspace(strip.first, strip.last, bottom - top)
        rows = slice(top * self._columns, bottom * self._columns)
        colours = ramp.view(np.uint32)[:, 0].repeat(self._columns)
        np.copyto(packed[rows], colours, where=where[rows])

    def _texture(self, packed: NDArray[np.uint32], numbers: NDArray[np.uint16]) -> None:
        frames = np.zeros((len(self._parts), 8), np.float32)
        textured = np.zeros(len(self._parts), np.bool_)
        for number, part in enumerate(self._parts):
            if isinstance(part, Surface) and not part.is_flat:
                textured[number] = True
                frames[number] = part.frame()
        pixels = np.flatnonzero(textured[numbers])
        # By part, so that each texture colours one run of pixels.
        pixels = pixels[np.argsort(numbers[pixels], kind="stable")]
        owners = numbers[pixels]
        left, top, right, down, narrow, short, rounding, fade = frames[owners].T
        grid_x, grid_y = _grid(self._rows, self._columns)
        x, y = grid_x[pixels] - left, grid_y[pixels] - top
        along, across = x * right + y * down, y * right - x * down

        colours = np.empty((len(pixels), 3), np.float32)
        ends = np.bincount(owners, minlength=len(self._parts)).cumsum()
        for part, first, end in zip(self._parts, [0, *ends], ends, strict=False):
            if isinstance(part, Surface) and first < end:
                colours[first:end] = part.texture(across[first:end], along[first:end])
        side = across * narrow
        lit = 1 + fade * (along * short - 0.5)
        lit += rounding * (0.35 + (0.6 * self.light - side) * side)
        colours *= lit[:, None]
        opaque = np.zeros((len(pixels), 4), np.uint8)
        opaque[:, :3] = colours.clip(0, 255)
        packed[pixels] = opaque.view(np.uint32)[:, 0]

    def _majority(self, labels: NDArray[np.uint8]) -> NDArray[np.int32]:
        kinds = int(labels.max()) + 1
        height, width = self.size
        votes = np.bincount(
            _cells(*self.size, self._fine) * kinds + labels, minlength=height * width * kinds
        )
        return votes.reshape(height, width, kinds).argmax(2).astype(np.int32)

    def _pixels(self, outline: Sequence[complex]) -> list[tuple[float, float]]:
        # PIL truncates: each corner becomes the fine pixel it falls in, and that one is inside.
        scale, shift = self._rows, self._columns / 2
        return [(z.real * scale + shift, z.imag * scale) for z in outline]


@lru_cache(maxsize=4)
def _grid(rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Picture coordinates x and y of all pixels, each (rows * columns,)."""
    y, x = (np.indices((rows, columns), np.float32) + 0.5) / rows
    return (x - columns / rows / 2).ravel(), y.ravel()


@lru_cache(maxsize=4)
def _cells(height: int, width: int, fine: int) -> NDArray[np.intp]:
    """Which of the height * width final pixels each fine pixel falls into."""
    cells = np.arange(height * width).reshape(height, width)
    return cells.repeat(fine, 0).repeat(fine, 1).ravel()
