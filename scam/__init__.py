# SPDX-License-Identifier: Apache-2.0
"""Swap people between photographs and edit images by label map (SCAM, ECCV 2022)."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from scam.commandline.start import names_command, prepare
from scam.version import __version__

if TYPE_CHECKING:
    from scam import data, editing, errors, evaluation, models, nn, ops, semia, synthesis
    from scam.data.save_picture import save_picture
    from scam.models import Scam
    from scam.models.checkpoint import load

# The first word is "-m" only while Python looks for the module that `python -m` names: torch is
# not imported yet then. The console script prepares by itself.
if sys.argv[:1] == ["-m"] and names_command(sys.orig_argv):
    prepare(script=False)

__all__ = [
    "Scam",
    "__version__",
    "data",
    "editing",
    "errors",
    "evaluation",
    "load",
    "models",
    "nn",
    "ops",
    "save_picture",
    "semia",
    "synthesis",
]

_HOMES = {
    "Scam": "scam.models",
    "load": "scam.models.checkpoint",
    "save_picture": "scam.data.save_picture",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: ``import scam`` alone loads neither torch nor kernels."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"scam.{name}")
    raise AttributeError(f"module 'scam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
