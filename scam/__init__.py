# SPDX-License-Identifier: Apache-2.0
"""Swap people between photographs and edit images by label map (SCAM, ECCV 2022)."""

import importlib
from typing import Any

from scam.version import __version__

__all__ = ["Scam", "__version__", "data", "editing", "load", "models", "nn", "ops"]

_HOMES = {"Scam": "scam.models", "load": "scam.training.loading"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: ``import scam`` alone loads neither torch nor kernels."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"scam.{name}")
    raise AttributeError(f"module 'scam' has no attribute {name!r}")
