# SPDX-License-Identifier: Apache-2.0
"""The C++ kernels in ``csrc/cpu``: fp64, fp32 and bf16 on x86-64.

They sort the labels themselves, a small part of the work on a CPU: a layout is accepted and adds
nothing. First order gradients only.
"""

import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from scam.ops.affine_call import AffineCall
from scam.ops.attention_call import AttentionCall
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import Problem, dtype_name

name = "cpu"

DTYPES = (torch.float64, torch.float32, torch.bfloat16)
HOW_TO_BUILD = (
    "not built: with a C++ compiler and torch >= 2.10 installed, run "
    "`pip install --no-build-isolation -e .` in a checkout of scam"
)


@cache
def _why_not_loaded() -> str | None:
    """Load the library once; say what is wrong if that fails."""
    libraries = sorted(Path(__file__).resolve().parents[2].glob("_C*.so"))
    if not libraries:
        return HOW_TO_BUILD
    try:
        torch.ops.load_library(str(libraries[0]))
    except (OSError, RuntimeError) as error:
        return f"{libraries[0].name} failed to load: {' '.join(str(error).split())}"
    return None


def isa() -> str:
    """The instruction set in use: ``plain``, ``avx2`` or ``avx512``.

    Raises:
        RuntimeError: the library is not there, or SCAM_CPU_ISA asks for what cannot be had.
    """
    missing = _why_not_loaded()
    if missing:
        raise RuntimeError(missing)
    return _isa(os.environ.get("SCAM_CPU_ISA"))


@cache  # so that a graph being traced does not note the question
def _isa(_asked: str | None) -> str:
    chosen: str = torch.ops.scam_cpu.isa()
    return chosen


def describe() -> str:
    """A few words for ``python -m scam.info``."""
    return f"yes, instruction set {isa()}"


def refusals(problem: Problem) -> list[str]:
    """Why the kernels cannot serve a problem, in words; [] when they can."""
    if problem.device_type != "cpu":
        return [f"computes on the CPU, the tensors are on {problem.device_type}"]
    reasons = []
    if problem.dtype not in DTYPES:
        reasons.append(
            f"{dtype_name(problem.dtype)} is not supported on CPU; use bf16, fp32 or fp64, "
            "or backend='reference'"
        )
    try:
        isa()
    except RuntimeError as error:
        reasons.append(str(error).splitlines()[0])
    return reasons


def forward(call: AttentionCall) -> tuple[Tensor, Tensor, Tensor]:
    """Attend; see :class:`scam.ops.backends.Backend`."""
    results = call.empty_results()
    torch.ops.scam_cpu.forward(
        call.query, call.key, call.value, *_labels_and_options(call), *results
    )
    if call.wide_queries:  # their backward pass makes the softmax again
        results[2].zero_()
    return results


def backward(
    call: AttentionCall,
    grad_out: Tensor,
    grad_lse: Tensor | None,
    out: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
) -> tuple[Tensor | None, ...]:
    """Return the gradients wanted; see :class:`scam.ops.backends.Backend`."""
    gradients: tuple[Tensor | None, ...] = call.empty_gradients()
    if not call.keys_learn:
        gradients = (gradients[0], None, None)
    torch.ops.scam_cpu.backward(
        grad_out, grad_lse, call.query, call.key, call.value, out, lse, lse_rest,
        *_labels_and_options(call), *gradients,
    )  # fmt: skip
    return gradients


def _labels_and_options(call: AttentionCall) -> tuple[Tensor, Tensor, float, bool]:
    """Labels of both sides, scale, and whether empty rows are uniform."""
    return call.query_labels, call.key_labels, call.scale, call.empty == "uniform"


def modulation_forward(call: ModulationCall) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Modulate; see :class:`scam.ops.backends.ModulationBackend`."""
    y, (lse, lse_rest, mean, rstd) = torch.empty_like(call.x), call.empty_statistics()
    options = (call.eps, call.negative_slope)
    torch.ops.scam_cpu.modulation_forward(*_tensors(call), *options, y, mean, rstd)
    return y, lse.zero_(), lse_rest.zero_(), mean, rstd  # backward makes the softmax again


def modulation_backward(
    call: ModulationCall,
    grad_y: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
    mean: Tensor,
    rstd: Tensor,
) -> tuple[Tensor | None, ...]:
    """Return all gradients; see :class:`scam.ops.backends.ModulationBackend`."""
    gradients = call.empty_gradients()
    options = (call.eps, call.negative_slope)
    torch.ops.scam_cpu.modulation_backward(
        grad_y, *_tensors(call), mean, rstd, *options, *gradients
    )
    return gradients


def _tensors(call: ModulationCall) -> tuple[Tensor | None, ...]:
    """All tensors, in the order of the kernels' arguments."""
    return (
        call.x, call.labels, *call.tokens, call.token_labels, call.position, call.default_gamma,
        call.default_beta, call.noise, call.noise_scale,
    )  # fmt: skip


def affine_forward(call: AffineCall) -> Tensor:
    """Look up and apply; see :class:`scam.ops.backends.AffineBackend`."""
    y = torch.empty_like(call.x)
    torch.ops.scam_cpu.affine_forward(*_arguments(call), y)
    return y


def affine_backward(call: AffineCall, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    """Return all gradients; see :class:`scam.ops.backends.AffineBackend`."""
    gradients = call.empty_gradients()
    torch.ops.scam_cpu.affine_backward(grad_y, *_arguments(call), *gradients)
    return gradients


def _arguments(call: AffineCall) -> tuple[Tensor | float | None, ...]:
    """All fields, in the order of the kernels' arguments."""
    return call.x, call.index, call.scale, call.shift, call.mean, call.rstd, call.negative_slope
