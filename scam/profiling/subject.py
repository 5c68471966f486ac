# SPDX-License-Identifier: Apache-2.0
"""Networks and a batch to measure, from shapes alone: no data set, no run folder."""

import torch
from torch import Tensor, nn

from scam.models import ModelConfig
from scam.models.registry import build
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.perceptual import build_perceptual, resolve_perceptual
from scam.synthesis.step import SynthesisStep
from scam.training.precision import resolve_precision

PRESENT = 11
"""Labels drawn into a map: what a real ADE20K map holds of its 151."""


def build_step(
    config: ModelConfig, device: torch.device, *, fused: bool = True, amp: bool = False
) -> SynthesisStep:
    """Freshly initialised networks and optimisers; equal weights for equal ``config``.

    The perceptual loss is VGG-19 if its weights are found, else the pyramid, as in training;
    the adversarial loss is on from the first step.
    """
    name, weights = resolve_perceptual(None, None)
    options = SynthesisOptions(amp=amp, fused_sca=fused, perceptual=name)
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
