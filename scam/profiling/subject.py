# SPDX-License-Identifier: Apache-2.0
"""Networks and a batch to measure, from shapes alone: no data set, no run folder."""

from typing import Any

import torch
from torch import Tensor, nn

from scam.models import ModelConfig
from scam.models.registry import build
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.options import SynthesisOptions, chosen_training
from scam.synthesis.perceptual import build_perceptual, resolve_perceptual
from scam.synthesis.step import SynthesisStep
from scam.training.precision import resolve_precision

PRESENT = 11
"""Labels drawn into a map: what a real ADE20K map holds of its 151."""


def build_step(
    config: ModelConfig,
    device: torch.device,
    *,
    fused: bool = True,
    amp: bool = False,
    **asked: Any,
) -> SynthesisStep:
    """Freshly initialised networks and optimisers; equal weights for equal ``config``.

    Losses and optimisers are those that a new run of this model has, but for settings ``asked``
    for: the perceptual loss is VGG-19 if its weights are found, else the pyramid. The adversarial
    loss is on from the first step.
    """
    name, weights = resolve_perceptual(None, None)
    asked |= {"amp": amp, "fused_sca": fused, "perceptual": name, "gan_from": 0}
    options = SynthesisOptions(**chosen_training("", config.recipe, asked))
    torch.manual_seed(0)
    model = build(config).configure(fused=fused)
    discriminator = build_discriminator(config, options)
    perceptual: nn.Module = build_perceptual(name, weights, normalise=not config.released)
    precision = resolve_precision(amp, device)
    return SynthesisStep(model, discriminator, perceptual, options, precision, device)


def draw_batch(
    config: ModelConfig, count: int, device: torch.device, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Noise images (B, 3, H, W) and label maps (B, H, W) of a few coherent regions.

    The maps stay on the CPU, where a training step looks for the labels that occur.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = config.size
    image = torch.rand(count, 3, height, width, generator=random) * 2 - 1
    grid = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()
    maps = []
    for _ in range(count):
        labels = torch.randperm(config.num_labels, generator=random)[:PRESENT]
        sites = torch.rand(2 * len(labels), 2, generator=random) * torch.tensor([height, width])
        nearest = torch.cdist(grid, sites).argmin(1)
        maps.append(labels[nearest % len(labels)].view(height, width))
    return image.to(device), torch.stack(maps)
