# SPDX-License-Identifier: Apache-2.0
"""One label map from its file: an index map, or an image whose colours are the labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scam.data.evenness import count_colours, inside, looks_like_labels
from scam.data.picture import opened, read_label_png
from scam.errors import InputError, counted
from scam.semia.pictures import read_picture
from scam.semia.quantise import quantise
from scam.semia.vocabulary import MOST_LABELS, Codes, Kind

_LEAST_OPACITY = 128
_MOST_STRANGE = 0.05
_FEW = 16  # values of an index map of which any may be thin


class NoLabelMapError(InputError):
    """An image that can be read and is not a label map."""


@dataclass(frozen=True, eq=False)
class LabelMap:
    """What a file holds. labels: int64 (H, W), places in ``values``, int32 (K,).

    notes: what was done to read it, a line each.
    """

    kind: Kind
    values: Codes
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def share(self, label: int) -> float:
        """Of the pixels."""
        return float(np.mean(self.labels == label))


def read_label_map(path: Path, kind: Kind | None = None, known: Codes | None = None) -> LabelMap:
    """Read the labels of a file.

    kind: what the values are; None: the indices of a grey or palette png, else colours. known:
    colours that are labels in any case, the first of the result's.
    InputError naming the file if it cannot be read or is animated, NoLabelMapError if it does not
    look like a label map.
    """
    if kind != "colour" and _is_index_map(path):
        return _read_indices(path, or_colours=kind is None)
    if kind == "index":
        raise InputError(
            f"{path}: is an image in colours, expected an index map (a grey or palette png), as "
            "the source's label map is one; `scam.semia train --as-colours` makes sources that "
            "take colours"
        )
    return _read_colours(path, known)


def _is_index_map(path: Path) -> bool:
    with opened(path) as (picture, file):
        if file.frames > 1:
            raise InputError(f"{path}: is animated ({file.frames} frames), expected a still image")
        return file.kind == "PNG" and picture.mode in ("1", "L", "P", "I", "I;16")


def _read_indices(path: Path, or_colours: bool) -> LabelMap:
    found = read_label_png(path)
    values, labels = np.unique(found, return_inverse=True)
    labels = labels.reshape(found.shape)
    thin = len(values) - len(np.unique(labels[inside(labels)]))
    if len(values) > MOST_LABELS or (len(values) > _FEW and thin > len(values) // 2):
        said = (
            f"{path}: holds {len(values)} values, {thin} of them without an area of their own, "
            "expected an index map with one value for each label"
        )
        if or_colours:
            raise NoLabelMapError(f"{said} ({{as_colours}} reads its colours)", as_colours=True)
        raise NoLabelMapError(said)
    return LabelMap("index", values.astype(np.int32), labels.astype(np.int64))


def _read_colours(path: Path, known: Codes | None) -> LabelMap:
    picture = read_picture(path)
    notes = list(picture.notes)
    opaque = np.ones(picture.rgb.shape[:2], np.bool_)
    if picture.opacity is not None:
        opaque = picture.opacity >= _LEAST_OPACITY
        if not opaque.any():
            raise InputError(f"{path}: is transparent everywhere, expected a label map")
        if not opaque.all():
            share = 100 * np.mean(~opaque)
            notes.append(
                f"{path}: {share:.3g} % transparent pixels take the label nearest to them"
            )
    if not looks_like_labels(picture.rgb, opaque):
        count = count_colours(picture.rgb, opaque)
        raise NoLabelMapError(
            f"{path}: looks like a photograph ({counted(count, 'colour')}, hardly an even area), "
            "expected a label map with one colour for each label"
        )
    found = quantise(picture.rgb, opaque, known)
    if len(found.colours) > MOST_LABELS:
        raise NoLabelMapError(
            f"{path}: holds {len(found.colours)} colours with areas of their own, "
            f"expected {MOST_LABELS} labels at most"
        )
    if found.strange > _MOST_STRANGE:
        raise NoLabelMapError(
            f"{path}: {100 * found.strange:.3g} % of the pixels have no label's colour and are at "
            f"no border, expected {100 * _MOST_STRANGE:.0f} % at most"
        )
    if found.lossy:
        notes.append(f"{path}: was compressed with losses or smoothed; colours are approximate")
    return LabelMap("colour", found.colours, found.labels, tuple(notes))
