# SPDX-License-Identifier: Apache-2.0
"""``--parser MODULE:FUNCTION``: a user's network that makes a label map of a photograph."""

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scam.data.parser import parsed_labels
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
            return parsed_labels(self.function, photo, values, self.name)
        except InputError as error:
            if error.__cause__ is not None:  # the page shows one line of it
                traceback.print_exception(error.__cause__)
            raise


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
