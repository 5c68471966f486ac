# SPDX-License-Identifier: Apache-2.0
"""A model as it is measured."""

import platform
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from scam.models import SynthesisModel
from scam.models.mixing import Absent
from scam.models.styles import Styles
from scam.models.views import Role
from scam.training.randomness import picture_generators

Indices = Sequence[int]


class EvaluatedModel:
    """A model in evaluation mode that generates the same twice, even where it needs noise.

    absent: what stands in for labels that a donor lacks. That of the first reports, for all that
    follow to be compared with: the host's own, so that nothing is guessed.

    seed, draw: two numbers that the noise follows. refine: steps that fit styles to their image.
    """

    absent: Final[Absent] = "background"

    def __init__(
        self,
        model: SynthesisModel,
        background_labels: Sequence[int] = (0,),
        seed: int = 0,
        draw: int = 0,
        refine: int = 0,
    ) -> None:
        self.model = model.eval()
        self.device = model.token_labels.device
        self.background_labels = tuple(background_labels)
        self._seed, self._draw, self.refine = seed, draw, refine

    def with_draw(self, draw: int) -> "EvaluatedModel":
        """The same with the noise of another draw."""
        return EvaluatedModel(self.model, self.background_labels, self._seed, draw, self.refine)

    def encode(self, image: Tensor, labels: Tensor, role: Role = "alone") -> Styles:
        """Styles of image (B, 3, H, W) in [-1, 1] under labels (B, H, W).

        role: see :meth:`scam.models.SynthesisModel.encode`.
        """
        return self.model.encode(image, labels, refine=self.refine, role=role)

    def generate(self, labels: Tensor, latents: Styles, indices: Indices) -> Tensor:
        """labels (B, H, W) -> images (B, 3, H, W) in [-1, 1].

        indices: B numbers that noise, if any, follows, whatever the batch.
        """
        noise = None
        if self.model.needs_noise:
            noise = picture_generators(self._seed, self._draw, indices, "evaluation", self.device)
        return self.model.generate(labels, latents, noise)

    def mix(self, subject: Styles, scene: Styles) -> Styles:
        """The subject's latents in the scene's, for a map that the scene's image fills."""
        return self.model.mix(
            subject,
            scene,
            scene.present,
            background_labels=self.background_labels,
            absent=self.absent,
        )

    def is_background(self, labels: Tensor) -> Tensor:
        """Where labels (...) belong to the scene or are no label: bool (...)."""
        scene = torch.tensor(self.background_labels, device=labels.device)
        return torch.isin(labels, scene) | (labels < 0)

    def subject_labels(self, labels: Tensor) -> Tensor:
        """Those of the labels (B, L) bool that do not belong to the scene."""
        numbers = torch.arange(labels.shape[1], device=labels.device)
        return labels & ~self.is_background(numbers)


def device_name(device: torch.device) -> str:
    """A GPU's name, or the CPU's kind and how many threads compute on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type}, {torch.get_num_threads()} threads"
