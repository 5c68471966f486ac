# SPDX-License-Identifier: Apache-2.0
"""Which backends work here, which is chosen, and why: what ``python -m scam.info`` says of ops."""

from collections.abc import Sequence

import torch

from scam.ops import dispatch
from scam.ops.preference import ordered, preference
from scam.ops.problem import (
    AFFINE,
    ATTENTION,
    MODULATION,
    Problem,
    capability_of,
    dtype_name,
    gpu_of,
)

OPS = (ATTENTION, MODULATION, AFFINE)
USUAL = {
    "cpu": (torch.float32,),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}
"""Dtypes that are computed in, by device."""


def summary(devices: Sequence[str]) -> list[str]:
    """A line for every op, device and backend, then one for every choice."""
    lines = []
    for op in OPS:
        lines += [f"backends of {op} (fp32)"]
        for device in devices:
            for name, why in dispatch.explain_problem(_problem(op, device, torch.float32)).items():
                detail = dispatch.describe(name) if not why else f"no: {', '.join(why)}"
                lines.append(f"  {name} on {device}: {detail}")
    kinds = [(device, dtype) for device in devices for dtype in USUAL[device]]
    lines += ["chosen by default"]
    return lines + [f"  {choice(_problem(op, *kind))}" for op in OPS for kind in kinds]


def choice(problem: Problem) -> str:
    """Which backend a problem is given to, and why."""
    serving = [name for name, why in dispatch.explain_problem(problem).items() if not why]
    name = ordered(tuple(serving), problem)[0]
    what = f"{problem.op}, {dtype_name(problem.dtype)} on {problem.device_type}: {name}"
    others = [other for other in serving if other not in (name, dispatch.REFERENCE)]
    if name == dispatch.REFERENCE:
        return f"{what}, as no kernels serve it"
    if not others:
        return f"{what}, the only one with kernels"
    found = preference(problem)
    if found is None or found.backend != name:
        return f"{what}, before {', '.join(others)}: nothing was compared"
    return f"{what}: {found.why}"


def _problem(op: str, device: str, dtype: torch.dtype) -> Problem:
    where = torch.empty(0, device=device).device
    return Problem(device, dtype, op=op, capability=capability_of(where), gpu=gpu_of(where))
