# SPDX-License-Identifier: Apache-2.0
"""Edits with the same settings, of many images; each is encoded once while needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scam.data.arrays import LabelMap
from scam.editing.donors import Donor
from scam.editing.edit import Edited, Settings, edit
from scam.editing.encoded import encode, kind_of_latents
from scam.editing.pictures import Picture
from scam.editing.styles import Style
from scam.errors import InputError, leading, sized
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles
from scam.models.views import Role

Pose = Literal["background", "subject"] | Path
"""Whose label map to generate from, or the file it is in."""
_Encoded = dict[tuple[int, int, Role], tuple[Picture | Style, Styles]]


@dataclass
class Editor:
    """Applies the same settings and donors' shares to the images it is called with."""

    checkpoint: Checkpoint
    settings: Settings
    donors: Sequence[Donor] = ()
    pose: Pose = "background"
    _encoded: _Encoded = field(default_factory=dict, init=False)
    _pose_labels: LabelMap | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.pose, Path):
            with leading("pose_labels", self.pose):
                self._pose_labels = self.checkpoint.label_values.read(self.pose)

    @property
    def given_pose(self) -> LabelMap | None:
        """The label map of a file, if ``pose`` is one."""
        return self._pose_labels

    def pose_of(self, background: Picture, subject: Picture | Style | None) -> LabelMap:
        """The label map to generate from; InputError if none, or it cannot be pasted back."""
        if self.pose == "subject":
            if isinstance(subject, Picture):
                return subject.labels
            raise InputError("{pose}: expected an image as {:subject}", pose=self.pose)
        pose, own = self._pose_labels, background.labels
        if pose is None:
            return own
        if self.settings.feather is not None and pose.shape != own.shape:
            raise InputError(
                f"{{pose_labels}}: is {sized(pose.shape, order=False)}, expected the "
                f"background's {sized(own.shape)}",
                pose_labels=self.pose,
            )
        return pose

    def __call__(
        self,
        background: Picture,
        subject: Picture | Style | None,
        others: Sequence[Picture | Style],
    ) -> Edited:
        """Mix, generate, paste; ``others`` are the donors' images. See :func:`edit`."""
        # Images of the last edit are kept in memory; others are not.
        last, self._encoded = self._encoded, {}
        return edit(
            self.checkpoint,
            self.settings,
            (background, self._latents(background, last, self._role("background"))),
            None if subject is None else self._latents(subject, last, self._role("subject")),
            [
                (donor, self._latents(other, last, "donor"))
                for donor, other in zip(self.donors, others, strict=True)
            ],
            self.pose_of(background, subject),
            "" if subject is None else subject.name,
        )

    def _role(self, whose: Pose) -> Role:
        """Of an image whose label map is generated, or is not."""
        return "host" if self.pose == whose else "donor"

    def _latents(self, source: Picture | Style, last: _Encoded, role: Role) -> Styles:
        refine = self.settings.refine
        key = id(source), *kind_of_latents(refine, role)
        known = self._encoded.get(key) or last.get(key)
        latents = known[1] if known else encode(source, self.checkpoint, refine, role=role)
        # The source itself is kept too: its id is its own only while it lives.
        self._encoded[key] = source, latents
        return latents
