# SPDX-License-Identifier: Apache-2.0
"""An edit as JSON: what the page sends, what it saves, what ``--replay`` repeats."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scam.data.arrays import LabelMap
from scam.errors import InputError, quoted, sized, within
from scam.settings.fields import Checked, setting

FORMAT = "scam session 1"
NO_LABEL = 255
"""In a map of bytes. Labels are below it."""
MOST_CHANGES = 1000
MOST_STEPS = 1000
"""Of refinement: each takes two passes of the generator."""


@dataclass(frozen=True)
class PackedMap(Checked):
    """A label map: base64 of zlib of a byte per pixel, row by row, :data:`NO_LABEL` for none."""

    width: int = setting(least=1, most=1 << 20)
    height: int = setting(least=1, most=1 << 20)
    zlib: str = setting()

    def unpack(self, shape: tuple[int, int], num_labels: int) -> LabelMap:
        """int32 (H, W), -1 where there is no label.

        InputError unless it is of ``shape`` and holds labels below ``num_labels``; what does not
        fit is not inflated.
        """
        if (self.height, self.width) != shape:
            found = sized((self.height, self.width), order=False)
            raise InputError(f"is {found}, expected the host's {sized(shape)}")
        inflate, count = zlib.decompressobj(), self.width * self.height
        try:
            data = inflate.decompress(from_base64(self.zlib), count + 1)
        except (InputError, zlib.error) as error:
            raise InputError(f"zlib: expected base64 of zlib ({error})") from None
        if len(data) != count or not inflate.eof:
            found = "more" if len(data) > count else "less or is cut short"
            raise InputError(f"zlib: holds {found}, expected {count} bytes, one a pixel")
        labels = np.frombuffer(data, np.uint8).reshape(shape).astype(np.int32)
        labels[labels == NO_LABEL] = -1
        if (highest := int(labels.max())) >= num_labels:
            raise InputError(f"holds {highest}, expected labels 0 .. {num_labels - 1} or 255")
        return labels


@dataclass(frozen=True)
class Origin(Checked):
    """Whose latents a change takes: one of an image's, the mean's, those drawn from a seed."""

    picture: str | None = None
    mean: bool = False
    random: int | None = setting(None, least=0, below=1 << 63)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.picture is not None) + self.mean + (self.random is not None) != 1:
            raise InputError('expected one of {"picture": ID}, {"mean": true}, {"random": SEED}')


@dataclass(frozen=True)
class Change(Checked):
    """Other latents for some labels, or for the latents of these numbers in each of them."""

    labels: tuple[int, ...] = setting(least=0, below=NO_LABEL)
    source: Origin = setting()
    latents: tuple[int, ...] | None = setting(None, least=0, below=1 << 16)
    weight: float = setting(1.0, least=0, most=1)

    @classmethod
    def read(cls, value: object) -> "Change":
        """From JSON, where ``source`` is called ``from``."""
        given = _named(value, "labels", "latents", "from", "weight")
        if "from" not in given:
            raise InputError("from is missing")
        with within("from"):
            source = Origin.from_dict(given.pop("from"))
        change = cls.from_dict({**given, "source": source})
        if not change.labels or change.latents == ():
            raise InputError("labels, latents: expected at least one")
        return change


@dataclass(frozen=True)
class PictureData(Checked):
    """An image as JSON has it: of the data set by name, or base64 of files as they were given.

    labels: None where the parser makes the label map.
    """

    name: str = setting()
    example: str | None = None
    photo: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < len(self.name) < 256:
            raise InputError("{name}: expected 1 to 255 characters", name=self.name)
        if (self.example is None) == (self.photo is None):
            raise InputError("expected example or photo, one of them")
        if self.example is not None and self.labels is not None:
            raise InputError("labels: expected none, since an example has its own")


@dataclass(frozen=True)
class Session(Checked):
    """An edit of the photograph ``host``, in the order in which it is done.

    ``map`` is what is generated, with the latents of ``host``; over them go those of ``subject``
    for all labels but ``scene``, then ``styles``, later ones over earlier ones. ``amount`` is how
    far to go from the host's own latents; ``paste`` pastes the result into the photograph with an
    edge of so many pixels. The latents of each image are fitted to it in ``refine`` steps.
    Images have the names that ``scam.editing.encoded.digest`` gives.
    threads: of the server that the page downloaded the session from; None if it is not known.
    model: :func:`scam.editing.styles.fingerprint`.
    """

    model: str = setting()
    host: str = setting()
    map: PackedMap = setting()
    label_names: tuple[str, ...] = ()
    pictures: dict[str, PictureData] | None = None
    subject: str | None = None
    scene: tuple[int, ...] = setting((0,), least=0, below=NO_LABEL)
    absent: Literal["related", "background", "mean"] = "related"
    styles: tuple[Change, ...] = ()
    amount: float = setting(1.0, least=0, most=1)
    paste: int | None = setting(None, least=0, most=256)
    refine: int = setting(0, least=0, most=MOST_STEPS)
    threads: int | None = setting(None, least=1)

    @classmethod
    def read(cls, value: object) -> "Session":
        """From JSON. InputError names the field, the value and what was expected."""
        given = _named(value, "format", *cls.settings())
        if (found := given.pop("format", None)) != FORMAT:
            raise InputError(f"format: found {quoted(found)}, expected {FORMAT!r}")
        if "map" in given:
            with within("map"):
                given["map"] = PackedMap.from_dict(given["map"])
        if "styles" in given:
            given["styles"] = _changes(given["styles"])
        if given.get("pictures") is not None:
            given["pictures"] = _pictures(given["pictures"])
        return cls.from_dict(given)


def expect_few_labels(place: Path, count: int) -> None:
    """InputError for more labels than a byte tells apart beside :data:`NO_LABEL`."""
    if count > NO_LABEL:
        raise InputError(
            f"{place}: has {count} labels, expected {NO_LABEL} at most: the page keeps a byte per "
            "pixel"
        )


def expect_model(session: Session, model: str) -> None:
    """InputError for a session of another model than that of this fingerprint."""
    if session.model != model:
        raise InputError(
            f"model: the session is of the model {session.model}, expected this one, {model}; "
            "open it with the model that it was made with"
        )


def from_base64(text: str) -> bytes:
    """The bytes that ``text`` stands for; InputError if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("expected base64") from None


def _named(value: object, *names: str) -> dict[str, Any]:
    """A copy of a JSON object. InputError for anything else, or another name."""
    if not isinstance(value, Mapping):
        raise InputError(f"found {quoted(value)}, expected an object")
    for name in value:
        if name not in names:
            raise InputError(f"{quoted(name)} is not one of {', '.join(names)}")
    return dict(value)


def _changes(value: object) -> tuple[Change, ...]:
    if not isinstance(value, list) or len(value) > MOST_CHANGES:
        raise InputError(f"styles: expected a list of {MOST_CHANGES} at most")
    found = []
    for number, change in enumerate(value):
        with within(f"styles[{number}]"):
            found.append(Change.read(change))
    return tuple(found)


def _pictures(value: object) -> dict[str, PictureData]:
    if not isinstance(value, Mapping):
        raise InputError(f"pictures: found {quoted(value)}, expected images by their digests")
    found = {}
    for name, picture in value.items():
        with within(f"pictures[{quoted(name)}]"):
            found[name] = PictureData.from_dict(picture)
    return found
