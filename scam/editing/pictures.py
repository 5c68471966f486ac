# SPDX-License-Identifier: Apache-2.0
"""Photographs with label maps at their own size, and pixels to and from the model's."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scam.data.arrays import LabelMap
from scam.data.convert import to_uint8
from scam.data.fit import Frame
from scam.editing.paste import Pixels


@dataclass(frozen=True)
class Picture:
    """A photograph uint8 (H, W, 3) at its own size, its labels int32 (H, W), and its name."""

    photo: Pixels
    labels: LabelMap
    name: str

    def tensors(self, frame: Frame, device: torch.device) -> tuple[Tensor, Tensor]:
        """Image (1, 3, H, W) in [-1, 1] and labels (1, H, W) as the model sees them."""
        image = to_image(frame.place(self.photo.shape).image(Image.fromarray(self.photo)))
        return image.to(device), label_tensor(self.labels, frame, device)


def label_tensor(labels: LabelMap, frame: Frame, device: torch.device) -> Tensor:
    """Labels (h, w) as the model sees them, (1, H, W)."""
    return torch.from_numpy(frame.place(labels.shape).labels(labels))[None].to(device)


def nearest(labels: LabelMap, size: tuple[int, int]) -> LabelMap:
    """A label map at ``size`` = (H, W)."""
    return np.array(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def resized(pixels: Pixels, size: tuple[int, int], how: Image.Resampling) -> Pixels:
    """Pixels (h, w, 3) at ``size`` = (H, W)."""
    return np.array(Image.fromarray(pixels).resize(size[::-1], how))


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels (h, w, 3) in the middle of a white image of ``size`` = (H, W), as large as fits."""
    height, width = pixels.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    picture = np.full((*size, 3), 255, np.uint8)
    place = slice(top, top + inner[0]), slice(left, left + inner[1])
    picture[place] = resized(pixels, inner, Image.Resampling.BILINEAR)
    return picture


def to_image(pixels: Pixels) -> Tensor:
    """uint8 (H, W, 3) -> (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float()[None] / 127.5 - 1


def to_pixels(image: Tensor) -> Pixels:
    """(3, H, W) in [-1, 1] -> uint8 (H, W, 3)."""
    pixels: Pixels = to_uint8(image).permute(1, 2, 0).cpu().numpy()
    return pixels
