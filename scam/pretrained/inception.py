# SPDX-License-Identifier: Apache-2.0
"""The Inception-v3 of FID, as published numbers use it."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from scam.errors import InputError
from scam.pretrained.weights import package, read_state

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file, by the name its own download carries."""


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
