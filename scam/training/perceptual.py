# SPDX-License-Identifier: Apache-2.0
"""Perceptual distances between pictures in [-1, 1]: VGG-19 features, LPIPS, or a plain pyramid."""

import warnings
from pathlib import Path
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError
from scam.pretrained.weights import EVAL_PACKAGES, IMAGENET_MEAN, IMAGENET_STD, load_weights

Perceptual = Literal["vgg19", "lpips", "pyramid", "none"]
PERCEPTUAL: tuple[Perceptual, ...] = get_args(Perceptual)

WEIGHT_FILES = {"vgg19": "vgg19-dcbb9e9d.pth", "lpips": "vgg16-397923af.pth"}
"""torchvision's ImageNet weights, by the file names its own downloads carry."""

_VGG19_TAPS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1 ... relu5_1


def default_weights(name: str) -> Path:
    """Where torchvision would have cached the weights of ``name``; nothing is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHT_FILES[name]


def resolve_perceptual(name: str | None, weights: Path | None) -> tuple[Perceptual, Path | None]:
    """The loss to use and its weight file; ``None`` means VGG-19 where its weights are at hand.

    Raises InputError for an unknown name, a missing weight file, or one that is of no use.
    """
    if name is None:
        if weights is None and not default_weights("vgg19").is_file():
            return "pyramid", None
        name = "vgg19"
    if name not in PERCEPTUAL:
        raise InputError("{perceptual}: expected vgg19, lpips, pyramid or none", perceptual=name)
    if name not in WEIGHT_FILES:
        if weights is not None:
            raise InputError(
                "{perceptual_weights}: {perceptual} takes none",
                perceptual_weights=weights, perceptual=name,
            )  # fmt: skip
        return name, None
    path = weights or default_weights(name)
    if not path.is_file():
        raise InputError(
            f"{{perceptual}}: no weights at {path}; put torchvision's {WEIGHT_FILES[name]} there, "
            "give its path as {:perceptual_weights}, or choose another {:perceptual}",
            perceptual=name,
        )
    return name, path


def build_perceptual(name: Perceptual, weights: Path | None, *, released: bool) -> nn.Module:
    """A module mapping (fake, real), both (B, 3, H, W) in [-1, 1], to a scalar distance.

    ``released=True`` feeds VGG-19 the raw [-1, 1] picture, as the published system does. Raises
    ValueError for "none", for which there is none.
    """
    if name == "vgg19":
        return Vgg19Distance(cast(Path, weights), normalise=not released)
    if name == "lpips":
        return LpipsDistance(cast(Path, weights))
    if name == "pyramid":
        return PyramidDistance()
    raise ValueError(f"perceptual {name!r}: expected vgg19, lpips or pyramid")


class PyramidDistance(nn.Module):
    """Mean absolute error of picture and of its gradients over halved sizes; needs no weights."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """See :func:`build_perceptual`."""
        error = fake.float() - real.float()
        total = error.new_zeros(())
        count = 0
        while count < self.levels and min(error.shape[2:]) >= 4:
            across = error[..., 1:] - error[..., :-1]
            down = error[..., 1:, :] - error[..., :-1, :]
            total = total + (error.abs().mean() + across.abs().mean() + down.abs().mean()) / 3
            error = F.avg_pool2d(error, 2)
            count += 1
        return total / max(count, 1)


class Vgg19Distance(nn.Module):
    """Weighted L1 between VGG-19 features at relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path, *, normalise: bool) -> None:
        super().__init__()
        from torchvision.models import vgg19

        network = vgg19(weights=None)
        load_weights(network, weights)
        self.features = network.features[: max(_VGG19_TAPS) + 1].eval().requires_grad_(False)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalise else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """See :func:`build_perceptual`."""
        with torch.no_grad():
            wanted = self._taps(real)
        pairs = zip(self._taps(fake), wanted, _VGG19_TAPS.values(), strict=True)
        return torch.stack([w * (a.float() - b.float()).abs().mean() for a, b, w in pairs]).sum()

    def _taps(self, x: Tensor) -> list[Tensor]:
        x = ((x + 1) / 2 - self.mean) / self.std
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _VGG19_TAPS:
                taps.append(x)
        return taps


def lpips_distance(net: str, weights: Path) -> nn.Module:
    """LPIPS of two batches (B, 3, H, W) in [-1, 1], with ``net`` "alex" or "vgg" as its trunk.

    ``weights``: torchvision's state dict of the trunk; the calibration comes with package lpips,
    without which this is an ImportError.
    """
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips speaks to torchvision in old words
        distance = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    holder = nn.Module()
    holder.features = nn.Sequential()
    for part in distance.net.children():
        for index, layer in part.named_children():
            holder.features.add_module(index, layer)
    load_weights(holder, weights, only="features.")
    frozen: nn.Module = distance.eval().requires_grad_(False)
    return frozen


class LpipsDistance(nn.Module):
    """LPIPS with its VGG-16 trunk loaded from torchvision's file (Zhang et al., CVPR 2018)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            self.distance = lpips_distance("vgg", weights)
        except ImportError as error:
            message = f"{{perceptual}}: needs the package lpips: {EVAL_PACKAGES}"
            raise InputError(message, perceptual="lpips") from error

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """See :func:`build_perceptual`."""
        return cast(Tensor, self.distance(fake, real)).mean()
