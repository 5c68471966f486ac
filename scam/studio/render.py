# SPDX-License-Identifier: Apache-2.0
"""From a session to pixels, by ``scam.editing``."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scam.data.source import LabelMap
from scam.editing.donors import Donor
from scam.editing.edit import Edited, Settings, edit
from scam.editing.latents import shares
from scam.editing.pictures import label_tensor
from scam.editing.styles import fingerprint
from scam.errors import SPELLING, InputError, shown, within
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles
from scam.studio.pictures import Known, Pictures
from scam.studio.session import NO_LABEL, Change, Session


@dataclass(frozen=True)
class Opened:
    """A session whose pictures and label map are at hand.

    donors: each change's share, and the latents it takes. givers: the pictures of those, None
    for the mean and for drawn latents.
    """

    checkpoint: Checkpoint
    settings: Settings
    host: Known
    subject: Known | None
    donors: tuple[tuple[Donor, Styles], ...]
    givers: tuple[Known | None, ...]
    pose: LabelMap

    def edited(self, steps: int | None = None) -> Edited:
        """The edited picture, or the strip of so many steps towards it; notes say who by name."""
        before = SPELLING.set(lambda _, value: shown(value))
        try:
            return edit(
                self.checkpoint,
                replace(self.settings, steps=steps),
                (self.host.picture, self.host.latents),
                None if self.subject is None else self.subject.latents,
                self.donors,
                self.pose,
                "" if self.subject is None else self.subject.picture.name,
            )
        finally:
            SPELLING.reset(before)


class Opener:
    """Opens sessions of one model."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.checkpoint = pictures.checkpoint
        self.model = fingerprint(self.checkpoint.model)
        if (count := len(self.checkpoint.label_names)) > NO_LABEL:
            raise InputError(
                f"{self.checkpoint.path}: has {count} labels, expected {NO_LABEL} at most: the "
                "page keeps a byte per pixel"
            )

    def __call__(self, session: Session) -> Opened:
        """InputError for a session of another model, and for what this model has not."""
        if session.model != self.model:
            raise InputError(
                f"model: the session is of the model {session.model}, expected this one, "
                f"{self.model}"
            )
        host = self.pictures.get(session.host, session.pictures)
        subject = None
        if session.subject is not None:
            subject = self.pictures.get(session.subject, session.pictures)
        count = len(self.checkpoint.label_names)
        for label in session.scene:
            if label >= count:
                raise InputError(f"scene: holds {label}, expected labels 0 .. {count - 1}")
        with within("map"):
            pose = session.map.unpack(host.picture.labels.shape, count)
        donors, givers = [], []
        for number, change in enumerate(session.styles):
            name = change.source.picture
            giver = None if name is None else self.pictures.get(name, session.pictures)
            with within(f"styles[{number}]"):
                latents = self._drawn(change, pose) if giver is None else giver.latents
                donors.append((self._donor(change, giver), latents))
            givers.append(giver)
        settings = Settings(
            session.scene, session.absent, feather=session.paste, amount=session.amount
        )
        return Opened(self.checkpoint, settings, host, subject, tuple(donors), tuple(givers), pose)

    def _drawn(self, change: Change, pose: LabelMap) -> Styles:
        model = self.checkpoint.model
        if change.source.mean:
            return Styles(model.mean_tokens[None], model.mean_known[None])
        device = model.token_labels.device
        labels = label_tensor(pose, model.config.size, device)
        generator = torch.Generator(device).manual_seed(change.source.random or 0)
        return model.random_styles(labels, generator)

    def _donor(self, change: Change, giver: Known | None) -> Donor:
        token_labels = self.checkpoint.model.token_labels
        share: Tensor = torch.zeros(len(token_labels), device=token_labels.device)
        for label in dict.fromkeys(change.labels):
            for latent in dict.fromkeys(change.latents or (None,)):
                share += shares(token_labels, label, latent, change.weight)
        words = tuple((self.checkpoint.label_names[label], (label,)) for label in change.labels)
        names = ", ".join(name for name, _ in words)
        whose = "the mean" if change.source.mean else "chance"
        name = whose if giver is None else giver.picture.name
        return Donor(f"{names} of {name}", change.labels, share, name, words)
