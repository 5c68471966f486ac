# SPDX-License-Identifier: Apache-2.0
"""Calls a user's function that makes a label map of a photograph."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from scam.data.labels import NUM_VALUES
from scam.data.source import Image, LabelMap
from scam.data.values import LabelValues
from scam.errors import InputError, first_line


def parsed_labels(
    function: Callable[[Image], Any], photo: Image, values: LabelValues, name: str
) -> LabelMap:
    """Labels int32 (H, W) of a photograph uint8 (H, W, 3), of which the function has a copy.

    InputError that begins with ``name`` if it raises, which is the error's cause, or returns
    something else than integers (H, W) that are values of label files.
    """
    try:
        made = function(photo.copy())
        made = np.asarray(made.detach().cpu() if isinstance(made, Tensor) else made)
    except Exception as error:
        raise InputError(f"{name}: {type(error).__name__}: {first_line(error)}") from error
    if made.shape != photo.shape[:2] or not np.issubdtype(made.dtype, np.integer):
        found = f"{made.dtype} {made.shape}"
        raise InputError(f"{name}: returned {found}, expected integers {photo.shape[:2]}")
    if made.min() < 0 or made.max() >= NUM_VALUES:
        found = f"{made.min()} .. {made.max()}"
        raise InputError(f"{name}: returned values {found}, expected 0 .. 65535")
    return values.labels_of(made, name)
