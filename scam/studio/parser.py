# SPDX-License-Identifier: Apache-2.0
"""``--parser MODULE:FUNCTION``: somebody's network that makes a label map of a photograph."""

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scam.data.labels import NUM_VALUES
from scam.data.source import LabelMap
from scam.data.values import LabelValues
from scam.editing.paste import Pixels
from scam.errors import InputError, first_line

_FORM = "MODULE:FUNCTION"


@dataclass(frozen=True)
class Parser:
    """From photographs to label maps. name: as the user gave it."""

    name: str
    function: Callable[[Pixels], Any]

    def __call__(self, photo: Pixels, values: LabelValues) -> LabelMap:
        """Labels int32 (H, W) of a photograph uint8 (H, W, 3).

        InputError if the function raises, or returns something else than integers (H, W) that
        are values of label files.
        """
        try:
            made = np.asarray(self.function(photo.copy()))
        except Exception as error:
            traceback.print_exc()
            raise InputError(
                f"{self.name}: {type(error).__name__}: {first_line(error)}"
            ) from error
        if made.shape != photo.shape[:2] or not np.issubdtype(made.dtype, np.integer):
            found = f"{made.dtype} {made.shape}"
            raise InputError(f"{self.name}: returned {found}, expected integers {photo.shape[:2]}")
        if made.min() < 0 or made.max() >= NUM_VALUES:
            found = f"{made.min()} .. {made.max()}"
            raise InputError(f"{self.name}: returned values {found}, expected 0 .. 65535")
        return values.labels_of(made, self.name)


def load_parser(name: str) -> Parser:
    """Import what ``MODULE:FUNCTION`` names. InputError if it cannot be, or is no function."""
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise InputError(f"{{parser}}: expected {_FORM}", parser=name)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a module raises
        message = f"{{parser}}: {type(error).__name__}: {first_line(error)}"
        raise InputError(message, parser=name) from error
    if not callable(found):
        raise InputError(f"{{parser}}: is no function, expected {_FORM}", parser=name)
    return Parser(name, found)
