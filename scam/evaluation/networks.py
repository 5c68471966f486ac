# SPDX-License-Identifier: Apache-2.0
"""Networks of others that metrics look through, from weight files that are already here.

Nothing is downloaded: a file is the one given, or where the library of its network would have
cached it; a given file that is not there is an InputError, an absent cache a MissingError.
"""

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError
from scam.evaluation.rows import MissingError
from scam.pretrained import lpips
from scam.pretrained.weights import (
    EVAL_PACKAGES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    cached,
    load_weights,
    read_state,
)

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's, for FID as published
LPIPS_TRUNKS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}  # torchvision's
DINOV2 = "dinov2_vitl14_pretrain.pth"
PERSON = "lup_moco_r50.pth"  # LUPerson's, as in the SCAM paper
_DINOV2_CODE = "facebookresearch_dinov2_main"


def weights_file(flag: str, given: Path | None, usual: str) -> Path:
    """The weights given with ``flag``, else the usual file in torch's cache."""
    if given is not None:
        if not given.is_file():
            raise InputError(f"{flag} {given}: no such file")
        return given
    path = cached(usual)
    if not path.is_file():
        folder, home = path.parent, Path.home()
        where = f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else folder
        raise MissingError(f"no weights: put {usual} into {where} or name it with {flag}")
    return path


def package(name: str) -> Any:
    """Import an optional package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"needs {name.partition('.')[0]}: {EVAL_PACKAGES}") from error


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions in fp32 and repeatable on a GPU, whose own choice, TF32, moves distances."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark
    cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = "ieee", True, False
    try:
        yield
    finally:
        cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = before


def lpips_distance(net: str, weights: Path) -> nn.Module:
    """As :func:`scam.pretrained.lpips.lpips_distance`; MissingError without package lpips."""
    package("lpips")
    return lpips.lpips_distance(net, weights)


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
        code = Path(torch.hub.get_dir()) / _DINOV2_CODE
        if not (code / "hubconf.py").is_file():
            raise MissingError(f"needs the code of DINOv2 (github) in {code}")
        self.name = weights.name.partition("_pretrain")[0]
        maker = self.name.replace("_reg4", "_reg")  # files count the register tokens
        try:
            self.network: nn.Module = torch.hub.load(
                str(code), maker, source="local", pretrained=False
            )
        except Exception as error:  # whatever that code may raise
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise InputError(f"{weights}: {code} makes no {maker} ({reason})") from error
        load_weights(self.network, weights)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None] * 255)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = F.interpolate(pictures.float(), (224, 224), mode="bicubic", antialias=True)
        return self.network((x - self.mean) / self.std)


class CustomExtractor(nn.Module):
    """uint8 (B, 3, H, W) -> (B, D) by a network that somebody's ``module:function`` returns."""

    def __init__(self, spec: str) -> None:
        super().__init__()
        self.name = spec.replace(":", ".")
        module, colon, function = spec.partition(":")
        if not colon or not function:
            raise InputError(f"--extractor {spec}: expected MODULE:FUNCTION")
        try:
            network = getattr(importlib.import_module(module), function)()
        except Exception as error:  # whatever that code may raise
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise InputError(f"--extractor {spec}: {reason}") from error
        if not isinstance(network, nn.Module):
            raise InputError(f"--extractor {spec}: made a {type(network).__name__}, no nn.Module")
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class; InputError when the result is not (B, D) and floating."""
        features = self.network(pictures)
        fits = isinstance(features, Tensor) and features.is_floating_point()
        if not fits or features.dim() != 2 or len(features) != len(pictures):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise InputError(
                f"--extractor {self.name}: returned {found} for {tuple(pictures.shape)}, "
                "expected floating (B, D)"
            )
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
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{weights}: not the weights of a ResNet-50 ({reason:.200})") from error
    return network
