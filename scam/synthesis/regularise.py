# SPDX-License-Identifier: Apache-2.0
"""Regularisers of the discriminator: LeCam, approximated R1 and R2."""

import torch
from torch import Tensor, nn

SIGMA = 0.01
"""Standard deviation of the noise behind the approximated penalties, for images in [-1, 1]; the
approximation is Seaweed-APT's (ICML 2025)."""


def approximated_penalty(logits: list[Tensor], nudged: list[Tensor]) -> Tensor:
    """``mean(((D(x + sigma n) - D(x)) / sigma)^2)``, averaged over scales.

    Over standard normal n this tends to the mean square of a logit's gradient in the image, as
    sigma goes to 0: R1 on real images, R2 on generated ones, without a second derivative.
    """
    pairs = zip(logits, nudged, strict=True)
    return torch.stack([((b - a) / SIGMA).square().mean() for a, b in pairs]).mean()


class LeCam(nn.Module):
    """Pull each side's logits towards the other side's running average.

    ``mean((D(x) - a_fake)^2) + mean((D(G) - a_real)^2)``, averaged over scales, where D is the
    mean logit of an image (Tseng et al., CVPR 2021) and a_real, a_fake average it over
    the steps before this one; 0 at the first.

    Args:
        scales: logit maps that the discriminator gives.
        decay: what the averages keep per step.
    """

    averages: Tensor
    steps: Tensor

    def __init__(self, scales: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("averages", torch.zeros(scales, 2))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        """real and fake: per scale (B, 1, p, q)."""
        # The averages began at 0, which weighs decay^steps in them.
        anchors = self.averages / (1 - self.decay ** self.steps.clamp(min=1))
        penalties = [
            (r.mean((1, 2, 3)) - anchor_fake).square().mean()
            + (f.mean((1, 2, 3)) - anchor_real).square().mean()
            for r, f, (anchor_real, anchor_fake) in zip(real, fake, anchors, strict=True)
        ]
        return torch.where(self.steps > 0, torch.stack(penalties).mean(), 0.0)

    @torch.no_grad()
    def update(self, means: Tensor) -> None:
        """Take a step's mean logits in: (scales, 2), real and fake; left out if not finite."""
        usable = means.isfinite().all()
        moved = self.averages.lerp(means, 1 - self.decay)
        self.averages.copy_(torch.where(usable, moved, self.averages))
        self.steps.add_(usable)


def mean_logits(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """What :meth:`LeCam.update` takes, of one batch."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([torch.stack([r.mean(), f.mean()]) for r, f in pairs]).detach()
