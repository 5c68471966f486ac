# SPDX-License-Identifier: Apache-2.0
"""How an image of any proportions meets a model of one size, and the way back."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PIL_Image

from scam.data.arrays import Image, LabelMap

Fit = Literal["squash", "crop", "pad"]
"""squash: all of the image fills the frame, out of proportion. crop: its largest centred part of
the frame's proportions does. pad: all of it is in the middle of the frame; around it the image
repeats its edge and has no label, so that no latent reads it."""
SLIGHT = 1.05
"""Proportions that differ by less are taken for equal when something is said of them."""


@dataclass(frozen=True)
class Box:
    """A part of an image, in whole pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


@dataclass(frozen=True)
class Placement:
    """Where an image of ``shape`` = (h, w) and a frame of ``size`` = (H, W) meet.

    The image's box ``seen`` is scaled to the frame's box ``shown``.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    seen: Box
    shown: Box

    def image(self, picture: PIL_Image.Image) -> Image:
        """Of the image's size -> uint8 (H, W, 3), averaged down (antialiased bilinear)."""
        small = self._scaled(picture, PIL_Image.Resampling.BILINEAR)
        return small if self._full else np.pad(small, (*self._margins, (0, 0)), "edge")

    def labels(self, labels: LabelMap) -> LabelMap:
        """Of the image's size -> int32 (H, W), nearest pixels; -1 around the image."""
        small = self._scaled(PIL_Image.fromarray(labels), PIL_Image.Resampling.NEAREST)
        return small if self._full else np.pad(small, self._margins, constant_values=-1)

    def enlarged(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What a frame (H, W, 3) shows of the image, at the size of its box ``seen``."""
        return self._enlarged(pixels, PIL_Image.Resampling.BICUBIC)

    def enlarged_labels(self, labels: LabelMap) -> LabelMap:
        """The same of a label map (H, W), nearest pixels."""
        return self._enlarged(labels, PIL_Image.Resampling.NEAREST)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Pixels of the image (h, w) that the frame shows."""
        covered = np.zeros(self.shape, np.bool_)
        covered[self.seen.slices] = True
        return covered

    @property
    def _full(self) -> bool:
        return (self.shown.height, self.shown.width) == self.size

    @property
    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        box, (height, width) = self.shown, self.size
        return (
            (box.top, height - box.top - box.height),
            (box.left, width - box.left - box.width),
        )

    def _scaled(self, picture: PIL_Image.Image, how: PIL_Image.Resampling) -> NDArray[Any]:
        box = self.seen
        part = (box.left, box.top, box.left + box.width, box.top + box.height)
        return np.array(picture.resize((self.shown.width, self.shown.height), how, box=part))

    def _enlarged(self, pixels: NDArray[Any], how: PIL_Image.Resampling) -> NDArray[Any]:
        part = PIL_Image.fromarray(pixels[self.shown.slices])
        return np.array(part.resize((self.seen.width, self.seen.height), how))


@dataclass(frozen=True)
class Frame:
    """What a model sees: ``size`` = (H, W), and how images of other proportions fit into it."""

    size: tuple[int, int]
    fit: Fit = "squash"

    def place(self, shape: tuple[int, ...]) -> Placement:
        """An image of ``shape`` = (h, w, ...) in this frame."""
        h, w = shape[:2]
        height, width = self.size
        seen, shown = Box(0, 0, h, w), Box(0, 0, height, width)
        if self.fit == "crop":
            seen = _centred((h, w), min(h / height, w / width), self.size)
        elif self.fit == "pad":
            shown = _centred(self.size, min(height / h, width / w), (h, w))
        return Placement((h, w), self.size, seen, shown)

    def stretch(self, shape: tuple[int, ...]) -> float:
        """How far the proportions of ``shape`` are from the frame's: a factor of 1 or more."""
        aspect = shape[0] * self.size[1] / (shape[1] * self.size[0])
        return max(aspect, 1 / aspect)


def _centred(within: tuple[int, int], scale: float, shape: tuple[int, int]) -> Box:
    """``shape`` (height, width) times ``scale`` in the middle of ``within``."""
    height, width = (
        min(most, max(1, round(side * scale))) for most, side in zip(within, shape, strict=True)
    )
    return Box((within[0] - height) // 2, (within[1] - width) // 2, height, width)
