# SPDX-License-Identifier: Apache-2.0
import torch
from torch import Tensor

from scam.training.losses import hinge_discriminator, hinge_generator


def scales(*values: float) -> list[Tensor]:
    """Logit maps of different sizes, one constant each."""
    return [torch.full((2, 1, 3 + i, 4), value) for i, value in enumerate(values)]


def test_generator_wants_high_logits_averaged_over_scales() -> None:
    torch.testing.assert_close(hinge_generator(scales(0.5, -0.3)), torch.tensor(-0.1))


def test_discriminator_hinge() -> None:
    loss = hinge_discriminator(scales(0.5, 2.0), scales(-0.5, -3.0))
    torch.testing.assert_close(loss, torch.tensor((0.5 + 0.5) / 2))
    loss = hinge_discriminator(scales(-1.0), scales(1.0))
    torch.testing.assert_close(loss, torch.tensor(4.0))
