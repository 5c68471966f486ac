# SPDX-License-Identifier: Apache-2.0
"""Compiles the CUDA kernels for the CPU and puts them in the place of ``scam._cuda``."""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from scam.ops import dispatch
from scam.ops.backends import cuda, cuda_call, cuda_modulation

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KERNELS = ROOT / "kernels"
FLAGS = ["-std=c++17", "-O1", "-g0", "-fPIC", "-fvisibility=hidden", "-Wno-unknown-pragmas"]
SANITIZE = "SCAM_SANITIZE_EMULATOR"  # 1: AddressSanitizer sees accesses beyond a tensor
if os.environ.get(SANITIZE) == "1":
    FLAGS += ["-fsanitize=address"]
ORDERS = (0, 1, 7)  # ascending, descending, shuffled


def compiler() -> list[str]:
    """The C++ compiler and its first arguments."""
    return shlex.split(os.environ.get("CXX", "c++"))


def sanitized() -> dict[str, str] | None:
    """The environment of a process whose emulator is sanitized, if the compiler can do that.

    The sanitizer has to be there first, and exceptions need the library that it looks for.
    """
    found = []
    for name in ("libasan.so", "libstdc++.so"):
        told = subprocess.run([*compiler(), f"-print-file-name={name}"], capture_output=True)
        found.append(told.stdout.decode().strip())
    if not all(Path(path).is_absolute() for path in found):
        return None
    own = {SANITIZE: "1", "LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": "detect_leaks=0"}
    return os.environ | own


def why_not() -> str | None:
    """What keeps the emulator from working here."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the emulator switches stacks in x86-64 assembly"
    if shutil.which(compiler()[0]) is None:
        return f"no C++ compiler ({compiler()[0]})"
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11 is not installed"
    if not KERNELS.is_dir():
        return "the kernels' sources are not here"
    return None


def _object(source: Path, headers: bytes, folder: Path, includes: list[Path]) -> str:
    """Compile one file, unless that was done before with the same contents."""
    flags = [*FLAGS, "-DSCAM_CUDA_MODULE=_cuda", *(f"-I{path}" for path in includes)]
    if source.name.startswith("pybind"):
        flags.append("-O0")
    told = " ".join([*compiler(), *flags]).encode()
    digest = hashlib.sha256(headers + told + source.read_bytes()).hexdigest()[:16]
    target = folder / f"{source.stem}-{digest}.o"
    if not target.exists():
        aside = folder / f"{target.name}.{os.getpid()}"
        command = [*compiler(), *flags, "-x", "c++", "-c", str(source), "-o", str(aside)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{source.name} does not compile:\n{done.stderr[:4000]}"
        aside.replace(target)
    return str(target)


@functools.cache
def _build() -> ModuleType:
    """The module ``_cuda`` of emulated kernels; objects are kept in the temporary folder."""
    import pybind11

    folder = Path(tempfile.gettempdir()) / f"scam-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    own = [HERE, KERNELS]
    includes = [*own, Path(pybind11.get_include()), Path(sysconfig.get_path("include"))]
    headers = sorted(path for root in own for path in root.rglob("*.*h"))
    contents = b"".join(path.read_bytes() for path in headers)
    params = (KERNELS / "sca_cuda/params.h").read_bytes()
    sources = [ROOT / "csrc/pybind_cuda.cpp", HERE / "collectives.cpp"]
    sources += sorted(KERNELS.glob("sca_cuda/*.cu"))
    with ThreadPoolExecutor(2) as pool:
        seen = [params if "pybind" in source.name else contents for source in sources]
        objects = list(pool.map(_object, sources, seen, repeat(folder), repeat(includes)))
    library = folder / f"_cuda.{os.getpid()}.so"
    subprocess.run([*compiler(), *FLAGS, "-shared", *objects, "-o", str(library)], check=True)
    spec = importlib.util.spec_from_file_location("_cuda", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = ctypes.CDLL(str(library))
    module.emulator_order = made.sca_emulator_order  # type: ignore[attr-defined]
    module.emulator_copies = made.sca_emulator_copies  # type: ignore[attr-defined]
    module.emulator_shared = made.sca_emulator_shared  # type: ignore[attr-defined]
    module.emulator_record = made.sca_emulator_record  # type: ignore[attr-defined]
    module.emulator_launches = made.sca_emulator_launches  # type: ignore[attr-defined]
    made.sca_emulator_launches.restype = ctypes.c_size_t
    library.unlink()
    return module


def set_order(order: int) -> None:
    """In which order the threads of a block, and blocks, run: one of ``ORDERS``."""
    _build().emulator_order(order)


def set_copies(early: bool) -> None:
    """Whether asynchronous copies arrive at once, or when they are waited for."""
    _build().emulator_copies(early)


def set_shared(kilobytes: int) -> None:
    """How much shared memory a block may have: 163 as on sm_80, 99 as on sm_86."""
    _build().emulator_shared(kilobytes)


class Launch(NamedTuple):
    """What a launcher asked for; ``shared`` in bytes."""

    blocks: int
    threads: int
    shared: int


@contextlib.contextmanager
def recording() -> Iterator[list[Launch]]:
    """Launches inside are not run; afterwards the list holds them, in order."""
    module, found = _build(), []
    module.emulator_record(True)
    try:
        yield found
        count = module.emulator_launches(None, 0)
        numbers = (ctypes.c_int64 * (3 * count))()
        module.emulator_launches(numbers, ctypes.c_size_t(count))
        found += [Launch(*numbers[i : i + 3]) for i in range(0, 3 * count, 3)]
    finally:
        module.emulator_record(False)


def emulate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Backend ``cuda`` for tensors on the CPU, on emulated kernels; skips where that cannot be."""
    why = why_not()
    if why:
        pytest.skip(why)
    module = _build()
    set_order(0)
    set_copies(early=False)
    set_shared(163)
    for user in (cuda, cuda_call, cuda_modulation):
        monkeypatch.setattr(user, "load", lambda: module)
    monkeypatch.setattr(cuda, "_why_not_here", lambda problem: None)
    monkeypatch.setattr(dispatch, "ORDER", ("cuda", dispatch.REFERENCE))
    dispatch._refusals.cache_clear()
    monkeypatch.setattr(dispatch, "_refusals", dispatch._refusals.__wrapped__)
    return module
