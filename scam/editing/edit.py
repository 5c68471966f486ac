# SPDX-License-Identifier: Apache-2.0
"""One edit: the latents of a background image, a subject and donors become images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scam.data.arrays import LabelMap
from scam.data.fit import Frame, Placement
from scam.editing.donors import Donor
from scam.editing.latents import between, blend, interpolate
from scam.editing.outcomes import Outcome, outcomes
from scam.editing.paste import (
    Labels,
    Mask,
    Pixels,
    enlarge_by_labels,
    paste_back,
    spread_labels,
    touched_pixels,
)
from scam.editing.pictures import Picture, label_tensor, nearest, to_pixels
from scam.errors import NAMED, InputError, percent, spelled
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import Absent, filled, labels_lacking
from scam.models.styles import Styles


@dataclass(frozen=True)
class Settings:
    """How to edit, whatever the images.

    scene: labels that a subject leaves to the background image. absent: see
    :data:`scam.models.mixing.Absent`. steps: images on the way from the background image's
    own styles to the edited ones; None generates one. feather: pixels of edge when pasting into
    the background photograph; None: no pasting. refine: steps of fitting latents to
    their image. amount: position of the one image from the former to the latter, 0 .. 1.
    """

    scene: tuple[int, ...] = (0,)
    absent: Absent = "related"
    steps: int | None = None
    feather: int | None = None
    refine: int = 0
    amount: float = 1.0


@dataclass(frozen=True)
class Edited:
    """pixels: what to save, steps side by side. last: the last of them, (H, W, 3).

    outcomes: what each group of labels was given.
    """

    pixels: Pixels
    last: Pixels
    outcomes: tuple[Outcome, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What did not come from its own source, one readable line per group."""
        return tuple(str(outcome) for outcome in self.outcomes if outcome.how)


def _with_donors(
    checkpoint: Checkpoint,
    own: Styles,
    donors: Sequence[tuple[Donor, Styles]],
    wanted: Tensor,
    absent: Absent,
) -> Styles:
    """Each donor's share over what is there.

    What a donor lacks of the labels ``wanted`` comes from where ``absent`` says, or stays;
    InputError with ``"error"``.
    """
    model = checkpoint.model
    for donor, latents in donors:
        asked = _asked(donor, wanted)
        lacking = _lacking(latents, asked, model.token_labels)
        if lacking and absent == "error":
            raise InputError(
                f"{{donor}}: its image lacks {_listed(lacking, checkpoint)}", donor=donor.text
            )
        latents = filled(model, latents, asked, own, absent)
        own = blend(own, latents, donor.share, model)
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
    way, found = mix(checkpoint, settings, home, subject, donors, prepared.present, name)
    if subject is not None:
        found = _of_subject(name, picture.name, prepared.present, settings) + found
    images = [
        model.generate(prepared, way[[step]], model.fixed_noise()) for step in range(len(way))
    ]
    frames = [to_pixels(image[0]) for image in images]
    if (feather := settings.feather) is not None:
        place = checkpoint.frame.place(picture.labels.shape)
        after = _in_photograph(pose, picture.labels, checkpoint.frame)
        touched = _touched(picture.labels, after, settings, subject is not None, donors)
        small, around = labels[0].cpu().numpy(), spread_labels(after, touched, feather + 1)
        found += _beyond(touched, place) + _in_padding(small, place, settings)
        whole = [_enlarged(picture.photo, frame, small, around, place) for frame in frames]
        frames = [paste_back(picture.photo, frame, touched, feather) for frame in whole]
    return Edited(np.concatenate(frames, axis=1), frames[-1], found)


@torch.no_grad()
def mix(
    checkpoint: Checkpoint,
    settings: Settings,
    home: Styles,
    subject: Styles | None,
    donors: Sequence[tuple[Donor, Styles]],
    wanted: Tensor,
    name: str = "",
) -> tuple[Styles, tuple[Outcome, ...]]:
    """The latents to generate the labels ``wanted`` (1, L) bool from, and what they are.

    The subject's latents go into the background's, ``home``, then come the donors'. name: the
    subject's, for notes and errors. Returns those of each step, or one.
    """
    model = checkpoint.model
    own, back = (
        _with_donors(checkpoint, latents, donors, wanted, settings.absent)
        for latents in (home if subject is None else subject, home)
    )
    subjects = wanted.clone()
    subjects[:, list(settings.scene)] = False
    missing = _lacking(own, subjects, model.token_labels)
    if missing and subject is not None and settings.absent == "error":
        raise InputError(
            f"{{subject}}: the subject's image lacks {_listed(missing, checkpoint)}, which the "
            "label map needs; expected {:absent} related, background or mean",
            subject=name or NAMED,
        )
    absent = "background" if settings.absent == "error" else settings.absent
    mixed = model.mix(own, back, wanted, background_labels=settings.scene, absent=absent)
    way = mixed
    if settings.steps is not None:
        way = interpolate(home, mixed, settings.steps, model)
    elif settings.amount < 1:
        amount = home.tokens.new_tensor([settings.amount])
        way = between(home, mixed, amount, model)
    given = torch.zeros_like(wanted)
    found: list[Outcome] = []
    for donor, latents in donors:
        given[:, list(donor.labels)] = True
        found += _of_donor(checkpoint, donor, latents, wanted, absent)
    others = wanted
    if subject is not None:
        others = wanted & ~subjects
        who = spelled("{:subject}"), spelled("{subject}", subject=name or NAMED)
        asked = subjects & ~(given & own.present)
        found += outcomes(checkpoint, who, own, asked, absent, "from the background image")
    who = (spelled("{:background}"),) * 2
    lacking = labels_lacking(back, others, model.token_labels)
    found += outcomes(checkpoint, who, back, lacking, absent, "unknown")
    return way, tuple(found)


def _lacking(styles: Styles, wanted: Tensor, token_labels: Tensor) -> list[int]:
    found: list[int] = labels_lacking(styles, wanted, token_labels)[0].nonzero().flatten().tolist()
    return found


def _in_photograph(pose: LabelMap, before: LabelMap, frame: Frame) -> LabelMap:
    """The label map to generate, placed in the photograph of the map ``before``;
    there is nothing new beyond what the frame shows.
    """
    if pose.shape == before.shape or frame.fit == "squash":
        return nearest(pose, before.shape)
    place = frame.place(before.shape)
    after = before.copy()
    after[place.seen.slices] = place.enlarged_labels(frame.place(pose.shape).labels(pose))
    return after


def _beyond(touched: Mask, place: Placement) -> tuple[Outcome, ...]:
    """What to note where the edit would extend beyond the part that the model sees."""
    beyond = int((touched & ~place.covered).sum())
    if not beyond:
        return ()
    who = "pixels to edit"
    share = f"{percent(beyond, int(touched.sum()))} of the {who}"
    return (Outcome(who, share, "", ("outside the part that the model sees, unchanged",)),)


def _in_padding(labels: LabelMap, place: Placement, settings: Settings) -> tuple[Outcome, ...]:
    """What to note where some of the subject is generated (H, W) beside the photograph."""
    subject = ~np.isin(labels, settings.scene) & (labels >= 0)
    beside = subject.copy()
    beside[place.shown.slices] = False
    if not beside.any():
        return ()
    share = f"{percent(int(beside.sum()), int(subject.sum()))} of the subject"
    return (Outcome("subject", share, "", ("in the padding around the photograph, cut off",)),)


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


def _enlarged(
    photo: Pixels, frame: Pixels, small: Labels, around: Labels, place: Placement
) -> Pixels:
    """The photograph with what the ``frame``, generated from the map ``small``, shows of it."""
    whole, shown, seen = photo.copy(), place.shown.slices, place.seen.slices
    whole[seen] = enlarge_by_labels(frame[shown], small[shown], around[seen])
    return whole


def _of_subject(
    name: str, background: str, wanted: Tensor, settings: Settings
) -> tuple[Outcome, ...]:
    """What to note where none of the labels ``wanted`` (1, L) are a subject's."""
    if set(wanted[0].nonzero().flatten().tolist()) - set(settings.scene):
        return ()
    who = spelled("{subject} in {background}", subject=name or NAMED, background=background)
    vain = "unused (only background labels in the label map to generate from)"
    return (Outcome(spelled("{:subject}"), who, "", (vain,)),)


def _of_donor(
    checkpoint: Checkpoint, donor: Donor, latents: Styles, wanted: Tensor, absent: Absent
) -> list[Outcome]:
    """What its labels were given, and which of those asked for it lacks."""
    who = spelled("{donor}", donor=donor.text)
    useless = [word for word, labels in donor.words if not wanted[0, list(labels)].any()]
    found = []
    if useless:
        vain = f"no {', '.join(useless)} in the label map to generate from"
        found.append(Outcome(who, who, "", (vain,)))
    asked = _asked(donor, wanted)
    return found + outcomes(checkpoint, (who, who), latents, asked, absent, "unchanged")


def _asked(donor: Donor, wanted: Tensor) -> Tensor:
    """Those of the labels ``wanted`` (1, L) that the donor is to give."""
    asked = torch.zeros_like(wanted)
    asked[:, list(donor.labels)] = True
    return asked & wanted


def _listed(labels: Sequence[int], checkpoint: Checkpoint) -> str:
    numbers = ", ".join(map(str, labels))
    return f"label {numbers} ({', '.join(checkpoint.label_names[label] for label in labels)})"
