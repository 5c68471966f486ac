# SPDX-License-Identifier: Apache-2.0
"""The images that the server knows, by what they hold, and how they come in."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from scam.data.advice import briefly
from scam.data.pairs import read_pair
from scam.data.parser import LabelParser
from scam.data.picture import Upload, read_image
from scam.editing.encoded import digest, encode, kind_of_latents
from scam.editing.pictures import Picture
from scam.editing.sources import Folder
from scam.errors import InputError, quoted
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles
from scam.models.views import Role
from scam.studio.session import PictureData, from_base64
from scam.studio.work import Progress, silent

MOST_BYTES = 32 << 20
"""Of one uploaded file."""
MOST_PIXELS = 1 << 24
"""Of one image: twelve million is a telephone's, sixteen 4096x4096."""
_CACHE_BYTES = 1 << 30
_MOST_REFINED = 4
"""Numbers of steps for which latents of one image are kept."""


class GoneError(InputError):
    """The server does not know an image, or no more. id: its digest."""

    def __init__(self, id: str) -> None:
        unknown = "the server does not know it (any more); send it again"
        super().__init__(f"image {quoted(id)}: {unknown}")
        self.id = id


class Known:
    """An image, and its latents once they were asked for.

    kept: the latents by how many steps refined them and for which role, as many as
    :data:`_MOST_REFINED`, newest last.
    """

    def __init__(self, picture: Picture, checkpoint: Checkpoint) -> None:
        self.picture = picture
        self.kept: OrderedDict[tuple[int, Role], Styles] = OrderedDict()
        self._checkpoint = checkpoint

    def latents(
        self, refine: int = 0, progress: Progress = silent, *, role: Role = "alone"
    ) -> Styles:
        """See :meth:`scam.models.SynthesisModel.encode`."""
        key = kind_of_latents(refine, role)
        if key not in self.kept:
            tell = partial(progress, f"Refining the latents of {self.picture.name}")
            encoded = encode(self.picture, self._checkpoint, refine, role=role, progress=tell)
            self.kept[key] = encoded
        self.kept.move_to_end(key)
        while len(self.kept) > _MOST_REFINED:
            self.kept.popitem(last=False)
        return self.kept[key]

    @property
    def bytes(self) -> int:
        """That it occupies; latents are small."""
        return self.picture.photo.nbytes + self.picture.labels.nbytes


@dataclass
class Pictures:
    """Pictures by their digest, of at most ``limit`` bytes: the least recently used go first.

    examples: images of the checkpoint's data, None if it has none. For one thread at a time.
    """

    checkpoint: Checkpoint
    examples: Folder | None = None
    parser: LabelParser | None = None
    limit: int = _CACHE_BYTES

    def __post_init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()

    def add(self, given: PictureData) -> str:
        """Read an image; returns its digest. InputError if it cannot be used."""
        picture = self._example(given) if given.example is not None else self._upload(given)
        name = digest(picture)
        if name not in self._known:
            self._known[name] = Known(picture, self.checkpoint)
        self._known.move_to_end(name)
        while len(self._known) > 1 and sum(x.bytes for x in self._known.values()) > self.limit:
            self._known.popitem(last=False)
        return name

    def get(self, name: str, given: Mapping[str, PictureData] | None = None) -> Known:
        """The image of a digest; read from ``given`` where it is not known.

        GoneError if it is in neither; InputError if what is given has another digest.
        """
        if name not in self._known:
            if given is None or name not in given:
                raise GoneError(name)
            if (found := self.add(given[name])) != name:
                raise InputError(f"pictures[{quoted(name)}]: holds {found}, another image")
        self._known.move_to_end(name)
        return self._known[name]

    def _example(self, given: PictureData) -> Picture:
        if self.examples is None or given.example not in self.examples.stems:
            known = "none" if self.examples is None else ", ".join(self.examples.stems[:3])
            raise InputError(f"example {quoted(given.example)}: expected one of {known}, ...")
        found = self.examples.load(given.example)
        return Picture(found.photo, found.labels, given.name)

    def _upload(self, given: PictureData) -> Picture:
        photo = _file(given.name, "image", given.photo or "")
        if given.labels is not None:
            labels = _file(given.name, "label map", given.labels)
            with briefly():
                image, read = read_pair(photo, labels, self.checkpoint.label_values)
            return Picture(np.asarray(image), read, given.name)
        if self.parser is None:
            needed = "add one: only a page started with a parser makes label maps"
            raise InputError(f"{given.name}: has no label map; {needed}")
        pixels = np.asarray(read_image(photo)[0])
        return Picture(pixels, self.parser(pixels, self.checkpoint.label_values), given.name)


def _file(name: str, what: str, text: str) -> Upload:
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise InputError(f"{name} ({what}): is too large, expected {MOST_BYTES} bytes at most")
    try:
        return Upload(f"{name} ({what})", from_base64(text), MOST_PIXELS)
    except InputError as error:
        raise InputError(f"{name} ({what}): {error}") from None
