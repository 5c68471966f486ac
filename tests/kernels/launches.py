# SPDX-License-Identifier: Apache-2.0
"""What a Triton backend launches."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scam.ops import attention_library, modulation_library, pyramid_library, sorting_library

INSIDE: dict[Any, Callable[..., Any]] = {
    attention_library.sca_fwd: attention_library._forward,
    attention_library.sca_bwd: attention_library._backward,
    modulation_library.modulation_fwd: modulation_library._forward,
    modulation_library.modulation_bwd: modulation_library._backward,
    sorting_library.sort_sides: sorting_library._sort_sides,
    sorting_library.sort_labels: sorting_library._sort_labels,
    sorting_library.lay_out: sorting_library._lay_out,
    pyramid_library.label_pyramid: pyramid_library._label_pyramid,
}
"""Our operators, and what each does: PyTorch does not look inside of them by itself."""


def recorded(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """MANY of every launch of ``backend`` from now on, False for kernels without it."""
    launched: list[bool] = []
    launch = backend.launch

    def record(kernel: Any, *args: Any, **options: Any) -> None:
        launched.append(options.get("MANY", False))
        launch(kernel, *args, **options)

    monkeypatch.setattr(backend, "launch", record)
    return launched


def noted(backends: Iterable[ModuleType], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that would be launched from now on; none is."""
    names: list[str] = []

    def note(kernel: Any, programs: int, *args: Any, **options: Any) -> None:
        if programs:
            names.append(kernel.fn.__name__)

    for backend in backends:
        monkeypatch.setattr(backend, "launch", note)
    return names


class Operations(TorchDispatchMode):
    """Names of PyTorch's own operations that launch something, in the operators ``inside`` too."""

    def __init__(self, inside: dict[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.inside = inside
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.inside:
            with self:
                return self.inside[func](*args, **(kwargs or {}))
        name, made = func.overloadpacket.__name__, func(*args, **(kwargs or {}))
        if isinstance(made, Tensor | tuple | list) and not (func.is_view or "empty" in name):
            self.names.append(name)
        return made
