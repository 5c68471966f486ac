# SPDX-License-Identifier: Apache-2.0
"""What the server asks of whatever opens sessions: a model, or one image of scam.semia."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scam.editing.edit import Edited
from scam.editing.pictures import Picture
from scam.studio.session import PictureData, Session
from scam.studio.work import Progress


class OpenedSession(Protocol):
    """A session with its images and label map loaded."""

    def edited(self) -> Edited:
        """The image that the session asks for."""


class SessionOpener(Protocol):
    """Opens the sessions of one model; for one thread at a time."""

    @property
    def files(self) -> Mapping[str, Callable[[Any], bytes]]:
        """What a session becomes on a disk, by name: of what :meth:`__call__` returns, bytes."""

    def describe(self) -> dict[str, Any]:
        """The answer to ``GET /api/model``."""

    def add(self, given: PictureData) -> str:
        """Read an image; returns its ID. InputError if it cannot be used."""

    def picture(self, id: str) -> Picture:
        """An image that was added. GoneError if it is not known, or no more."""

    def attention(self, session: Any, label: object, layer: object) -> NDArray[np.uint8]:
        """Heat maps (k, h, w) of a label's latents. InputError for one that it does not have."""

    def __call__(self, session: Session, progress: Progress = ...) -> OpenedSession:
        """InputError for a session of another model, and for what this model does not have."""
