# SPDX-License-Identifier: Apache-2.0
"""One file per compiled backend; what such a file provides."""

from typing import Protocol

from torch import Tensor

from scam.ops.problem import Problem

Layouts = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""query order (B, Nq), query offsets (B, s + 1), key order (B, Nk), key offsets (B, s + 1)."""


class Backend(Protocol):
    """What a file in ``scam/ops/backends`` provides."""

    name: str

    def refusals(self, problem: Problem) -> list[str]:
        """Why this backend cannot serve the problem, in words; [] when it can."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None,
        query_labels: Tensor,
        key_labels: Tensor,
        layout: Layouts,
        *,
        scale: float,
        empty: str,
    ) -> tuple[Tensor, Tensor]:
        """Return out (B, H, Nq, Dv), laid out as ``empty_output``, and lse (B, H, Nq)."""

    def backward(
        self,
        grad_out: Tensor,
        grad_lse: Tensor | None,
        query: Tensor,
        key: Tensor,
        value: Tensor | None,
        out: Tensor,
        lse: Tensor,
        query_labels: Tensor,
        key_labels: Tensor,
        layout: Layouts,
        *,
        scale: float,
        empty: str,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return gradients laid out as ``empty_like`` of query, key and value (None if shared)."""


class ModulationBackend(Backend, Protocol):
    """What a file provides that serves :func:`scam.ops.semantic_modulation` too.

    Pixels are flattened: x, y and their gradients (B, C, N) with any strides, labels (B, N),
    token_labels (B, m), keys, gamma, beta (B, heads, m, C), key_bias (B, heads, m),
    position (C, N), default_gamma, default_beta (B, C), noise (B, N), noise_scale (C,).
    Statistics are lse (B, heads, N), mean and rstd (B, C), fp32 (fp64 for fp64).
    """

    def modulation_forward(
        self,
        x: Tensor,
        labels: Tensor,
        keys: Tensor,
        key_bias: Tensor,
        gamma: Tensor,
        beta: Tensor,
        token_labels: Tensor,
        position: Tensor | None,
        default_gamma: Tensor | None,
        default_beta: Tensor | None,
        noise: Tensor | None,
        noise_scale: Tensor | None,
        layout: Layouts,
        *,
        eps: float,
        negative_slope: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return y, laid out as ``empty_like`` of x, lse, mean and rstd."""

    def modulation_backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        labels: Tensor,
        keys: Tensor,
        key_bias: Tensor,
        gamma: Tensor,
        beta: Tensor,
        token_labels: Tensor,
        position: Tensor | None,
        default_gamma: Tensor | None,
        default_beta: Tensor | None,
        noise: Tensor | None,
        noise_scale: Tensor | None,
        lse: Tensor,
        mean: Tensor,
        rstd: Tensor,
        layout: Layouts,
        *,
        eps: float,
        negative_slope: float,
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, laid out as ``empty_like`` of x, keys, key_bias, gamma, beta,
        default_gamma, default_beta and noise_scale; None for each of the last three not given.
        """
