# SPDX-License-Identifier: Apache-2.0
"""Opens the sessions of one image under other label maps, by what ``scam.semia`` left."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from scam.checkpoints.weights import state_digest
from scam.data.arrays import LabelMap
from scam.data.convert import floating
from scam.data.sheet import draw_sheet
from scam.editing.edit import Edited
from scam.editing.encoded import digest
from scam.editing.paste import Pixels
from scam.editing.pictures import Picture
from scam.editing.transfers import SHEET_HEIGHT
from scam.errors import InputError, quoted, within
from scam.semia.analogy import Analogy, opened
from scam.semia.folder import Stored, read_folder
from scam.studio.files import png, saved
from scam.studio.pictures import GoneError
from scam.studio.session import PictureData, Session, expect_few_labels, expect_model
from scam.studio.work import Progress, silent

_MOST_RESULTS = 8
"""That are kept: a result takes seconds, and downloads are of one that is on the page."""


@dataclass(frozen=True)
class OpenedAnalogy:
    """A session's label map (h, w) at the working size, and how to generate under it."""

    stored: Stored
    pose: LabelMap
    generate: Callable[[], Pixels]

    def edited(self) -> Edited:
        """The image under the label map."""
        pixels = self.generate()
        return Edited(pixels, pixels, ())


class AnalogyOpener:
    """A :class:`scam.studio.interface.SessionOpener` of what a folder of ``scam.semia`` holds.

    InputError if it holds none, or more labels than the page has bytes for.
    """

    files: Mapping[str, Callable[[OpenedAnalogy], bytes]]

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.files = {"result.png": _result, "labels.png": _labels, "sheet.png": _sheet}
        self.stored = read_folder(folder)
        expect_few_labels(folder, len(self.stored.vocabulary))
        self.analogy = opened(self.stored, device)
        self.model = _fingerprint(self.stored, self.analogy)
        name = folder.resolve().name
        photo = self.stored.image.permute(1, 2, 0).contiguous().numpy()
        self._source = Picture(photo, self.stored.labels.numpy().astype(np.int32), name)
        self._id = digest(self._source)
        self._results: OrderedDict[bytes, Pixels] = OrderedDict()

    def describe(self) -> dict[str, Any]:
        """What the page has to know: one image, whose label map alone is edited."""
        height, width = self.stored.labels.shape
        vocabulary = self.stored.vocabulary
        labels = [
            {
                "id": label,
                "name": f"label {name}" if vocabulary.kind == "index" else name,
                "colour": "#{:02x}{:02x}{:02x}".format(*colour),
                "latents": 0,
                "mean": False,
            }
            for label, (name, colour) in enumerate(
                zip(
                    map(vocabulary.name, range(len(vocabulary))),
                    vocabulary.colours().tolist(),
                    strict=True,
                )
            )
        ]
        return {
            "title": self._source.name,
            "kind": f"semia, {self.stored.method}",
            "size": [height, width],
            "device": str(self.analogy.labels.device),
            "threads": torch.get_num_threads(),
            "model": self.model,
            "labels": labels,
            "styles_per_label": False,
            "draws_styles": False,
            "lends": False,
            "slow": True,
            "attention": False,
            "layers": [],
            "files": list(self.files),
            "parser": False,
            "examples": [self._source.name],
            "limits": {"bytes": 0, "pixels": 0},
        }

    def add(self, given: PictureData) -> str:
        """The source's digest. InputError for any other image."""
        if given.example != self._source.name:
            raise InputError(
                f"{given.name}: expected the example {quoted(self._source.name)}, the one image "
                "that can be generated here"
            )
        return self._id

    def picture(self, id: str) -> Picture:
        """The source. GoneError for any other image."""
        if id != self._id:
            raise GoneError(id)
        return self._source

    def attention(self, session: object, label: object, layer: object) -> NDArray[np.uint8]:
        """InputError: there are no latents."""
        raise InputError("layer: expected none, since one image has no latents")

    def __call__(self, session: Session, progress: Progress = silent) -> OpenedAnalogy:
        """InputError for a session of another source, or with anything but a label map in it.

        progress: of generating.
        """
        expect_model(session, self.model)
        self.picture(session.host)
        plain = Session(session.model, session.host, session.map)
        for name in ("subject", "styles", "amount", "paste", "refine"):
            if getattr(session, name) != getattr(plain, name):
                raise InputError(
                    f"{name}: found {quoted(getattr(session, name))}, expected "
                    f"{getattr(plain, name)!r}: one image has no latents to mix"
                )
        with within("map"):
            pose = session.map.unpack(self._source.labels.shape, len(self.stored.vocabulary))
            if (count := int((pose < 0).sum())) > 0:
                raise InputError(f"{count} pixels have no label, expected one for each")
        tell = partial(progress, "Generating")
        return OpenedAnalogy(self.stored, pose, lambda: self._generated(pose, tell))

    def _generated(self, pose: LabelMap, progress: Callable[[float], None]) -> Pixels:
        key = pose.tobytes()
        if key not in self._results:
            made = self.analogy.generate(torch.from_numpy(pose), progress)
            self._results[key] = made.permute(1, 2, 0).contiguous().cpu().numpy()
        self._results.move_to_end(key)
        while len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)
        return self._results[key]


def _fingerprint(stored: Stored, analogy: Analogy) -> str:
    """16 hexadecimal digits that change with source, settings and any weight."""
    state = {"image": stored.image, "labels": stored.labels}
    if analogy.network is not None:
        state |= {f"network.{name}": x for name, x in analogy.network.state_dict().items()}
    return state_digest(state, f"{stored.vocabulary.as_dict()} {stored.patches.as_dict()}")


def _result(session: OpenedAnalogy) -> bytes:
    return png(session.edited().pixels)


def _labels(session: OpenedAnalogy) -> bytes:
    """As the source's label map has them: values, or colours."""
    return saved(Image.fromarray(session.stored.vocabulary.as_image(session.pose)))


def _sheet(session: OpenedAnalogy) -> bytes:
    result = torch.from_numpy(session.edited().pixels).permute(2, 0, 1)
    columns = {
        "source": floating(session.stored.image)[None],
        "labels": session.stored.labels[None],
        "target": torch.from_numpy(session.pose)[None],
        "result": floating(result)[None],
    }
    return saved(draw_sheet(columns, min_height=SHEET_HEIGHT))
