# SPDX-License-Identifier: Apache-2.0
"""Styles fitted to one image by gradient descent, beyond what an encoder finds in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scam.errors import InputError
from scam.models.styles import Styles

RATE = 0.05
"""Of a step of Adam, in root mean squares of the encoded tokens."""


def refined(
    styles: Styles,
    generate: Callable[[Styles], Tensor],
    image: Tensor,
    steps: int,
    progress: Callable[[float], None] | None = None,
) -> Styles:
    """``styles`` of image (B, 3, H, W) after ``steps`` of Adam towards generating it again.

    generate: makes images (B, 3, H, W) of styles, each independent of the others of its batch.
    The squared error is minimised with respect to the tokens alone. Under the image's own label
    map a hundred steps bring out patterns that the encoder misses. Under another map some five
    serve best; more fit too closely (docs/editing.md). progress: is told after each step the share
    of the steps that is done.
    """
    if type(steps) is not int or steps < 0:
        raise InputError("{refine}: expected a number of steps, 0 or more", refine=steps)
    if not steps:
        return styles
    if torch.is_inference_mode_enabled():
        raise InputError(
            "{refine}: torch.inference_mode forbids its gradients; expected torch.no_grad",
            refine=steps,
        )
    start = styles.tokens.detach()
    scale = start.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
    with torch.enable_grad():
        # In units of the scale, one rate serves every image.
        moved = (start / scale).requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=RATE)
        for step in range(steps):
            generated = generate(Styles(moved * scale, styles.present))
            # Adam does not see a factor, but adds 1e-8 to the size of gradients: a sum keeps them
            # far above it.
            (moved.grad,) = torch.autograd.grad((generated - image).square().sum(), moved)
            optimizer.step()
            if progress is not None:
                progress((step + 1) / steps)
    return Styles((moved * scale).detach(), styles.present)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of parameters are computed in the block."""
    learning = [p for p in model.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
