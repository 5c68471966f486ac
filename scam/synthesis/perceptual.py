# SPDX-License-Identifier: Apache-2.0
"""Perceptual distances between images in [-1, 1]: VGG-19 features, LPIPS, or a plain pyramid."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError, did_you_mean
from scam.pretrained.lpips import LpipsDistance
from scam.pretrained.published import LPIPS_TRUNKS, VGG19
from scam.pretrained.vgg import VGG_SLICES, Vgg19Distance
from scam.pretrained.weights import cached, warn_of_mismatch

Perceptual = Literal["vgg19", "lpips", "pyramid", "none"]
WEIGHT_FILES = {"vgg19": VGG19, "lpips": LPIPS_TRUNKS["vgg"]}
"""Which of the losses need weights, and their usual names."""


def default_weights(name: str) -> Path:
    """Where torchvision would have cached the weights of ``name``; nothing is downloaded."""
    return cached(WEIGHT_FILES[name])


def resolve_perceptual(
    name: str | None, weights: str | Path | None
) -> tuple[Perceptual, Path | None]:
    """The loss to use and its weight file; ``None`` means VGG-19 if its weights are found.

    Raises InputError for an unknown name, a missing weight file, or one that is not used.
    """
    if name is None:
        if weights is None and not default_weights("vgg19").is_file():
            return "pyramid", None
        name = "vgg19"
    if name not in get_args(Perceptual):
        message = "{perceptual}: expected vgg19, lpips, pyramid or none"
        message += did_you_mean(name, get_args(Perceptual))
        raise InputError(message, perceptual=name)
    if name not in WEIGHT_FILES:
        if weights is not None:
            message = "{perceptual_weights}: {perceptual} takes none"
            raise InputError(message, perceptual_weights=weights, perceptual=name)
        return cast(Perceptual, name), None
    if weights is not None and not os.path.isfile(weights):
        found = "is not a file" if os.path.lexists(weights) else "no such file"
        message = f"{{perceptual_weights}}: {found}, expected torchvision's {WEIGHT_FILES[name]}"
        raise InputError(message, perceptual_weights=weights)
    path = Path(weights) if weights else default_weights(name)
    if not path.is_file():
        raise InputError(
            f"{{perceptual}}: no weights at {path}; put torchvision's {WEIGHT_FILES[name]} there, "
            "give its path as {:perceptual_weights}, or choose another {:perceptual}",
            perceptual=name,
        )
    return cast(Perceptual, name), path


def build_perceptual(
    name: Perceptual,
    weights: str | Path | None,
    *,
    normalise: bool = True,
    slices: Sequence[float] = VGG_SLICES,
) -> nn.Module:
    """A module mapping (fake, real), both (B, 3, H, W) in [-1, 1], to a scalar distance.

    normalise, slices: of VGG-19, see :class:`~scam.pretrained.vgg.Vgg19Distance`. Raises
    ValueError for "none", for which there is none.
    """
    if name in WEIGHT_FILES:
        path = Path(str(weights))
        warn_of_mismatch(path)
        if name == "lpips":
            return LpipsDistance(path)
        return Vgg19Distance(path, normalise=normalise, slices=slices)
    if name == "pyramid":
        return PyramidDistance()
    raise ValueError(f"perceptual {name!r}: expected vgg19, lpips or pyramid")


class PyramidDistance(nn.Module):
    """Mean absolute error of image and of its gradients over halved sizes; needs no weights."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """See :func:`build_perceptual`."""
        error = fake.float() - real.float()
        total, count = error.new_zeros(()), 0
        while count < self.levels and min(error.shape[2:]) >= 4:
            across = error[..., 1:] - error[..., :-1]
            down = error[..., 1:, :] - error[..., :-1, :]
            total = total + (error.abs().mean() + across.abs().mean() + down.abs().mean()) / 3
            error = F.avg_pool2d(error, 2)
            count += 1
        return total / max(count, 1)
