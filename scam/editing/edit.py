# SPDX-License-Identifier: Apache-2.0
"""One edit: the latents of a background picture, a subject and donors become pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scam.data.source import LabelMap
from scam.editing.donors import Donor
from scam.editing.latents import blend, fill, interpolate
from scam.editing.paste import Mask, Pixels, paste_back, touched_pixels
from scam.editing.pictures import Picture, label_tensor, nearest, resized, to_pixels
from scam.errors import InputError
from scam.models import Scam
from scam.models.latents import Latents
from scam.models.scam import Absent
from scam.training.loading import Checkpoint


@dataclass(frozen=True)
class Settings:
    """How to edit, whatever the pictures.

    scene: labels that a subject leaves to the background picture. absent: see
    :meth:`scam.models.Scam.transfer`. steps: pictures on the way from the background picture's own
    latents to the edited ones; None paints the latter only. feather: pixels of edge when pasting
    into the background photograph; None leaves the whole painted.
    """

    scene: tuple[int, ...] = (0,)
    absent: Absent = "background"
    steps: int | None = None
    feather: int | None = None


@dataclass(frozen=True)
class Edited:
    """image: the last step (1, 3, H, W) in [-1, 1]. pixels: what to save, steps side by side.

    notes: what had no effect, for people to read.
    """

    image: Tensor
    pixels: Pixels
    notes: tuple[str, ...]


def mix_donors(
    model: Scam,
    background: Latents,
    subject: Latents | None,
    donors: Sequence[tuple[Donor, Latents]],
    wanted: Tensor,
    settings: Settings,
) -> Latents:
    """The subject's latents in the background's, then each donor's share over what is there.

    wanted (1, L) bool: the labels that will be painted. What a donor lacks stays, or with
    ``absent="mean"`` comes from the model's mean latents, or is an InputError with ``"error"``.
    """
    known = Latents(model.mean_tokens[None], model.mean_known[None])
    own = background if subject is None else subject
    for donor, latents in donors:
        lacking = [label for label in donor.labels if not latents.present[0, label]]
        if lacking and settings.absent == "error":
            raise InputError(f"--donor {donor.text}: its picture lacks label {lacking[0]}")
        if settings.absent == "mean":
            latents = fill(latents, known, model.token_labels)
        own = blend(own, latents, donor.share, model.token_labels)
        background = blend(background, latents, donor.share, model.token_labels)
    # Alone, the background picture cannot lack what it is itself asked for, but a donor may.
    absent = "background" if subject is None and settings.absent == "error" else settings.absent
    return model.mix(own, background, wanted, background_labels=settings.scene, absent=absent)


@torch.no_grad()
def edit(
    checkpoint: Checkpoint,
    settings: Settings,
    background: tuple[Picture, Latents],
    subject: Latents | None,
    donors: Sequence[tuple[Donor, Latents]],
    pose: LabelMap,
) -> Edited:
    """Paint ``pose`` (any size) from mixed latents, and paste it back if the settings say so."""
    model = checkpoint.model
    picture, home = background
    labels = label_tensor(pose, model.config.size, home.tokens.device)
    wanted = model.pyramid(labels).present
    mixed = mix_donors(model, home, subject, donors, wanted, settings)
    way = mixed
    if settings.steps is not None:
        way = interpolate(home, mixed, settings.steps, model.token_labels)
    painted = [paint(model, labels, way[[step]]) for step in range(len(way))]
    frames = [to_pixels(image[0]) for image in painted]
    if settings.feather is not None:
        touched = _touched(picture.labels, pose, settings, subject is not None, donors)
        frames = [_pasted(picture.photo, frame, touched, settings.feather) for frame in frames]
    notes = _notes(checkpoint, donors, wanted, settings.absent)
    return Edited(painted[-1], np.concatenate(frames, axis=1), notes)


def paint(model: Scam, labels: Tensor, latents: Latents) -> Tensor:
    """Image (B, 3, H, W) of labels (B, H, W), the same each time even by the released networks."""
    noise = None
    if model.config.released:
        noise = torch.Generator(labels.device).manual_seed(0)
    return model.generate(labels, latents, noise)


def _touched(
    before: LabelMap,
    pose: LabelMap,
    settings: Settings,
    has_subject: bool,
    donors: Sequence[tuple[Donor, Latents]],
) -> Mask:
    """Pixels of the background photograph (H, W) that the edit may change."""
    after = nearest(pose, before.shape)
    given = {label for donor, _ in donors for label in donor.labels}
    if has_subject:
        return touched_pixels(before, after, set(settings.scene) - given)
    kept = {*np.unique(before).tolist(), *np.unique(after).tolist()} - given
    return touched_pixels(before, after, kept) | (before != after)


def _pasted(photo: Pixels, frame: Pixels, touched: Mask, feather: int) -> Pixels:
    height, width = touched.shape
    enlarged = resized(frame, (height, width), Image.Resampling.BICUBIC)
    return paste_back(photo, enlarged, touched, feather)


def _notes(
    checkpoint: Checkpoint,
    donors: Sequence[tuple[Donor, Latents]],
    wanted: Tensor,
    absent: Absent,
) -> tuple[str, ...]:
    known = checkpoint.model.mean_known
    notes = []
    for donor, latents in donors:
        for label in donor.labels:
            name = checkpoint.label_names[label]
            if not wanted[0, label]:
                notes.append(f"--donor {donor.text}: no {name} in the label map that is painted")
            elif not latents.present[0, label]:
                mean = absent == "mean" and bool(known[label])
                then = "the mean is taken" if mean else "it stays"
                notes.append(f"--donor {donor.text}: no {name} in its picture, {then}")
    return tuple(notes)
