# SPDX-License-Identifier: Apache-2.0
"""Edits of one kind, of many pictures: encodes each once as long as it is needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scam.checkpoint import Checkpoint
from scam.data.source import LabelMap
from scam.editing.donors import Donor
from scam.editing.edit import Edited, Settings, edit
from scam.editing.naming import naming
from scam.editing.pictures import Picture
from scam.editing.sources import encode
from scam.editing.styles import Style
from scam.errors import InputError
from scam.models.latents import Latents

Pose = Literal["background", "subject"] | Path
"""Whose label map is painted, or the file it is in."""


@dataclass
class Editor:
    """Applies the same settings and donors' shares to whatever pictures it is called with."""

    checkpoint: Checkpoint
    settings: Settings
    donors: Sequence[Donor] = ()
    pose: Pose = "background"
    _encoded: dict[int, tuple[Picture | Style, Latents]] = field(default_factory=dict, init=False)
    _pose_labels: LabelMap | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.pose, Path):
            with naming(f"--pose-labels {self.pose}"):
                self._pose_labels = self.checkpoint.label_values.read(self.pose)

    @property
    def given_pose(self) -> LabelMap | None:
        """The label map of a file to paint, if ``pose`` is one."""
        return self._pose_labels

    def pose_of(self, background: Picture, subject: Picture | Style | None) -> LabelMap:
        """The label map to paint. InputError if there is none or it cannot be pasted back."""
        if self.pose == "subject":
            if isinstance(subject, Picture):
                return subject.labels
            raise InputError("--pose subject: expected a picture as --subject")
        pose, own = self._pose_labels, background.labels
        if pose is None:
            return own
        if self.settings.feather is not None and pose.shape != own.shape:
            raise InputError(
                f"--pose-labels {self.pose}: is {pose.shape[1]}x{pose.shape[0]}, expected "
                f"the {own.shape[1]}x{own.shape[0]} of the background"
            )
        return pose

    def __call__(
        self,
        background: Picture,
        subject: Picture | Style | None,
        others: Sequence[Picture | Style],
    ) -> Edited:
        """Mix, paint, paste; ``others`` are the donors' pictures. See :func:`edit`."""
        pictures = [background, *([] if subject is None else [subject]), *others]
        known, self._encoded = self._encoded, {}
        for picture in pictures:
            # Whoever was in the last edit too is at hand; nobody else is kept.
            fresh = id(picture) not in known
            latents = encode(picture, self.checkpoint) if fresh else known[id(picture)][1]
            self._encoded[id(picture)] = picture, latents
        codes = [self._encoded[id(picture)][1] for picture in pictures]
        given = codes[len(codes) - len(others) :]
        return edit(
            self.checkpoint,
            self.settings,
            (background, codes[0]),
            None if subject is None else codes[1],
            list(zip(self.donors, given, strict=True)),
            self.pose_of(background, subject),
            "--subject" if subject is None else f"--subject {subject.name}",
        )
