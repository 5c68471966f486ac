# SPDX-License-Identifier: Apache-2.0
"""One edit: the latents of a background picture, a subject and donors become pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scam.data.fit import Frame, Placement
from scam.data.source import LabelMap
from scam.editing.donors import Donor
from scam.editing.latents import between, blend, interpolate
from scam.editing.paste import Mask, Pixels, paste_back, touched_pixels
from scam.editing.pictures import Picture, label_tensor, nearest, to_pixels
from scam.errors import NAMED, InputError, spelled
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import Absent, filled, labels_lacking
from scam.models.styles import Styles


@dataclass(frozen=True)
class Settings:
    """How to edit, whatever the pictures.

    scene: labels that a subject leaves to the background picture. absent: see
    :func:`scam.models.mixing.filled`. steps: pictures on the way from the background picture's
    own styles to the edited ones; None generates one. feather: pixels of edge when pasting into
    the background photograph; None leaves the whole generated. refine: steps that fit latents to
    the picture they are of. amount: how far the one picture is on the way, 0 .. 1.
    """

    scene: tuple[int, ...] = (0,)
    absent: Absent = "background"
    steps: int | None = None
    feather: int | None = None
    refine: int = 0
    amount: float = 1.0


@dataclass(frozen=True)
class Edited:
    """pixels: what to save, steps side by side. last: the last of them, (H, W, 3).

    notes: what had no effect, for people to read.
    """

    pixels: Pixels
    last: Pixels
    notes: tuple[str, ...]


def _with_donors(
    checkpoint: Checkpoint,
    own: Styles,
    donors: Sequence[tuple[Donor, Styles]],
    absent: Absent,
) -> Styles:
    """Each donor's share over what is there.

    What a donor lacks stays, or with ``absent="mean"`` comes from the model's mean latents, or is
    an InputError with ``"error"``.
    """
    model = checkpoint.model
    known = Styles(model.mean_tokens[None], model.mean_known[None])
    for donor, latents in donors:
        asked = torch.zeros_like(latents.present)
        asked[:, list(donor.labels)] = True
        lacking = _lacking(latents, asked, model.token_labels)
        if lacking and absent == "error":
            raise InputError(
                f"{{donor}}: its picture lacks {_listed(lacking, checkpoint)}", donor=donor.text
            )
        latents = filled(latents, asked, own, known, model.token_labels, absent)
        own = blend(own, latents, donor.share, model.token_labels)
    return own


@torch.no_grad()
def edit(
    checkpoint: Checkpoint,
    settings: Settings,
    background: tuple[Picture, Styles],
    subject: Styles | None,
    donors: Sequence[tuple[Donor, Styles]],
    pose: LabelMap,
    name: str = "",
) -> Edited:
    """Generate ``pose`` (any size) from mixed latents, and paste it back if the settings say so.

    Arguments as of :func:`mix`.
    """
    model = checkpoint.model
    picture, home = background
    labels = label_tensor(pose, checkpoint.frame, home.tokens.device)
    prepared = model.prepare(labels)
    way, notes = mix(checkpoint, settings, home, subject, donors, prepared.present, name)
    images = [
        model.generate(prepared, way[[step]], model.fixed_noise()) for step in range(len(way))
    ]
    frames = [to_pixels(image[0]) for image in images]
    if settings.feather is not None:
        place = checkpoint.frame.place(picture.labels.shape)
        after = _in_photograph(pose, picture.labels, checkpoint.frame)
        touched = _touched(picture.labels, after, settings, subject is not None, donors)
        notes += _beyond(touched, place) + _in_padding(labels[0].cpu().numpy(), place, settings)
        frames = [
            _pasted(picture.photo, frame, touched, settings.feather, place) for frame in frames
        ]
    return Edited(np.concatenate(frames, axis=1), frames[-1], notes)


@torch.no_grad()
def mix(
    checkpoint: Checkpoint,
    settings: Settings,
    home: Styles,
    subject: Styles | None,
    donors: Sequence[tuple[Donor, Styles]],
    wanted: Tensor,
    name: str = "",
) -> tuple[Styles, tuple[str, ...]]:
    """The latents to generate the labels ``wanted`` (1, L) bool from, and what to note.

    The subject's latents go into the background's, ``home``, then come the donors'. name: the
    subject's, for notes and errors. Returns those of each step, or one.
    """
    model = checkpoint.model
    own, back = (
        _with_donors(checkpoint, latents, donors, settings.absent)
        for latents in (home if subject is None else subject, home)
    )
    missing = _lacking(own, wanted, model.token_labels)
    missing = [label for label in missing if subject is not None and label not in settings.scene]
    if missing and settings.absent == "error":
        raise InputError(
            f"{{subject}}: the subject's picture lacks {_listed(missing, checkpoint)}, which the "
            "label map wants; expected {:absent} background or mean",
            subject=name or NAMED,
        )
    absent = "background" if settings.absent == "error" else settings.absent
    mixed = model.mix(own, back, wanted, background_labels=settings.scene, absent=absent)
    way = mixed
    if settings.steps is not None:
        way = interpolate(home, mixed, settings.steps, model.token_labels)
    elif settings.amount < 1:
        amount = home.tokens.new_tensor([settings.amount])
        way = between(home, mixed, amount, model.token_labels)
    notes = _notes(checkpoint, donors, wanted, settings.absent)
    who = spelled("{subject}", subject=name or NAMED)
    for label in missing:
        mean = absent == "mean" and bool(model.mean_known[label])
        then = "the mean" if mean else "the background picture's"
        notes.append(f"{who}: no {checkpoint.label_names[label]} in its picture, {then} is taken")
    return way, tuple(notes)


def _lacking(styles: Styles, wanted: Tensor, token_labels: Tensor) -> list[int]:
    found: list[int] = labels_lacking(styles, wanted, token_labels)[0].nonzero().flatten().tolist()
    return found


def _in_photograph(pose: LabelMap, before: LabelMap, frame: Frame) -> LabelMap:
    """The label map to generate where it comes to lie in the photograph of the map ``before``;
    there is nothing new beyond what the frame shows.
    """
    if pose.shape == before.shape or frame.fit == "squash":
        return nearest(pose, before.shape)
    place = frame.place(before.shape)
    after = before.copy()
    after[place.seen.slices] = place.enlarged_labels(frame.place(pose.shape).labels(pose))
    return after


def _beyond(touched: Mask, place: Placement) -> tuple[str, ...]:
    """What to note where the edit would go on beyond the part of the photograph that is seen."""
    beyond = int((touched & ~place.covered).sum())
    if not beyond:
        return ()
    share = f"{100 * beyond / int(touched.sum()):.2g} %"
    return (f"{share} of the pixels to edit are outside the part that the model sees: unchanged",)


def _in_padding(labels: LabelMap, place: Placement, settings: Settings) -> tuple[str, ...]:
    """What to note where some of the subject is generated (H, W) beside the photograph."""
    subject = ~np.isin(labels, settings.scene) & (labels >= 0)
    beside = subject.copy()
    beside[place.shown.slices] = False
    if not beside.any():
        return ()
    share = f"{100 * int(beside.sum()) / int(subject.sum()):.2g} %"
    return (f"{share} of the subject are in the padding around the photograph: cut off",)


def _touched(
    before: LabelMap,
    after: LabelMap,
    settings: Settings,
    has_subject: bool,
    donors: Sequence[tuple[Donor, Styles]],
) -> Mask:
    """Pixels of the background photograph (H, W) that the edit may change."""
    given = {label for donor, _ in donors for label in donor.labels}
    if has_subject:
        return touched_pixels(before, after, set(settings.scene) - given)
    kept = {*np.unique(before).tolist(), *np.unique(after).tolist()} - given
    return touched_pixels(before, after, kept) | (before != after)


def _pasted(photo: Pixels, frame: Pixels, touched: Mask, feather: int, place: Placement) -> Pixels:
    enlarged = photo.copy()
    enlarged[place.seen.slices] = place.enlarged(frame)
    return paste_back(photo, enlarged, touched, feather)


def _notes(
    checkpoint: Checkpoint,
    donors: Sequence[tuple[Donor, Styles]],
    wanted: Tensor,
    absent: Absent,
) -> list[str]:
    known = checkpoint.model.mean_known
    notes = []
    for donor, latents in donors:
        who = spelled("{donor}", donor=donor.text)
        for label in donor.labels:
            name = checkpoint.label_names[label]
            if not wanted[0, label]:
                notes.append(f"{who}: no {name} in the label map to generate from")
            elif not latents.present[0, label]:
                mean = absent == "mean" and bool(known[label])
                then = "the mean is taken" if mean else "it stays"
                notes.append(f"{who}: no {name} in its picture, {then}")
    return notes


def _listed(labels: Sequence[int], checkpoint: Checkpoint) -> str:
    numbers = ", ".join(map(str, labels))
    return f"label {numbers} ({', '.join(checkpoint.label_names[label] for label in labels)})"
