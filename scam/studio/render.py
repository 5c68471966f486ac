# SPDX-License-Identifier: Apache-2.0
"""From a loaded session to pixels, by ``scam.editing``."""

from dataclasses import dataclass, replace

from scam.data.arrays import LabelMap
from scam.editing.donors import Donor
from scam.editing.edit import Edited, Settings, edit
from scam.editing.pictures import Picture
from scam.errors import SPELLING, shown
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles


@dataclass(frozen=True)
class Opened:
    """A session with its images, latents and label map loaded.

    donors: each change's share, and the latents it takes. givers: the images of those, None
    for the mean and for drawn latents.
    """

    checkpoint: Checkpoint
    settings: Settings
    host: tuple[Picture, Styles]
    subject: tuple[Picture, Styles] | None
    donors: tuple[tuple[Donor, Styles], ...]
    givers: tuple[Picture | None, ...]
    pose: LabelMap

    def edited(self, steps: int | None = None) -> Edited:
        """The edited image, or the strip of so many steps towards it; notes say who by name."""
        name, subject = "", None
        if self.subject is not None:
            name, subject = self.subject[0].name, self.subject[1]
        before = SPELLING.set(lambda _, value: shown(value))
        try:
            return edit(
                self.checkpoint,
                replace(self.settings, steps=steps),
                self.host,
                subject,
                self.donors,
                self.pose,
                name,
            )
        finally:
            SPELLING.reset(before)
