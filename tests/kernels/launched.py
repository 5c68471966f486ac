# SPDX-License-Identifier: Apache-2.0
"""What the headline problems launch on sm_90, seen without a GPU.

Both backends run on CPU tensors: Triton's launches are compiled and not run (``aot.py``), those of
CUDA C++ are noted by the emulator and looked up in what nvcc compiles.
"""

import contextlib
import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "emulator"), str(HERE.parents[1])]
import aot  # noqa: E402
import harness  # noqa: E402
import sass  # noqa: E402

from benchmarks import cases, headline  # noqa: E402
from scam.ops import dispatch  # noqa: E402
from scam.ops.backends import triton_plan  # noqa: E402

TARGET = 90
NO_LAUNCH = re.compile(r"aten::(empty|new_empty|lift|detach|alias|promote_types)")
PASSES = ("forward", "backward")


@dataclass(frozen=True)
class Launched:
    """A launch: threads in warps, registers of a thread, shared memory of a block in bytes."""

    kernel: str
    blocks: int
    warps: int
    registers: int
    shared: int
    code: sass.Loop
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def warps_per_sm(self) -> int:
        """Limited by registers, shared memory (228 KB, 1 of them for the system), 64 warps."""
        by_registers = aot.REGISTERS // (-(-self.registers // 8) * 8 * 32 * self.warps)
        by_shared = 228 * 1024 // (self.shared + 1024)
        return min(by_registers, by_shared, 64 // self.warps, 32) * self.warps


@dataclass
class Pass:
    """Launches of ours in one pass, and how many operations of PyTorch compute beside them."""

    launches: list[Launched] = field(default_factory=list)
    others: int = 0


class _Computing(TorchDispatchMode):
    """Counts operations that are neither views nor allocations, inside of our operators too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "scam":
            with self:
                return func._op_dk(torch._C.DispatchKey.CPU, *args, **(kwargs or {}))
        if not func.is_view and not NO_LAUNCH.match(func._schema.name):
            self.count += 1
        return func(*args, **(kwargs or {}))


def why_not(backend: str) -> str | None:
    """What is missing here to see a backend's launches."""
    if tool("nvdisasm") is None:
        return "no nvdisasm, as triton carries it"
    if backend == "cuda":
        return harness.why_not() or (None if shutil.which("nvcc") else "no nvcc")
    return None


def tool(name: str) -> str | None:
    """The path of one of the programs that triton carries."""
    try:
        from triton import knobs
    except ImportError:
        return None
    path: str = getattr(knobs.nvidia, name).path
    return path


@contextlib.contextmanager
def drawn_as_on_a_gpu(case: headline.Case) -> Iterator[Any]:
    """The tensors of a case in a GPU's batch size and dtype: zeros on the CPU, drawn labels."""
    zeros = mock.patch.object(torch, "randn", lambda *shape, **_: torch.zeros(*shape))
    settings = {"cpu": cases.SETTINGS["cuda"]}
    with zeros, mock.patch.dict(cases.SETTINGS, settings):
        yield headline.draw(case, torch.device("cpu"))


def passes(case: headline.Case, drawn: Any, given: str, backend: str) -> dict[str, Pass]:
    """Forward and backward of a headline problem."""
    seen = {name: Pass() for name in PASSES}
    with pytest.MonkeyPatch.context() as patch:
        if backend == "cuda":
            harness.emulate(patch)
            harness.set_shared(227)
        patch.setattr(dispatch, "_refusals", lambda name, problem: ())
        patch.setattr(triton_plan, "available", lambda tensor: True, raising=False)
        one = headline.headline(case, drawn, given, backend)
        with _watched(seen["forward"], backend, _cuda_names(case, "forward")):
            out = one.run()
        gradient = torch.zeros_like(out)
        with _watched(seen["backward"], backend, _cuda_names(case, "backward")):
            torch.autograd.grad(out, one.leaves, gradient)
    return seen


@contextlib.contextmanager
def _watched(found: Pass, backend: str, names: list[str]) -> Iterator[None]:
    noting = harness.recording() if backend == "cuda" else contextlib.nullcontext([])
    with _Computing() as others, aot.compiling(TARGET) as compiled, noting as noted:
        yield
    found.others = others.count
    found.launches = [_of_triton(made) for made in compiled]
    if noted:
        found.launches += [_of_cuda(*pair) for pair in zip(names, noted, strict=True)]


def _of_triton(made: aot.Compiled) -> Launched:
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(made.cubin)
        (code,) = sass.disassembled(str(tool("nvdisasm")), cubin).values()
    sizes = made.registers, made.shared, code, made.options
    return Launched(made.kernel, made.grid[0], made.warps, *sizes)


def _cuda_names(case: headline.Case, step: str) -> list[str]:
    """What ``attention.cuh`` and ``modulation.cuh`` launch, in order, as mangled in cubins."""
    bf16 = "I13__nv_bfloat16"
    pack = "pack_tokens" + bf16
    if isinstance(case, cases.AttentionCase):
        if step == "forward":
            return [pack, f"pixels_read{bf16}Lb1"]
        return [pack, f"attention_gradients{bf16}Lb1ELb1", f"combine_gradients{bf16}Lb1"]
    if step == "forward":
        moments, finish = "moments_channels_first" + bf16, "finish_statistics" + bf16
        return [pack, moments, finish, f"modulate{bf16}Lb0"]
    sums = [f"combine_{what}{bf16}" for what in ("tokens", "images", "noise")]
    gradients, means = f"modulation_gradients{bf16}Lb0", f"subtract_means{bf16}Lb0"
    return [pack, gradients, *sums, means]


def _of_cuda(name: str, noted: harness.Launch) -> Launched:
    mangled = re.compile(rf"_ZN3sca\d+{name}E")
    (found,) = [key for key in cuda_code() if mangled.match(key)]
    code, registers = cuda_code()[found]
    kernel = name.partition("I13")[0]
    return Launched(kernel, noted.blocks, noted.threads // 32, registers, noted.shared, code)


@functools.cache
def cuda_code() -> dict[str, tuple[sass.Loop, int]]:
    """Mangled name -> code and registers of all CUDA kernels."""
    found: dict[str, tuple[sass.Loop, int]] = {}
    flags = ["-std=c++17", "-O3", "-cubin", "-lineinfo", f"-arch=sm_{TARGET}"]
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted(harness.KERNELS.glob("sca_cuda/*.cu"))
        cubins = [Path(folder) / f"{source.stem}.cubin" for source in sources]
        commands = [
            ["nvcc", *flags, f"-I{harness.KERNELS}", str(source), "-o", str(cubin)]
            for source, cubin in zip(sources, cubins, strict=True)
        ]
        with harness.ThreadPoolExecutor(2) as pool:
            for done in pool.map(lambda c: subprocess.run(c, capture_output=True), commands):
                done.check_returncode()
        for cubin in cubins:
            usage = [str(tool("cuobjdump")), "-res-usage", str(cubin)]
            told = subprocess.run(usage, capture_output=True, text=True, check=True).stdout
            registers = dict(re.findall(r"Function (\S+):\s*\n\s*REG:(\d+)", told))
            for name, code in sass.disassembled(str(tool("nvdisasm")), cubin).items():
                found[name] = code, int(registers[name])
    return found
