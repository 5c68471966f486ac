# SPDX-License-Identifier: Apache-2.0
"""Attention of one label's latents in one layer, as heat maps of bytes."""

import numpy as np
import torch
from numpy.typing import NDArray

from scam.editing.edit import mix
from scam.editing.pictures import label_tensor
from scam.errors import InputError, quoted
from scam.models import attention_layers, attention_maps
from scam.models.base import SynthesisModel
from scam.studio.render import Opened


def layers_of(model: SynthesisModel) -> list[str]:
    """The layers whose attention can be drawn; none for a kind of model without."""
    try:
        return attention_layers(model)
    except InputError:
        return []


@torch.no_grad()
def heat_maps(session: Opened, label: object, layer: object) -> NDArray[np.uint8]:
    """How much a pixel and a latent of ``label`` have to do with each other: uint8 (k, h, w).

    In the encoder's layers it is where in the host each latent looked, 255 for the pixel that it
    looked at most; in the generator's how much a pixel of the result reads of it, 255 for all.
    InputError for an unknown label or layer.
    """
    model = session.checkpoint.model
    known = layers_of(model)
    if not isinstance(layer, str) or layer not in known:
        raise InputError(f"layer: found {quoted(layer)}, expected one of {', '.join(known)}")
    count = model.token_labels.tolist().count(label)
    if type(label) is not int or label < 0 or not count:
        raise InputError(f"label: found {quoted(label)}, expected one of this model's")
    frame, device = session.checkpoint.frame, model.token_labels.device
    picture, home = session.host
    image, labels = picture.tensors(frame, device)
    in_encoder = layer.startswith("encoder")
    if not in_encoder:
        labels = label_tensor(session.pose, frame, device)
    wanted = model.prepare(labels).present
    subject = None if session.subject is None else session.subject[1]
    styles, _ = mix(session.checkpoint, session.settings, home, subject, session.donors, wanted)
    found = attention_maps(model, image, labels, [layer], styles)[layer]
    weights = found.weights[0].float() * found.labels[0].eq(label).unsqueeze(-1)
    if in_encoder:
        largest = weights.amax((0, 1)).clamp(min=torch.finfo(weights.dtype).tiny)
        weights = weights / largest
    heat = (weights[..., :count] * 255).round().byte().permute(2, 0, 1)
    maps: NDArray[np.uint8] = heat.contiguous().cpu().numpy()
    return maps
