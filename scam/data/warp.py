# SPDX-License-Identifier: Apache-2.0
"""An image and its label map, turned, scaled, moved and bent at random, both alike."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from scam.data.arrays import Image, LabelMap

_TURN = 0.2  # radians each way
_SCALE = math.log(1.2)  # up and down
_SHIFT = 0.075  # of a side, each way
_BEND = 0.1  # of a side, each way, of each control point
_POINTS = 4  # control points each way


def warp(image: Image, labels: LabelMap, random: np.random.Generator) -> tuple[Image, LabelMap]:
    """The same geometry for image, uint8 (H, W, 3), and labels, integers (H, W).

    Turned by up to 0.2 radians, scaled by up to 1.2, shifted by up to 7.5 % of a side, and bent by
    4x4 control points that move by up to 10 % (free-form deformation; Sederberg and Parry,
    SIGGRAPH 1986). Beyond the edge is the image's reflection. Labels are never mixed.
    """
    places = _places(labels.shape[0], labels.shape[1], random)
    pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1), np.float32, order="C"))
    maps = torch.from_numpy(np.array(labels[None], np.float32, order="C"))
    # Bicubic interpolation overshoots at edges.
    warped = _read(pixels[None], places, "bicubic")[0].round_().clamp_(0, 255).byte()
    moved = _read(maps[None], places, "nearest")[0, 0].numpy().astype(labels.dtype)
    return warped.permute(1, 2, 0).numpy(), moved


def warp_batch(
    image: Tensor, labels: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """As :func:`warp`, the same geometry for all: image (B, 3, H, W) in [-1, 1], labels (B, H, W).

    On their device, in their dtypes.
    """
    places = _places(labels.shape[1], labels.shape[2], random)
    pixels = image.to(torch.promote_types(image.dtype, torch.float32))
    warped = _read(pixels, places, "bicubic").clamp_(-1, 1)
    moved = _read(labels.unsqueeze(1).to(torch.float32), places, "nearest").squeeze(1)
    return warped.to(image.dtype), moved.to(labels.dtype)


def _read(planes: Tensor, places: Tensor, mode: str) -> Tensor:
    """planes (B, C, H, W) at places (H, W, 2)."""
    grid = places.to(planes).expand(len(planes), -1, -1, -1)
    return F.grid_sample(planes, grid, mode, padding_mode="reflection", align_corners=False)


def _places(height: int, width: int, random: np.random.Generator) -> Tensor:
    """Where each pixel is read: (H, W, 2) float32, x and y, -1 and 1 being the image's edges."""
    turn, scale = random.uniform(-_TURN, _TURN), math.exp(random.uniform(-_SCALE, _SCALE))
    cosine, sine, aspect = math.cos(turn) / scale, math.sin(turn) / scale, height / width
    linear = np.array([[cosine, -sine * aspect], [sine / aspect, cosine]])
    even = np.linspace(-1, 1, _POINTS)
    points = np.tensordot(linear, np.stack(np.meshgrid(even, even)), 1)
    points += random.uniform(-2 * _SHIFT, 2 * _SHIFT, (2, 1, 1))
    points += random.uniform(-2 * _BEND, 2 * _BEND, points.shape)
    places = (_bernstein(height) @ points @ _bernstein(width).T).transpose(1, 2, 0)
    return torch.from_numpy(places.astype(np.float32))


def _bernstein(count: int) -> NDArray[np.float64]:
    """Cubic weights of the control points at the centres of ``count`` pixels: (count, 4).

    Evenly spaced control points leave every place where it is.
    """
    t = ((np.arange(count) + 0.5) / count)[:, None]
    k = np.arange(_POINTS)
    return np.array([1, 3, 3, 1]) * t**k * (1 - t) ** (_POINTS - 1 - k)
