# SPDX-License-Identifier: Apache-2.0
"""Where the time and the memory of a training step go, module by module."""

from scam.profiling.memory import peak_allocated, peak_bytes, resident_bytes
from scam.profiling.modules import ModuleCost, Scopes, module_times, module_tree, saved_bytes
from scam.profiling.subject import build_step, draw_batch

__all__ = [
    "ModuleCost",
    "Scopes",
    "build_step",
    "draw_batch",
    "module_times",
    "module_tree",
    "peak_allocated",
    "peak_bytes",
    "resident_bytes",
    "saved_bytes",
]
