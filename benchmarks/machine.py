# SPDX-License-Identifier: Apache-2.0
"""The machine a run was made on: what it is, and how fast it copies and multiplies."""

import ctypes
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from scam.ops.backends import cpu

ROOT = Path(__file__).resolve().parents[1]


def describe(device: torch.device) -> dict[str, Any]:
    """Facts for the record: processor, threads, load, versions, commit."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "kernels": _kernels(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "xformers": _version("xformers"),
        "scam": _version("scam"),
        "date": datetime.date.today().isoformat(),
        "device": device.type,
        **_commit(),
    }
    if device.type == "cuda":
        driver = _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "driver": driver.splitlines()[0] if driver else None,
        }
    return facts


def keep_freed_memory() -> None:
    """Have glibc give nothing below 32 MB back to the system, its largest bound: touching fresh
    outputs takes several times as long as computing them on some virtual machines."""
    if sys.platform != "linux":
        return
    trim_threshold, mmap_threshold = -1, -3  # of <malloc.h>
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(mmap_threshold, 1 << 25)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second, read plus written, of copying 64 MB (1 GB on a GPU); best of several."""
    count = (1 << 30 if device.type == "cuda" else 1 << 26) // 4
    source, target = torch.rand(count, device=device), torch.empty(count, device=device)
    return 8 * count / _best(lambda: target.copy_(source), device)


def multiply_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of PyTorch's matrix product; best of several."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device, dtype=dtype)
    b = torch.randn(side, side, device=device, dtype=dtype)
    out = torch.empty_like(a)
    return 2 * side**3 / _best(lambda: torch.mm(a, b, out=out), device)


def synchronise(device: torch.device) -> None:
    """Wait for everything queued on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(call: Any, device: torch.device, repeats: int = 7) -> float:
    times = []
    for _ in range(repeats + 1):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _kernels() -> str:
    try:
        return cpu.isa()
    except RuntimeError as error:
        return str(error)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    commit = _run("git", "-C", str(ROOT), "rev-parse", "HEAD")
    dirty = _run("git", "-C", str(ROOT), "status", "--porcelain")
    return {"commit": commit, "dirty": None if dirty is None else bool(dirty)}


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
