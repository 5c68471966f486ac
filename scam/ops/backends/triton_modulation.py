# SPDX-License-Identifier: Apache-2.0
"""The modulation on the Triton kernels in ``kernels/modulation_triton``."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scam.ops.backends.triton_launch import items_fast, launch, rows, shared_options
from scam.ops.backends.triton_plan import TileTables, sort_sides
from scam.ops.modulation_call import ModulationCall
from scam.ops.sorting import SortedSides
from scam.ops.tiles import PARTIAL_BYTES, PIECES, Pieces


@dataclass(frozen=True)
class _Call:
    """One call, its arguments as kernels take them; ``grad_y`` in backward."""

    given: ModulationCall
    grad_y: Tensor | None = None

    @property
    def x(self) -> tuple[Any, ...]:
        """(B, 1, N, C)."""
        return rows(_map(self.given.x))

    @property
    def grad(self) -> tuple[Any, ...] | None:
        """``grad_y`` like x."""
        return None if self.grad_y is None else rows(_map(self.grad_y))

    @property
    def tokens(self) -> tuple[Any, ...]:
        """keys, key_bias, gamma, beta."""
        keys, key_bias, gamma, beta = self.given.tokens
        return rows(keys), (key_bias, *key_bias.stride()), rows(gamma), rows(beta)

    @property
    def constants(self) -> tuple[Any, ...]:
        """position, default_gamma, default_beta, noise, noise_scale."""
        given = self.given
        return (
            None if given.position is None else rows(_map(given.position[None])),
            _channels(given.default_gamma),
            _channels(given.default_beta),
            None if given.noise is None else given.noise.contiguous(),
            None if given.noise_scale is None else _channels(given.noise_scale[None]),
        )

    @property
    def sizes(self) -> tuple[int, int, int, float]:
        """heads, pixels, channels and the slope, last of the arguments of kernels."""
        (_, channels, pixels), heads = self.given.x.shape, self.given.keys.shape[1]
        return heads, pixels, channels, self.given.negative_slope

    @property
    def wide(self) -> bool:
        """Whether offsets inside a batch element need 64 bits."""
        given, (heads, pixels, channels, _) = self.given, self.sizes
        position = None if given.position is None else given.position[None]
        tensors = [t for t in (given.x, *given.tokens, position, self.grad_y) if t is not None]
        # What is written may be denser than x, or less dense where x is expanded.
        return max(heads, channels) * pixels >= 2**31 or any(
            sum((size - 1) * step for size, step in zip(t.shape[1:], t.stride()[1:], strict=True))
            >= 2**31
            for t in tensors
        )

    @cached_property
    def sides(self) -> SortedSides:
        """Pixels and tokens by label."""
        return sort_sides(*self.given.sides)

    def plan(self, tile: int) -> TileTables:
        return TileTables(self.sides, tile)

    def split(self, made: TileTables) -> Pieces:
        batch, heads, _, channels = self.given.keys.shape
        bytes_per_row = 4 * (3 * channels + 1) * batch * heads
        return made.split(-(-PIECES // batch), PARTIAL_BYTES // bytes_per_row)

    @property
    def most_tokens(self) -> int:
        """Of one label, at most."""
        return self.given.most_tokens or self.given.keys.shape[2]

    def passes(self, shared: dict[str, Any]) -> tuple[bool, ...]:
        """MANY of the launches that together take all tiles."""
        tokens = self.most_tokens
        most = shared["COLUMNS"] // shared["HEADS"] - 2 * shared["EXTRAS"]
        return (False, True) if tokens > most or self.sizes[0] > shared["HEADS"] else (False,)

    def config(self, step: str) -> dict[str, Any]:
        """Compile-time arguments and launch options of the kernels of ``step``."""
        from scam.kernels.modulation_triton.configs import columns, config

        heads, _, channels, _ = self.sizes
        itemsize, tokens = self.given.x.element_size(), self.given.keys.shape[2]
        labels = self.sides.narrow_offsets.shape[1] - 1
        per_label, most = -(-tokens // max(1, labels)), self.given.most_tokens
        in_heads, in_columns = columns(heads, per_label)
        fitting = in_columns // in_heads
        chosen = config(step, itemsize, channels, in_columns, items_fast(_map(self.given.x)))
        return shared_options(chosen, itemsize, channels) | {
            "WIDE": self.wide,
            "HEADS": in_heads,
            "COLUMNS": in_columns,
            # Not where a label that would fit would not fit beside them.
            "EXTRAS": per_label <= fitting - 2 and not fitting - 2 < most <= fitting,
        }


def _map(tensor: Tensor) -> Tensor:
    """(B, C, N) seen as (B, 1, N, C)."""
    return tensor.mT[:, None]


def _channels(tensor: Tensor | None) -> tuple[Any, ...] | None:
    """(B, C) as kernels take it."""
    return None if tensor is None else (tensor, *tensor.stride())


def modulation_forward(call: ModulationCall) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As :meth:`scam.ops.backends.ModulationBackend.modulation_forward`."""
    x, y = call.x, torch.empty_like(call.x)
    lse, lse_rest, mean, rstd = call.empty_statistics()
    if x.numel():
        taken = _Call(call)
        _measure(x, mean, rstd, call.eps, taken.wide)
        shared = taken.config("forward")
        statistics = (lse, lse_rest), _channels(mean), _channels(rstd)
        made = taken.plan(shared["TILE"])
        for many in taken.passes(shared):
            _modulate(taken, y, statistics, None, made, many, shared)
    return y, lse, lse_rest, mean, rstd


def _measure(x: Tensor, mean: Tensor, rstd: Tensor, eps: float, wide: bool) -> None:
    from scam.kernels.modulation_triton import statistics
    from scam.kernels.modulation_triton.configs import STATISTICS

    batch, channels, pixels = x.shape
    pieces = -(-pixels // STATISTICS["PIECE"])
    chunks = -(-channels // STATISTICS["CHUNK"])
    means = mean.new_empty(batch, pieces, channels)
    spreads = torch.empty_like(means)
    launch(
        statistics.measure, batch * pieces * chunks, rows(_map(x)), means, spreads,
        pixels, channels, pieces, WIDE=wide, WHOLE=pixels % STATISTICS["BLOCK"] == 0,
        CHUNKS=chunks, **STATISTICS, warps=4, stages=1,
    )  # fmt: skip
    launch(
        statistics.combine, batch * chunks, means, spreads, mean, rstd, pixels, channels, pieces,
        eps, PIECE=STATISTICS["PIECE"], CHUNK=STATISTICS["CHUNK"], CHUNKS=chunks,
        warps=1, stages=1,
    )  # fmt: skip


def _modulate(
    call: _Call,
    y: Tensor,
    statistics: tuple[Any, ...],
    delta: Tensor | None,
    made: TileTables,
    many: bool,
    shared: dict[str, Any],
) -> None:
    from scam.kernels.modulation_triton.forward import modulate

    copies = made.tiles.shape[0] * shared["CHUNKS"]
    programs, turns = made.grid(made.tiles, copies)
    launch(
        modulate, copies * programs,
        call.x, rows(_map(y)), call.grad,
        *call.tokens, *call.constants, *statistics, delta,
        *made.orders, made.tiles, made.tiles.shape[1], programs, turns, *call.sizes,
        MANY=many, **shared,
    )  # fmt: skip


def modulation_backward(
    call: ModulationCall,
    grad_y: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
    mean: Tensor,
    rstd: Tensor,
) -> tuple[Tensor | None, ...]:
    """As :meth:`scam.ops.backends.ModulationBackend.modulation_backward`.

    lse and its rest are not read: scores in tiles of other sizes may differ in their last bits,
    so that weights would not add up to 1.
    """
    gradients = call.empty_gradients()
    grad_x, *small = gradients
    if call.x.numel():
        _backward(_Call(call, grad_y), (_channels(mean), _channels(rstd)), grad_x, small)
        return gradients
    return tuple(None if gradient is None else gradient.zero_() for gradient in gradients)


def _backward(
    call: _Call,
    norm: tuple[Any, ...],
    grad_x: Tensor,
    small: list[Tensor | None],
) -> None:
    from scam.kernels.modulation_triton import backward

    shared = call.config("backward")
    made = call.plan(shared["TILE"])
    parts = call.split(made)
    grad_inner, statistics, delta = _inner(call, norm, grad_x, made, shared)
    batch, heads, _, channels = call.given.keys.shape
    workspace = delta.new_empty
    partial_tokens = workspace(batch, heads, parts.rows, 3, channels)
    partial_bias = workspace(batch, heads, parts.rows)
    piece_rows = parts.pieces.shape[1]
    partial_channels = workspace(batch, piece_rows, 3, channels)
    maps = call.x, call.grad, rows(_map(grad_inner)), rows(_map(grad_x))
    copies, passes = batch * shared["CHUNKS"], call.passes(shared)
    programs, turns = made.grid(parts.pieces, copies)
    for many in passes:
        launch(
            backward.token_gradients, copies * programs,
            *maps, *call.tokens, *call.constants, *statistics, delta,
            partial_tokens, partial_bias, partial_channels, *made.orders, parts.pieces,
            piece_rows, programs, turns, parts.rows, *call.sizes, MANY=many, **shared,
        )  # fmt: skip
    means = workspace(2, batch, channels)
    _add(call, (partial_tokens, partial_bias, partial_channels), made, parts, means, small, shared)
    if True in passes:
        programs, turns = made.grid(made.tiles, copies)
        launch(
            backward.input_gradient, copies * programs,
            maps[0], *maps[2:], *call.tokens, call.constants[0], *statistics, delta, *made.orders,
            made.tiles, made.tiles.shape[1], programs, turns, *call.sizes[:3], MANY=True, **shared,
        )  # fmt: skip
    _subtract_means(call, grad_x, norm, means)


def _subtract_means(call: _Call, grad_x: Tensor, norm: tuple[Any, ...], means: Tensor) -> None:
    from scam.kernels.modulation_triton.configs import MEANS
    from scam.kernels.modulation_triton.sums import subtract_means

    batch, channels, pixels = grad_x.shape
    blocks, chunks = -(-pixels // MEANS["BLOCK"]), -(-channels // MEANS["CHUNK"])
    launch(
        subtract_means, batch * blocks * chunks, call.x, rows(_map(grad_x)), *norm,
        _channels(means[0]), _channels(means[1]), pixels, channels, blocks, WIDE=call.wide,
        WHOLE=pixels % MEANS["BLOCK"] == 0, **MEANS, CHUNKS=chunks, warps=4, stages=1,
    )  # fmt: skip


def _inner(
    call: _Call,
    norm: tuple[Any, ...],
    grad_x: Tensor,
    made: TileTables,
    shared: dict[str, Any],
) -> tuple[Tensor, tuple[Any, ...], Tensor]:
    """The gradient before the activation, lse with its rest before ``norm``, and ``delta``, where
    kernels cannot do without.

    With one chunk of channels the former may share ``grad_x``: each tile reads it before it
    writes there.
    """
    x, (heads, pixels, *_), chunks = call.given.x, call.sizes, shared["CHUNKS"]
    grad_inner = grad_x if chunks == 1 else torch.empty_like(x)
    passes = call.passes(shared)
    count = x.shape[0] * heads * pixels if True in passes else 0
    lse, lse_rest, delta = (
        x.new_empty(wanted * count, dtype=torch.float32) for wanted in (1, 1, chunks)
    )
    statistics = (lse, lse_rest), *norm
    for many in passes:
        if many or chunks > 1:
            _modulate(call, grad_inner, statistics, delta, made, many, shared)
    return grad_inner, statistics, delta


def _add(
    call: _Call,
    partial: tuple[Tensor, Tensor, Tensor],
    made: TileTables,
    parts: Pieces,
    means: Tensor,
    small: list[Tensor | None],
    shared: dict[str, Any],
) -> None:
    """Second stages: the gradients in ``small``, and the two means of the norm's gradient."""
    from scam.kernels.modulation_triton.sums import add_channels, add_tokens
    from scam.kernels.sca_triton.configs import PARTS

    *of_tokens, grad_default_gamma, grad_default_beta, grad_noise_scale = small
    (batch, heads, tokens, channels), pixels = call.given.keys.shape, call.given.x.shape[2]
    through = means.new_empty(batch, heads, tokens, 2, channels)
    block = {"BLOCK": PARTS, "CHUNK": shared["CHUNK"], "CHUNKS": shared["CHUNKS"]}
    launch(
        add_tokens, batch * heads * tokens * shared["CHUNKS"], partial[0], partial[1],
        call.tokens[2], *of_tokens, through, parts.spans, *made.orders[2:],
        tokens, parts.rows, heads, channels, **block, warps=1, stages=1,
    )  # fmt: skip
    noise_sums = None if grad_noise_scale is None else torch.empty_like(means[0])
    launch(
        add_channels, batch * shared["CHUNKS"], partial[2], through, parts.pieces,
        _channels(call.given.default_gamma), grad_default_gamma, grad_default_beta,
        means[0], means[1], noise_sums, parts.pieces.shape[1], heads * tokens, pixels, channels,
        **block, warps=4, stages=1,
    )  # fmt: skip
    if grad_noise_scale is not None and noise_sums is not None:
        grad_noise_scale.copy_(noise_sums.sum(0))
