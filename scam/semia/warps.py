# SPDX-License-Identifier: Apache-2.0
"""Random geometry for an image and its label map: flip, thin-plate spline, zoom."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError

_FLIP = 0.5  # probability at full strength
_JITTER = 0.05  # of the long side, each way
_JITTER_SHORT = 0.1  # of the short side, at most: beyond that splines of long images fold
_ZOOM = (0.85, 1.2)
_QUARTERS = (0.25, 0.5, 0.75)  # where the 3x3 control points are
_DRAWS = 2 + 2 * len(_QUARTERS) ** 2


@dataclass(frozen=True, eq=False)
class Warp:
    """Where each pixel of the warped image is read, the same for image and labels.

    size: (H, W). places: (H, W, 2) float64, x and y in pixels, (0, 0) being the centre of the
    first pixel; beyond the edge is the image's reflection. None is the identity.
    """

    size: tuple[int, int]
    places: Tensor | None = None

    def image(self, image: Tensor, mode: str = "bicubic") -> Tensor:
        """image (B, C, H, W) float in [-1, 1] -> the same; InputError for another H, W.

        mode: ``bicubic``, ``bilinear`` or ``nearest``, as in ``torch.nn.functional.grid_sample``.
        """
        self._check("image", image)
        if self.places is None:
            return image
        # Bicubic interpolation overshoots at edges.
        return self._sample(image, self.places, mode).clamp(-1, 1)

    def labels(self, labels: Tensor) -> Tensor:
        """labels (B, H, W), any integers -> the same, each of its nearest pixel in the input."""
        self._check("labels", labels)
        if self.places is None:
            return labels
        planes = labels[:, None].float()
        return self._sample(planes, self.places, "nearest")[:, 0].to(labels.dtype)

    def _check(self, name: str, tensor: Tensor) -> None:
        if tuple(tensor.shape[-2:]) != self.size:
            height, width = self.size
            message = f"{{{name}}}: expected H, W = {height}, {width}, the size of the warp"
            raise InputError(message, **{name: tuple(tensor.shape)})

    def _sample(self, planes: Tensor, places: Tensor, mode: str) -> Tensor:
        height, width = self.size
        last = torch.tensor([width - 1, height - 1], dtype=places.dtype)
        grid = (2 * places / last - 1).to(planes.device, planes.dtype)
        grid = grid.expand(len(planes), -1, -1, -1)
        return F.grid_sample(planes, grid, mode, padding_mode="reflection", align_corners=True)


def draw_warp(size: tuple[int, int], strength: float, generator: torch.Generator) -> Warp:
    """Draw a flip, a thin-plate spline and a zoom for images of ``size`` (H, W).

    strength: 0 (the identity, exactly) .. 1. The flip has probability ``strength / 2``; the spline
    moves 3x3 control points by up to 5 % of the long side and keeps the corners; the zoom about
    the centre is between 0.85 and 1.2. generator: on the CPU; the same count of numbers is taken
    for any strength. InputError for a strength outside 0 .. 1 or a side below 2 pixels.
    """
    if min(size) < 2:
        raise InputError("{size}: expected 2 pixels or more each way", size=size)
    if not 0 <= strength <= 1:
        raise InputError("{strength}: expected 0 .. 1", strength=strength)
    draws = torch.rand(_DRAWS, generator=generator, dtype=torch.float64)
    if strength == 0:
        return Warp(size)
    flip, zoom = draws[:2].tolist()
    low, high = _ZOOM
    scale = 1 + strength * (low - 1 + zoom * (high - low))
    places = zoomed(pixel_places(size), size, scale)

    height, width = size
    ends = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    corners = ends * torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0))
    quarters = torch.tensor(_QUARTERS, dtype=torch.float64)
    controls = torch.cat([ends * torch.cartesian_prod(quarters, quarters), corners])
    most = strength * min(_JITTER * max(size), _JITTER_SHORT * min(size))
    moved = controls.clone()
    moved[: len(quarters) ** 2] += most * (2 * draws[2:].view(-1, 2) - 1)
    places = thin_plate_spline(places, controls, moved)
    if flip < _FLIP * strength:
        places = flipped(places, size)
    return Warp(size, places)


def pixel_places(size: tuple[int, int]) -> Tensor:
    """(H, W, 2) float64: x and y of each pixel's centre."""
    y, x = (torch.arange(side, dtype=torch.float64) for side in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def zoomed(places: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """Read at ``places`` (..., 2) of an image enlarged ``scale`` times about its centre."""
    centre = torch.tensor([size[1] - 1, size[0] - 1], dtype=places.dtype) / 2
    return centre + (places - centre) / scale


def flipped(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Read at ``places`` (..., 2) of an image whose left and right are exchanged."""
    return torch.stack([size[1] - 1 - places[..., 0], places[..., 1]], -1)


def thin_plate_spline(places: Tensor, targets: Tensor, sources: Tensor) -> Tensor:
    """Read at ``places`` (..., 2) of the smoothest warp that puts ``sources`` at ``targets``.

    targets, sources: (n, 2), x and y in pixels, n >= 3 different targets that no line holds. The
    map f(p) = a + A p + sum_i w_i U(|p - target_i|), U(r) = r^2 log r, takes each target to its
    source and bends least of all that do (Duchon 1977; Bookstein 1989).
    """
    # Distances near 1 keep the system well conditioned.
    unit = (targets.amax(0) - targets.amin(0)).max()
    count = len(targets)
    system = torch.zeros(count + 3, count + 3, dtype=places.dtype)
    system[:count] = _spline_basis(targets, targets, unit)
    system[count:, :count] = system[:count, count:].T
    values = torch.cat([sources, sources.new_zeros(3, 2)])
    return _spline_basis(places, targets, unit) @ torch.linalg.solve(system, values)


def _spline_basis(places: Tensor, targets: Tensor, unit: Tensor) -> Tensor:
    """(..., n + 3): U of the distance to each target, then 1, x, y."""
    away = (places[..., None, :] - targets) / unit
    square = (away * away).sum(-1)
    bent = torch.special.xlogy(square, square) / 2
    return torch.cat([bent, torch.ones_like(bent[..., :1]), places / unit], -1)
