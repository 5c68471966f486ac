# SPDX-License-Identifier: Apache-2.0
"""Compile Triton kernels for GPUs that are not here, and read what came out.

Kernels are specialised as in production: the backend's own launches are compiled, not run, for
the strides, alignments and constants of the tensors (on the CPU) that it is called with.
"""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from scam.ops.backends import triton_launch

SHARED_LIMITS = {
    target: kilobytes * 1024
    for target, kilobytes in {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}.items()
}


REGISTERS = 65536
"""Of a multiprocessor, on every architecture from sm_80 on."""


@dataclass(frozen=True)
class Compiled:
    """One compiled variant of a kernel, and the grid and the keyword arguments of its launch."""

    kernel: str
    target: int
    warps: int
    registers: int
    stack: int
    local: int
    shared: int
    ptx: str
    cubin: bytes
    grid: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def products(self) -> int:
        """Tensor core instructions in the code."""
        return len(re.findall(r"\b(?:mma\.sync|wgmma\.mma_async|tcgen05\.mma)", self.ptx))

    @property
    def programs(self) -> int:
        """How many the registers of a multiprocessor are enough for; a thread gets multiples of 8.

        This is what a limit of registers protects, and what it may be said in: the numbers of
        registers differ between versions of Triton by a third.
        """
        return REGISTERS // (-(-self.registers // 8) * 8 * 32 * self.warps)

    @property
    def traps(self) -> int:
        return len(re.findall(r"\btrap;", self.ptx))


class _Absent:
    """A driver of a GPU that is not here."""

    launcher_cls: Any = None
    utils: Any = None

    def __init__(self, target: int, device: int) -> None:
        self.target, self.device = target, device

    def get_current_device(self) -> int:
        return self.device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.target, 32)


_FORGETFUL = mock.patch.object(triton_launch, "_remembers", return_value=False)


@contextlib.contextmanager
def compiling(target: int) -> Iterator[list[Compiled]]:
    """Launches inside compile for compute capability ``target`` / 10 and are not run.

    Yields:
        What was compiled, in order.
    """
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    found: list[Compiled] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        found.append(replace(_read(kernel, target), grid=grid, options=kwargs))
        return kernel

    absent = mock.patch.object(driver, "_active", _Absent(target, target))
    with absent, _FORGETFUL, mock.patch.object(JITFunction, "run", compile_only):
        yield found


@contextlib.contextmanager
def wanting(target: int) -> Iterator[set[str]]:
    """Launches inside neither compile nor run.

    Yields:
        What would be compiled: kernels with what they are specialised to.
    """
    from triton import knobs
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    found: set[str] = set()

    def note(*, key: Any, fn: Any, **_: Any) -> bool:
        found.add(f"{fn.module}.{fn.name}: {key}")
        return True

    def key_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        return run(self, *args, grid=grid, warmup=True, **kwargs)

    run = JITFunction.run
    absent = mock.patch.object(driver, "_active", _Absent(target, -1))
    hook = mock.patch.object(knobs.runtime, "jit_cache_hook", note)
    with absent, _FORGETFUL, hook, mock.patch.object(JITFunction, "run", key_only):
        yield found


@contextlib.contextmanager
def launching(target: int) -> Iterator[list[tuple[Any, ...]]]:
    """Launches inside get as far as the driver, and no further.

    Yields:
        What the driver would be handed, in order: the grid, a number of the compiled kernel, and
        all arguments of the kernel.
    """
    from triton.runtime.driver import driver

    found: list[tuple[Any, ...]] = []
    loaded = itertools.count(1)

    class Launcher:
        def __init__(self, source: Any, metadata: Any) -> None: ...

        def __call__(self, *given: Any) -> None:
            # x, y, z, stream, function, metadata of both kinds, two hooks
            found.append((given[:3], given[4], given[9:]))

    absent = _Absent(target, 0)
    absent.launcher_cls = Launcher
    absent.utils = mock.Mock(
        load_binary=lambda *_: (1, next(loaded), 32, 0, 1024),
        get_device_properties=lambda _: {"max_shared_mem": SHARED_LIMITS[target]},
    )
    present = mock.patch.object(torch.cuda, "current_device", return_value=0)
    known = mock.patch.object(triton_launch, "_known", {})
    remembers = mock.patch.object(triton_launch, "_remembers", return_value=True)
    with mock.patch.object(driver, "_active", absent), present, known, remembers:
        yield found


def compile_with(folder: Path, tests: str) -> None:
    """Run the usual tests of a file with the Triton in ``folder``; they must pass."""
    folder = folder.resolve()
    environment = {k: v for k, v in os.environ.items() if k != "SCAM_TEST_TRITON"}
    environment["PYTHONPATH"] = str(folder)
    script = (
        "import pytest, sys, triton; print(triton.__file__); sys.exit(pytest.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "-x", "-m", "not exhaustive", tests],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert str(folder) in done.stdout


def _read(kernel: Any, target: int) -> Compiled:
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        tool = knobs.nvidia.cuobjdump.path
        usage = subprocess.run(
            [tool, "-res-usage", str(cubin)], capture_output=True, text=True, check=True
        ).stdout
    numbers = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", usage)}
    return Compiled(
        kernel=kernel.metadata.name,
        target=target,
        warps=kernel.metadata.num_warps,
        registers=numbers["REG"],
        stack=numbers["STACK"],
        local=numbers["LOCAL"],
        shared=kernel.metadata.shared,
        ptx=kernel.asm["ptx"],
        cubin=kernel.asm["cubin"],
    )
