# SPDX-License-Identifier: Apache-2.0
"""The latents of an image or a style, and what tells them apart where they are kept."""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from scam.commandline.progress import progress as progress_bar
from scam.data.arrays import LabelMap
from scam.editing.pictures import Picture
from scam.editing.styles import Style
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles
from scam.models.views import Role


def encode(
    source: Picture | Style,
    checkpoint: Checkpoint,
    refine: int = 0,
    *,
    role: Role = "alone",
    progress: Callable[[float], None] | None = None,
) -> Styles:
    """The latents of an image, or those saved in a style, on the model's device.

    refine, role, progress: see :meth:`scam.models.SynthesisModel.encode`; a bar shows the steps
    where nobody else is told of them.
    """
    if isinstance(source, Style):
        return source.latents
    model = checkpoint.model
    with torch.no_grad():
        image, labels = source.tensors(checkpoint.frame, model.token_labels.device)
        if progress is not None or not refine:
            return model.encode(image, labels, refine=refine, role=role, progress=progress)
        with progress_bar(f"refine {source.name}", refine, unit="steps") as bar:
            return model.encode(
                image, labels, refine=refine, role=role, progress=lambda _: bar.update()
            )


def kind_of_latents(refine: int, role: Role) -> tuple[int, Role]:
    """What tells the latents of one image apart: unrefined, they are the same in every role."""
    return refine, role if refine else "alone"


def digest(content: Picture | Style | LabelMap) -> str:
    """16 hexadecimal digits that change with any pixel, label or latent."""
    if isinstance(content, Picture):
        arrays: list[NDArray[Any]] = [content.photo, content.labels]
    elif isinstance(content, Style):
        arrays = [x.cpu().numpy() for x in (content.latents.tokens, content.latents.present)]
    else:
        arrays = [content]
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(f"{array.dtype} {array.shape}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()[:16]
