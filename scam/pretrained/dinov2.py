# SPDX-License-Identifier: Apache-2.0
"""DINOv2, through the code that its authors publish."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError, MissingError
from scam.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD, load_weights

DINOV2 = "dinov2_vitl14_pretrain.pth"
_DINOV2_CODE = "facebookresearch_dinov2_main"


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
