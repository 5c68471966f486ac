# SPDX-License-Identifier: Apache-2.0
"""Networks whose features metrics compare: Inception, DINOv2, person re-identification, own."""

import importlib
import io
import shlex
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError, NotInstalledError, first_line
from scam.pretrained.published import DINOV2_CODE
from scam.pretrained.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    fill,
    load_weights,
    package,
    read_state,
)


class Inception(nn.Module):
    """uint8 (B, 3, H, W) -> (B, 2048): the Inception-v3 of FID, through torch-fidelity."""

    name = "inception"

    def __init__(self, weights: Path) -> None:
        super().__init__()
        fidelity = package("torch_fidelity.feature_extractor_inceptionv3")
        # Read safely here: torch-fidelity itself would run code that a file may hold.
        buffer = io.BytesIO()
        torch.save(read_state(weights), buffer)
        buffer.seek(0)
        try:
            self.network: nn.Module = fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer
            )
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"{weights}: not torch-fidelity's Inception ({reason})") from error

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.network(pictures)[0]


class InceptionStem(nn.Module):
    """uint8 (B, 3, H, W) -> (B, 64, h, w): :class:`Inception` up to its first pooling.

    Images keep their size (11 pixels a side or more), a quarter of which is left: the features
    of SIFID (Shaham et al., "SinGAN", ICCV 2019).
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        network: Any = Inception(weights).network
        self.layers = nn.Sequential(
            network.Conv2d_1a_3x3, network.Conv2d_2a_3x3, network.Conv2d_2b_3x3, network.MaxPool_1
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.layers((pictures.float() - 128) / 128)


def dinov2_code() -> Path:
    """Where torch.hub keeps the code of facebookresearch/dinov2."""
    return Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main"


class DinoV2(nn.Module):
    """uint8 (B, 3, H, W) -> (B, D): the class token of DINOv2 at 224x224.

    weights: named as published, ``dinov2_vitl14_pretrain.pth``,
    ``dinov2_vitl14_reg4_pretrain.pth`` and so on. The network's code is taken from torch.hub's
    cache of facebookresearch/dinov2.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        code = dinov2_code()
        if not (code / "hubconf.py").is_file():
            clone = f"git clone {DINOV2_CODE} {shlex.quote(str(code))}"
            raise NotInstalledError(f"not installed: the code of DINOv2 ({clone})")
        self.name = weights.name.partition("_pretrain")[0]
        maker = self.name.replace("_reg4", "_reg")  # files count the register tokens
        try:
            network = torch.hub.load(str(code), maker, source="local", pretrained=False)
        except Exception as error:  # whatever that code may raise
            made = f"{code} makes no {maker} ({first_line(error)})"
            raise InputError(f"{weights}: {made}") from error
        load_weights(network, weights)
        self.network: nn.Module = network
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None] * 255)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = F.interpolate(pictures.float(), (224, 224), mode="bicubic", antialias=True)
        return self.network((x - self.mean) / self.std)


class CustomExtractor(nn.Module):
    """uint8 (B, 3, H, W) -> (B, D) by a network that a user's ``module:function`` returns."""

    def __init__(self, spec: str) -> None:
        super().__init__()
        self.name = spec.replace(":", ".")
        module, colon, function = spec.partition(":")
        if not colon or not function:
            raise InputError("{extractor}: expected MODULE:FUNCTION", extractor=spec)
        try:
            network = getattr(importlib.import_module(module), function)()
        except Exception as error:  # whatever that code may raise
            raise InputError(f"{{extractor}}: {first_line(error)}", extractor=spec) from error
        if not isinstance(network, nn.Module):
            made = type(network).__name__
            raise InputError(f"{{extractor}}: made a {made}, no nn.Module", extractor=spec)
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class; InputError when the result is not (B, D) and floating."""
        features = self.network(pictures)
        fits = isinstance(features, Tensor) and features.is_floating_point()
        if not fits or features.dim() != 2 or len(features) != len(pictures):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            message = f"returned {found} for {tuple(pictures.shape)}, expected floating (B, D)"
            raise InputError(f"{{extractor}}: {message}", extractor=self.name)
        return features


def person_network(weights: Path) -> nn.Module:
    """(B, 3, 256, 128) in [-1, 1] -> (B, 2048): ResNet-50 with last stride 1, as for person reid.

    weights: a state dict of torchvision's names, plain or as MoCo training saved it.
    """
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    for module in (network.layer4[0].conv2, network.layer4[0].downsample[0]):
        module.stride = (1, 1)
    network.fc = nn.Identity()
    state = read_state(weights)
    for wrapper in ("state_dict", "model"):
        inner = state.get(wrapper)
        state = inner if isinstance(inner, dict) else state
    for prefix in ("module.", "encoder_q.", "base_encoder.", "backbone.", "base."):
        if any(key.startswith(prefix) for key in state):
            state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    fill(network, state, weights, "the weights of a ResNet-50")
    return network
