# SPDX-License-Identifier: Apache-2.0
"""What mixed precision (``amp``) means on the current device."""

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """Autocast dtype (None = float32 throughout), and one line that says why."""

    dtype: torch.dtype | None
    reason: str

    @property
    def scaled(self) -> bool:
        """fp16 gradients underflow without a loss scale."""
        return self.dtype is torch.float16

    def autocast(self, device: torch.device) -> torch.autocast:
        """A context for forward passes."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None)


def resolve_precision(amp: bool, device: torch.device) -> Precision:
    """bf16 where the hardware multiplies it, fp16 on older GPUs, else float32.

    A CPU without bf16 instructions only emulates 16-bit floats, many times slower than fp32.
    """
    if not amp:
        return Precision(None, "float32")
    if device.type == "cuda":
        if gpu_multiplies_bfloat16(device):
            return Precision(torch.bfloat16, "bfloat16")
        return Precision(torch.float16, "float16 with loss scaling (GPU older than sm_80)")
    if device.type == "cpu":
        for name in ("amx_bf16", "avx512_bf16"):
            if _cpu_capabilities().get(name) and not _limited_below_avx512():
                return Precision(torch.bfloat16, f"bfloat16 ({name})")
        return Precision(None, "float32, since this CPU has no bfloat16 instructions")
    return Precision(None, f"float32, since {device.type} is not tested with autocast")


def gpu_multiplies_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` is a GPU whose matrix products are fast in bfloat16."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _limited_below_avx512() -> bool:
    """Whether the environment keeps PyTorch or oneDNN from the instructions the CPU has."""
    onednn = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    allowed = onednn in ("ALL", "DEFAULT") or "BF16" in onednn or "AMX" in onednn
    return not allowed or not torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _cpu_capabilities() -> dict[str, object]:
    query = getattr(torch.cpu, "get_capabilities", None)
    return dict(query()) if query else {}
