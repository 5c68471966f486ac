# SPDX-License-Identifier: Apache-2.0
"""A photograph and its label map, from wherever they are, as tensors of a model's size."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PIL_Image
from torch import Tensor

from scam.data.advice import no_index_map
from scam.data.arrays import Image, LabelMap, described
from scam.data.convert import from_uint8
from scam.data.fit import Frame
from scam.data.labels import NUM_VALUES
from scam.data.orientation import orientation
from scam.data.pairs import expect_equal_sizes
from scam.data.parser import parsed_labels
from scam.data.picture import INDEX_MODES, as_rgb, decoding, read_image, upright
from scam.data.values import LabelValues, count_values
from scam.errors import InputError, type_of
from scam.storage.files import checked_path

Photograph = str | os.PathLike[str] | PIL_Image.Image | Image | Tensor
"""A file, an image of PIL, an array uint8 RGB (H, W, 3), or a tensor uint8 (3, H, W)."""
LabelFile = str | os.PathLike[str] | PIL_Image.Image | NDArray[np.integer[Any]] | Tensor
"""An index map: a file, an image of PIL, or integers (H, W), below 0 for no label."""
Parse = Callable[[Image], Any]
"""From a photograph, uint8 RGB (H, W, 3), to integers (H, W) as label files hold them."""


class ImageAndLabels(NamedTuple):
    """An image (3, H, W) or (B, 3, H, W) in [-1, 1], its label map (H, W) or (B, H, W).

    Labels below 0 are none.
    """

    image: Tensor
    labels: Tensor


def open_picture(
    image: Photograph, labels: LabelFile | Parse | None, frame: Frame, values: LabelValues
) -> ImageAndLabels:
    """image float32 (3, H, W) and labels int32 (H, W) as ``frame`` shows them, on the CPU.

    labels: what label files hold, which ``values`` turns into labels; or a function that makes
    such a map of the upright photograph. The image is averaged down (antialiased bilinear), the
    map takes nearest pixels.

    Raises InputError for what cannot be read, a map of another size than the photograph, or
    with a value that is not a label.
    """
    if labels is None:
        raise InputError(
            "labels: none given; expected the photograph's label map (a path, a PIL image or "
            "integers (H, W)), or a parser: a function that makes one of the photograph"
        )
    photo, turned = read_photograph(image)
    label_map = _read_labels(labels, photo, values)
    names = [Path(x) if isinstance(x, str | os.PathLike) else word for x, word in (
        (image, "image"), (labels, "labels"),
    )]  # fmt: skip
    expect_equal_sizes(names[0], photo, turned, names[1], label_map)
    place = frame.place(label_map.shape)
    small = from_uint8(place.image(photo))
    return ImageAndLabels(small, torch.from_numpy(place.labels(label_map)))


def read_photograph(image: Any, name: str = "image") -> tuple[PIL_Image.Image, int]:
    """As :func:`~scam.data.picture.read_image`, of an image of PIL, an array or a tensor too."""
    if isinstance(image, str | os.PathLike):
        return read_image(checked_path(image, name))
    if isinstance(image, PIL_Image.Image):
        if image.mode == "F":
            raise InputError(f"{name} is a PIL image of mode F, floats: expected 8 or 16 bits")
        with decoding(name):
            turned = orientation(
                [x for x in [image.info.get("exif")] if isinstance(x, bytes)],
                [x for x in [image.info.get("xmp")] if isinstance(x, bytes)],
            )
            return as_rgb(upright(image, turned)), turned
    if isinstance(image, Tensor):
        if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != 3 or not image.numel():
            raise InputError(f"{name} is {described(image)}: expected uint8 (3, H, W)")
        return PIL_Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy()), 1
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(f"{name} is {described(image)}: expected uint8 (H, W, 3)")
        return PIL_Image.fromarray(np.ascontiguousarray(image)), 1
    raise InputError(
        f"{name} is {type_of(image)}: expected a path, a PIL image, an array uint8 (H, W, 3) "
        "or a tensor uint8 (3, H, W)"
    )


def index_map(labels: Any, name: str = "labels", *, more: str = "") -> NDArray[np.integer[Any]]:
    """Integers (H, W) of an image of PIL, an array or a tensor. InputError for anything else.

    more: what else the caller takes.
    """
    if isinstance(labels, PIL_Image.Image):
        with decoding(name):
            if labels.mode not in INDEX_MODES:
                raise InputError(f"{name}: {no_index_map(labels, 'PNG')}")
            return np.asarray(labels).astype(np.int32)
    given = labels
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if not isinstance(labels, np.ndarray):
        raise InputError(
            f"{name} is {type_of(labels)}: expected a PIL image or integers (H, W), an array or a "
            f"tensor{more}"
        )
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or not labels.size:
        raise InputError(f"{name} is {described(given)}: expected integers (H, W)")
    if labels.dtype == np.uint64:  # which wrap around as signed ones
        return np.minimum(labels, 1 << 62).astype(np.int64)
    return labels


def _read_labels(
    labels: LabelFile | Parse, photo: PIL_Image.Image, values: LabelValues
) -> LabelMap:
    if isinstance(labels, str | os.PathLike):
        return values.read(checked_path(labels, "labels"))
    if callable(labels):
        parser = getattr(labels, "__name__", type(labels).__name__)
        return parsed_labels(labels, np.array(photo), values, f"labels: {parser}")
    found = index_map(labels, more="; a path; or a function that makes them of the photograph")
    none = found < 0
    if (found >= NUM_VALUES).any():
        raise InputError(f"labels: {values.problem(count_values(found[~none]))}")
    known = values.labels_of(np.where(none, 0, found), "labels")
    return np.where(none, np.int32(-1), known)
