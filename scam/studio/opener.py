# SPDX-License-Identifier: Apache-2.0
"""Opens the sessions of a trained model: images, latents and the label map that they name."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scam.data.arrays import LabelMap
from scam.editing.donors import Donor
from scam.editing.edit import Settings
from scam.editing.latents import shares
from scam.editing.pictures import Picture, label_tensor
from scam.editing.styles import fingerprint
from scam.errors import InputError, within
from scam.models.styles import Styles
from scam.models.views import Role
from scam.studio.attention import heat_maps
from scam.studio.files import FILES
from scam.studio.model import describe
from scam.studio.pictures import Pictures
from scam.studio.render import Opened
from scam.studio.session import Change, PictureData, Session, expect_few_labels, expect_model
from scam.studio.work import Progress, silent


class Opener:
    """A :class:`scam.studio.interface.SessionOpener` of a trained model."""

    files = FILES

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.checkpoint = pictures.checkpoint
        self.model = fingerprint(self.checkpoint.model)
        expect_few_labels(self.checkpoint.path, len(self.checkpoint.label_names))

    def describe(self) -> dict[str, Any]:
        """What the page has to know of the model."""
        return describe(self.pictures, self.model)

    def add(self, given: PictureData) -> str:
        """Read an image; returns its digest. InputError if it cannot be used."""
        return self.pictures.add(given)

    def picture(self, id: str) -> Picture:
        """An image that was added. GoneError if it is not known, or no more."""
        return self.pictures.get(id).picture

    def __call__(self, session: Session, progress: Progress = silent) -> Opened:
        """InputError for a session of another model, and for what this model does not have.

        progress: of refining latents that are not refined yet.
        """
        expect_model(session, self.model)
        names = [session.host, session.subject, *(x.source.picture for x in session.styles)]
        # All of them before the first is refined, so that one that is gone is said at once.
        known = {x: self.pictures.get(x, session.pictures) for x in names if x is not None}
        count = len(self.checkpoint.label_names)
        for label in session.scene:
            if label >= count:
                raise InputError(f"scene: holds {label}, expected labels 0 .. {count - 1}")
        with within("map"):
            pose = session.map.unpack(known[session.host].picture.labels.shape, count)

        def giver(name: str) -> tuple[Picture, Styles]:
            # The map is the host's own but for what is drawn.
            role: Role = "host" if name == session.host else "donor"
            return known[name].picture, known[name].latents(session.refine, progress, role=role)

        donors, givers = [], []
        for number, change in enumerate(session.styles):
            name = change.source.picture
            picture = None if name is None else known[name].picture
            with within(f"styles[{number}]"):
                donor = self._donor(change, picture)
                latents = self._drawn(change, pose) if name is None else giver(name)[1]
            donors.append((donor, latents))
            givers.append(picture)
        return Opened(
            self.checkpoint,
            Settings(session.scene, session.absent, feather=session.paste, amount=session.amount),
            giver(session.host),
            None if session.subject is None else giver(session.subject),
            tuple(donors),
            tuple(givers),
            pose,
        )

    def attention(self, session: Opened, label: object, layer: object) -> NDArray[np.uint8]:
        """See :func:`scam.studio.attention.heat_maps`."""
        return heat_maps(session, label, layer)

    def _drawn(self, change: Change, pose: LabelMap) -> Styles:
        model = self.checkpoint.model
        if change.source.mean:
            return Styles(model.mean_tokens[None], model.mean_known[None])
        device = model.token_labels.device
        labels = label_tensor(pose, self.checkpoint.frame, device)
        generator = torch.Generator(device).manual_seed(change.source.random or 0)
        return model.random_styles(labels, generator)

    def _donor(self, change: Change, giver: Picture | None) -> Donor:
        model = self.checkpoint.model
        share = torch.zeros(len(model.token_labels), device=model.token_labels.device)
        for label in dict.fromkeys(change.labels):
            for latent in dict.fromkeys(change.latents or (None,)):
                share += shares(model, label, latent, change.weight)
        words = tuple((self.checkpoint.label_names[label], (label,)) for label in change.labels)
        names = ", ".join(name for name, _ in words)
        whose = "the mean" if change.source.mean else "chance"
        name = whose if giver is None else giver.name
        return Donor(f"{names} of {name}", change.labels, share, name, words)
