# SPDX-License-Identifier: Apache-2.0
"""Which of a Triton backend's launches are for labels of many items."""

from types import ModuleType
from typing import Any

import pytest


def recorded(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """MANY of every launch of ``backend`` from now on, False for kernels without it."""
    launched: list[bool] = []
    launch = backend.launch

    def record(kernel: Any, *args: Any, **options: Any) -> None:
        launched.append(options.get("MANY", False))
        launch(kernel, *args, **options)

    monkeypatch.setattr(backend, "launch", record)
    return launched
