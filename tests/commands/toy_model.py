# SPDX-License-Identifier: Apache-2.0
"""The smallest model there is: a colour per label, in thirty lines."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scam.models import ModelConfig, Reconstruction, SynthesisModel
from scam.nn.pyramid import one_hot


@dataclass(frozen=True)
class MeanColourConfig(ModelConfig):
    kind: ClassVar[str] = "mean-colour"
    presets: ClassVar[dict[str, Any]] = {"tiny": {"width": 16, "levels": 4}}


class MeanColour(SynthesisModel):
    Config: ClassVar[type[ModelConfig]] = MeanColourConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, range(config.num_labels), token_dim=3)
        self.read, self.show = nn.Linear(3, 3), nn.Linear(3, 3)

    def _encode(self, image: Tensor, labels: Any) -> Tensor:
        masks = one_hot(labels.labels, self.config.num_labels).to(image.dtype)
        sums = torch.einsum("blhw,bchw->blc", masks, image)
        tokens: Tensor = self.read(sums / masks.sum((2, 3)).clamp(min=1).unsqueeze(-1))
        return tokens

    def _generate(self, labels: Any, tokens: Tensor, noise: Any) -> Tensor:
        masks = one_hot(labels.labels, self.config.num_labels).to(tokens.dtype)
        return torch.tanh(torch.einsum("blhw,blc->bchw", masks, self.show(tokens)).float())

    def reconstruct(
        self, image: Tensor, labels: Any, noise: Any = None, kept: Tensor | None = None
    ) -> Reconstruction:
        made = super().reconstruct(image, labels, noise, kept)
        return Reconstruction(made.image, {"spread": (0.1, self.show.weight.square().mean())})
