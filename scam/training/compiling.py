# SPDX-License-Identifier: Apache-2.0
"""What ``compile`` needs of the machine, and says where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from scam.errors import InputError

_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch")


@contextmanager
def compiler_failures_named(compiled: bool) -> Iterator[None]:
    """Raise InputError where ``torch.compile`` fails in the block, if anything is ``compiled``.

    A compiler runs in the first step: a missing C++ compiler, a cache that cannot be written, or
    a defect of PyTorch, shows only then.
    """
    try:
        yield
    except Exception as error:
        named = isinstance(error, OSError) or type(error).__module__.startswith(_COMPILER)
        if not compiled or not named:
            raise
        # The first line with words: torch begins with "backend='inductor' raised:".
        lines = [line.strip() for line in str(error).splitlines()]
        said = [line for line in lines if line and not line.endswith("raised:")]
        reason = said[0] if said else type(error).__name__
        failed = f"torch.compile of torch {torch.__version__} failed ({reason})"
        needs = "a C++ compiler on a CPU, Triton on a GPU, and a cache folder to write to"
        message = f"{failed}; it needs {needs}: fix that, or omit {{:compile}}"
        raise InputError(f"{{compile}}: {message}", compile=True) from error
