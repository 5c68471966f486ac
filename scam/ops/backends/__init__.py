# SPDX-License-Identifier: Apache-2.0
"""One file per compiled backend; what such a file provides."""

from typing import Protocol

from torch import Tensor

from scam.ops.affine_call import AffineCall
from scam.ops.attention_call import AttentionCall
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import AFFINE, MODULATION, Problem

OPTIONAL = {MODULATION: "modulation_forward", AFFINE: "affine_forward"}
"""Op -> the function that a file has exactly if it serves the op; attention all of them serve."""


class Backend(Protocol):
    """What a file in ``scam/ops/backends`` provides.

    It is called with the tensors' device as the current one.

    Statistics of a softmax: lse, the logarithm of its denominator, and lse_rest, what rounding
    left out of lse. Scores are differences of large numbers before they are weights, so with lse
    alone a weight would be wrong by the rounding of lse, a part in 2000 where scores are 10^4.
    Where ``top`` is the largest score, ``lse = top + log_sum`` rounded and lse_rest is the error
    of that one addition (Knuth's TwoSum); 0 where nothing is seen. A backward pass that rebuilds
    weights from them computes ``exp(min((score - lse) - lse_rest, 0))``, in which the first
    difference is exact where it matters and NaN stays NaN; its scores must be those of the
    forward pass to the bit. A backend that rebuilds them without may return zeros, and of a
    modulation, whose lse has no other reader, for both. lse is -inf only where nothing is seen.
    """

    name: str

    def refusals(self, problem: Problem) -> list[str]:
        """Why this backend cannot serve the problem, in words; [] when it can."""

    def forward(self, call: AttentionCall) -> tuple[Tensor, Tensor, Tensor]:
        """Return out, lse and lse_rest; shapes, dtypes and strides as ``call.empty_results``."""

    def backward(
        self,
        call: AttentionCall,
        grad_out: Tensor,
        grad_lse: Tensor | None,
        out: Tensor,
        lse: Tensor,
        lse_rest: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of query, key and value, as ``call.empty_gradients``; those of key
        and value may be None unless ``call.keys_learn``.
        """


class ModulationBackend(Backend, Protocol):
    """What a file provides that serves :func:`scam.ops.semantic_modulation` too.

    y and its gradient are like x, (B, C, N), with any strides; the statistics are lse and
    lse_rest (B, heads, N), mean and rstd (B, C), fp32 (fp64 for fp64).
    """

    def modulation_forward(
        self, call: ModulationCall
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return y, laid out as ``empty_like`` of x, lse, lse_rest, mean and rstd."""

    def modulation_backward(
        self,
        call: ModulationCall,
        grad_y: Tensor,
        lse: Tensor,
        lse_rest: Tensor,
        mean: Tensor,
        rstd: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, laid out as ``empty_like`` of x, keys, key_bias, gamma, beta,
        default_gamma, default_beta and noise_scale; None for each of the last three not given.
        """


class AffineBackend(Backend, Protocol):
    """What a file provides that serves :func:`scam.ops.indexed_affine` too.

    y and its gradient are like x, (B, C, N), with any strides. Sums over pixels do not depend on
    the number of threads and keep more digits than an fp32 sum in one row.
    """

    def affine_forward(self, call: AffineCall) -> Tensor:
        """Return y, laid out as ``empty_like`` of x."""

    def affine_backward(self, call: AffineCall, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, scale, shift, mean and rstd, as ``call.empty_gradients``."""
