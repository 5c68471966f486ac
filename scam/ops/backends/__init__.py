# SPDX-License-Identifier: Apache-2.0
"""One file per compiled backend; what such a file provides."""

from typing import Protocol

from torch import Tensor

from scam.ops.attention_call import AttentionCall, Gradients
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import Problem


class Backend(Protocol):
    """What a file in ``scam/ops/backends`` provides.

    It is called with the tensors' device as the current one.
    """

    name: str

    def refusals(self, problem: Problem) -> list[str]:
        """Why this backend cannot serve the problem, in words; [] when it can."""

    def forward(self, call: AttentionCall) -> tuple[Tensor, Tensor]:
        """Return out and lse; shapes, dtypes and strides as ``call.empty_results``."""

    def backward(
        self,
        call: AttentionCall,
        grad_out: Tensor,
        grad_lse: Tensor | None,
        out: Tensor,
        lse: Tensor,
    ) -> Gradients:
        """Return the gradients of query, key and value, as ``call.empty_gradients``."""


class ModulationBackend(Backend, Protocol):
    """What a file provides that serves :func:`scam.ops.semantic_modulation` too.

    y and its gradient are like x, (B, C, N), with any strides; the statistics are lse
    (B, heads, N), mean and rstd (B, C), fp32 (fp64 for fp64).
    """

    def modulation_forward(self, call: ModulationCall) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return y, laid out as ``empty_like`` of x, lse, mean and rstd."""

    def modulation_backward(
        self, call: ModulationCall, grad_y: Tensor, lse: Tensor, mean: Tensor, rstd: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, laid out as ``empty_like`` of x, keys, key_bias, gamma, beta,
        default_gamma, default_beta and noise_scale; None for each of the last three not given.
        """
