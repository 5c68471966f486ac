# SPDX-License-Identifier: Apache-2.0
"""What a compiled graph takes as a constant."""

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant_when_compiled(function: _Function) -> _Function:
    """Let torch.compile run ``function`` instead of tracing it, and keep what it returns.

    For functions of plain constants that import modules, load a library or ask a device, none of
    which can be traced. It sets what ``torch.compiler.assume_constant_result`` sets; calling that
    would import the whole compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
