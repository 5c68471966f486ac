# SPDX-License-Identifier: Apache-2.0
"""A fresh interpreter: importing the op costs torch and nothing else."""

import subprocess
import sys

PROGRAM = """
import sys, torch
before = set(sys.modules)
libraries = set(torch.ops.loaded_libraries)
import scam.ops
new = set(sys.modules) - before
heavy = [m for m in new if m.split(".")[0] in ("triton", "torchvision", "numpy", "PIL")]
compiled = [m for m in new if m.startswith(("torch._dynamo", "torch._inductor"))]
backends = [m for m in new if m.startswith("scam.ops.backends.")]
assert not heavy + compiled + backends, (heavy, compiled, backends)
assert set(torch.ops.loaded_libraries) == libraries
"""


def test_importing_loads_no_kernels() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=600)
