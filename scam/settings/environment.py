# SPDX-License-Identifier: Apache-2.0
"""The environment variables that users set: name, values, effect. Each is read once.

=================  ===================  =======================================================
SCAM_CHECK         0 (default), 1       look at label *values* too (waits for the device): a
                                        label >= ``num_labels`` of a layout becomes an error
SCAM_CPU_ISA       auto (default),      instruction set of the CPU kernels, which read it
                   plain, avx2, avx512  themselves; auto: the best the CPU has
SCAM_MAX_PIXELS    178956970 (default)  images of more pixels are refused: they may be made to
                                        fill the memory
SCAM_BUILD_CPU     auto (default), 1, 0 read by ``pip install``: build the CPU kernels if they can
                                        be built, always (else fail), never
SCAM_BUILD_CUDA    auto (default), 1, 0 likewise the CUDA kernels
=================  ===================  =======================================================
"""

import os
from functools import cache
from pathlib import Path

from scam.errors import InputError

_AVX2 = frozenset({"avx2", "fma"})
_NEEDS = {"avx2": _AVX2, "avx512": _AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl"}}
"""What the kernels of an instruction set need, as ``csrc/cpu/attention/driver.cpp`` asks."""


def _choice(name: str, allowed: tuple[str, ...], default: str) -> str:
    value = os.environ.get(name) or default
    if value not in allowed:
        raise InputError(f"environment variable {name}={value!r}: expected {' or '.join(allowed)}")
    return value


@cache
def check() -> bool:
    """Whether ``SCAM_CHECK=1`` asks for checks that read label values."""
    return _choice("SCAM_CHECK", ("0", "1"), "0") == "1"


def expect_valid() -> None:
    """InputError if a variable that commands obey has a value that it cannot have."""
    check()
    cpu_isa()


@cache
def cpu_isa() -> str:
    """The instruction set forced by ``SCAM_CPU_ISA``, or ``"auto"``. InputError without it."""
    isa = _choice("SCAM_CPU_ISA", ("auto", "plain", "avx2", "avx512"), "auto")
    has = cpu_flags()
    if lacking := has and _NEEDS.get(isa, frozenset()) - has:
        flags = ", ".join(sorted(lacking))
        message = f"this CPU lacks {flags}; expected auto or plain"
        raise InputError(f"environment variable SCAM_CPU_ISA={isa!r}: {message}")
    return isa


def cpu_flags() -> frozenset[str]:
    """What Linux says that the CPU can, such as ``"avx2"``; nothing where that is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


@cache
def max_pixels() -> int:
    """Pixels of the largest image that is read: ``SCAM_MAX_PIXELS``, or Pillow's own limit."""
    value = os.environ.get("SCAM_MAX_PIXELS") or str(2 * 1024**3 // 12)
    if not value.isascii() or not value.isdecimal() or not 0 < len(value) < 16 or not int(value):
        raise InputError(
            f"environment variable SCAM_MAX_PIXELS={value!r}: expected a number of pixels"
        )
    return int(value)
