# SPDX-License-Identifier: Apache-2.0
"""Styles fitted to one image by gradient descent, beyond what an encoder finds in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from scam.errors import InputError
from scam.models.prepared_labels import PreparedLabels
from scam.models.styles import Styles
from scam.models.views import View

RATE = 0.05
"""Of a step of Adam, in root mean squares of the encoded tokens."""


def refined(
    styles: Styles,
    generate: Callable[[PreparedLabels, Styles], Tensor],
    views: Iterator[View],
    steps: int,
    progress: Callable[[float], None] | None = None,
) -> Styles:
    """``styles`` of images after ``steps`` of Adam towards generating these images again.

    generate: makes images (B, 3, H, W) of label maps and styles, each independent of the others of
    its batch. views: one for each step, of these images or of warped copies. The squared error of
    their counted pixels is minimised with respect to the tokens alone. progress: is told after
    each step the share of the steps that is done.
    """
    given: Any = steps
    if isinstance(given, bool) or not isinstance(given, Integral) or given < 0:
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
        for step, view in enumerate(islice(views, steps)):
            tokens = moved * scale
            if view.others is not None:
                tokens = torch.where(view.others.kept[:, None], tokens, view.others.instead)
            errors = (generate(view.labels, Styles(tokens, styles.present)) - view.image).square()
            if view.others is not None:
                errors = errors * view.others.counted
            # Adam does not see a factor, but adds 1e-8 to the size of gradients: a sum keeps them
            # far above it.
            (moved.grad,) = torch.autograd.grad(errors.sum(), moved)
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
