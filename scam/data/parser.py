# SPDX-License-Identifier: Apache-2.0
"""A user's function that makes a label map of a photograph: ``--parser MODULE:FUNCTION``."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scam.data.arrays import Image, LabelMap
from scam.data.labels import NUM_VALUES
from scam.data.values import LabelValues
from scam.errors import InputError, did_you_mean, first_line, type_of

FORM = "MODULE:FUNCTION"
HELP = (
    "makes the label map of a photograph: from uint8 (H, W, 3) to integers (H, W) as label files "
    "hold them; MODULE may be a file MODULE.py in this folder"
)


@dataclass(frozen=True)
class LabelParser:
    """From photographs to label maps. name: as the user gave it."""

    name: str
    function: Callable[[Image], Any]

    def __call__(self, photo: Image, values: LabelValues) -> LabelMap:
        """Labels int32 (H, W) of a photograph uint8 (H, W, 3), as :func:`parsed_labels`; what the
        function raises is printed, too.
        """
        try:
            return parsed_labels(self.function, photo, values, self.name)
        except InputError as error:
            if error.__cause__ is not None:  # the error has one line of it
                traceback.print_exception(error.__cause__)
            raise


def load_parser(name: str) -> LabelParser:
    """Import what ``MODULE:FUNCTION`` names. InputError if it cannot be, or is not a function."""
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise InputError(f"{{parser}}: expected {FORM}", parser=name)
    if module.endswith(".py") or "/" in module:
        wanted = f"{Path(module).stem}:{function}, with {Path(module).stem}.py in this folder"
        raise InputError(f"{{parser}}: expected {wanted}", parser=name)
    if not {"", os.getcwd()} & {*sys.path}:  # as in the console script
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a module raises
        message = f"{{parser}}: {type(error).__name__}: {first_line(error)}"
        if isinstance(error, AttributeError) and error.obj is (loaded := sys.modules.get(module)):
            message += did_you_mean(function, vars(loaded))
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            message += f"; start in the folder that holds {module.replace('.', '/')}.py"
        raise InputError(message, parser=name) from error
    if not callable(found):
        raise InputError(f"{{parser}}: is not a function, expected {FORM}", parser=name)
    return LabelParser(name, found)


def parsed_labels(
    function: Callable[[Image], Any], photo: Image, values: LabelValues, name: str
) -> LabelMap:
    """Labels int32 (H, W) of a photograph uint8 (H, W, 3), of which the function has a copy.

    InputError that begins with ``name`` if it raises, which is the error's cause, or returns
    something else than integers (H, W) that are values of label files.
    """
    try:
        returned = function(photo.copy())
        made = np.asarray(returned.detach().cpu() if isinstance(returned, Tensor) else returned)
    except Exception as error:
        raise InputError(f"{name}: {type(error).__name__}: {first_line(error)}") from error
    if made.shape != photo.shape[:2] or not np.issubdtype(made.dtype, np.integer):
        found = type_of(returned) if made.dtype == object else f"{made.dtype} {made.shape}"
        raise InputError(
            f"{name}: the function returned {found}, expected integers {photo.shape[:2]}"
        )
    if made.min() < 0 or made.max() >= NUM_VALUES:
        found = f"{made.min()} .. {made.max()}"
        raise InputError(f"{name}: the function returned values {found}, expected 0 .. 65535")
    return values.labels_of(made, name)
