# SPDX-License-Identifier: Apache-2.0
"""The modulation on the Triton kernels in ``kernels/modulation_triton``."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scam.ops.backends import Layouts
from scam.ops.tiles import Pieces, TilePlan, plan, split

PIECES = 1024  # programs that a sum over pixels is divided between
PARTIAL_BYTES = 8 << 20  # partial rows beyond one per token and head


@dataclass(frozen=True)
class _Call:
    """Arguments of one call, shapes as in :class:`scam.ops.backends.ModulationBackend`."""

    x: Tensor
    labels: Tensor
    keys: Tensor
    key_bias: Tensor
    gamma: Tensor
    beta: Tensor
    token_labels: Tensor
    position: Tensor | None
    default_gamma: Tensor | None
    default_beta: Tensor | None
    noise: Tensor | None
    noise_scale: Tensor | None
    layout: Layouts
    negative_slope: float

    @property
    def tokens(self) -> tuple[Any, ...]:
        """keys, key_bias, gamma, beta as kernels take them."""
        key_bias = self.key_bias, *self.key_bias.stride()
        return rows(self.keys), key_bias, rows(self.gamma), rows(self.beta)

    @property
    def constants(self) -> tuple[Any, ...]:
        """position, default_gamma, default_beta, noise, noise_scale as kernels take them."""
        position = None if self.position is None else rows(_map(self.position[None]))
        noise = None if self.noise is None else self.noise.contiguous()
        noise_scale = None if self.noise_scale is None else self.noise_scale[None]
        defaults = _channels(self.default_gamma), _channels(self.default_beta)
        return position, *defaults, noise, _channels(noise_scale)

    @property
    def sizes(self) -> tuple[int, int, int, float]:
        """heads, pixels, channels and the slope, last of the arguments of kernels."""
        return self.keys.shape[1], self.x.shape[2], self.x.shape[1], self.negative_slope

    @property
    def wide(self) -> bool:
        """Whether offsets inside a batch element need 64 bits."""
        heads, pixels, _, _ = self.sizes
        tensors = [self.x, self.keys, self.key_bias, self.gamma, self.beta]
        return heads * pixels >= 2**31 or any(
            sum((size - 1) * step for size, step in zip(t.shape[1:], t.stride()[1:], strict=True))
            >= 2**31
            for t in tensors
        )

    def plan(self, tile: int) -> TilePlan:
        return plan(self.labels, self.token_labels, self.layout[:2], self.layout[2:], tile)

    def split(self, tiles: TilePlan) -> Pieces:
        batch, heads, _, channels = self.keys.shape
        bytes_per_row = 4 * (3 * channels + 1) * batch * heads
        return split(tiles, -(-PIECES // batch), PARTIAL_BYTES // bytes_per_row)

    def passes(self, shared: dict[str, Any]) -> tuple[bool, ...]:
        """MANY of the launches that together take all tiles."""
        tokens, most = self.keys.shape[2], shared["COLUMNS"] // shared["HEADS"]
        return (False, True) if tokens > most or self.sizes[0] > shared["HEADS"] else (False,)

    def config(self, step: str) -> dict[str, Any]:
        """Compile-time arguments and launch options of the kernels of ``step``."""
        from scam.kernels.modulation_triton.configs import columns, config

        heads, _, channels, _ = self.sizes
        itemsize = self.x.element_size()
        chosen = config(step, itemsize, channels)
        offsets = self.layout[3]
        labels = self.keys.shape[2] if offsets is None else offsets.shape[1] - 1
        in_heads, in_columns = columns(heads, -(-self.keys.shape[2] // max(1, labels)))
        tf32 = itemsize == 4 and torch.backends.cuda.matmul.fp32_precision == "tf32"
        return {
            "TILE": chosen.tile,
            "WIDE": self.wide,
            "HEADS": in_heads,
            "COLUMNS": in_columns,
            "CHUNK": chosen.chunk,
            "CHUNKS": -(-channels // chosen.chunk),
            "PRECISION": "tf32" if tf32 else "ieee",
            "warps": chosen.warps,
            "stages": chosen.stages,
        }


def rows(tensor: Tensor) -> tuple[Any, ...]:
    """A (B, H, N, C) tensor as kernels take it."""
    from scam.ops.backends import triton

    return triton.rows(tensor)


def launch(kernel: Any, programs: int, *args: Any, **options: Any) -> None:
    """Run ``programs`` programs of a kernel on the current stream."""
    from scam.ops.backends import triton

    triton.launch(kernel, programs, *args, **options)


def _map(tensor: Tensor) -> Tensor:
    """(B, C, N) seen as (B, 1, N, C)."""
    return tensor.mT[:, None]


def _channels(tensor: Tensor | None) -> tuple[Any, ...] | None:
    """(B, C) as kernels take it."""
    return None if tensor is None else (tensor, *tensor.stride())


def modulation_forward(
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
    """As :meth:`scam.ops.backends.ModulationBackend.modulation_forward`."""
    call = _Call(
        x, labels, keys, key_bias, gamma, beta, token_labels, position, default_gamma,
        default_beta, noise, noise_scale, layout, negative_slope,
    )  # fmt: skip
    (batch, channels, pixels), heads = x.shape, keys.shape[1]
    y = torch.empty_like(x)
    mean = x.new_empty(batch, channels, dtype=torch.float32)
    rstd = torch.empty_like(mean)
    lse = mean.new_empty(batch, heads, pixels)
    if x.numel():
        with torch.cuda.device_of(x):
            _measure(x, mean, rstd, eps, call.wide)
            shared = call.config("forward")
            statistics = lse, _channels(mean), _channels(rstd)
            made = call.plan(shared["TILE"])
            for many in call.passes(shared):
                _modulate(call, y, None, statistics, None, made, many, shared)
    return y, lse, mean, rstd


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
        pixels, channels, pieces, WIDE=wide, CHUNKS=chunks, **STATISTICS, warps=4, stages=1,
    )  # fmt: skip
    launch(
        statistics.combine, batch * chunks, means, spreads, mean, rstd, pixels, channels, pieces,
        eps, PIECE=STATISTICS["PIECE"], CHUNK=STATISTICS["CHUNK"], CHUNKS=chunks,
        warps=1, stages=1,
    )  # fmt: skip


def _modulate(
    call: _Call,
    y: Tensor,
    grad_y: Tensor | None,
    statistics: tuple[Any, ...],
    delta: Tensor | None,
    made: TilePlan,
    many: bool,
    shared: dict[str, Any],
) -> None:
    from scam.kernels.modulation_triton.forward import modulate

    tile_rows = made.tiles.shape[1]
    launch(
        modulate, call.x.shape[0] * tile_rows * shared["CHUNKS"],
        rows(_map(call.x)), rows(_map(y)), None if grad_y is None else rows(_map(grad_y)),
        *call.tokens, *call.constants, *statistics, delta,
        made.order, made.order.stride(0), made.narrow_order, made.narrow_order.stride(0),
        made.tiles, tile_rows, *call.sizes, MANY=many, **shared,
    )  # fmt: skip


def modulation_backward(
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
    """As :meth:`scam.ops.backends.ModulationBackend.modulation_backward`."""
    call = _Call(
        x, labels, keys, key_bias, gamma, beta, token_labels, position, default_gamma,
        default_beta, noise, noise_scale, layout, negative_slope,
    )  # fmt: skip
    make = torch.empty if x.numel() else torch.zeros
    grad_x = torch.empty_like(x)
    small = [
        None if t is None else make(t.shape, dtype=x.dtype, device=x.device)
        for t in (keys, key_bias, gamma, beta, default_gamma, default_beta, noise_scale)
    ]
    if x.numel():
        statistics = lse.contiguous(), _channels(mean), _channels(rstd)
        with torch.cuda.device_of(x):
            _backward(call, grad_y, statistics, grad_x, small)
    return grad_x, *small


def _backward(
    call: _Call,
    grad_y: Tensor,
    statistics: tuple[Any, ...],
    grad_x: Tensor,
    small: list[Tensor | None],
) -> None:
    from scam.kernels.modulation_triton import backward

    shared = call.config("backward")
    made = call.plan(shared["TILE"])
    parts = call.split(made)
    grad_inner, delta = _inner(call, grad_y, statistics, grad_x, made, shared)
    (batch, channels, _), heads = call.x.shape, call.keys.shape[1]
    workspace = delta.new_empty
    partial_tokens = workspace(batch, heads, parts.rows, 3, channels)
    partial_bias = workspace(batch, heads, parts.rows)
    piece_rows = parts.pieces.shape[1]
    partial_channels = workspace(batch, piece_rows, 3, channels)
    orders = (
        made.order, made.order.stride(0), made.narrow_order, made.narrow_order.stride(0)
    )  # fmt: skip
    maps = rows(_map(call.x)), rows(_map(grad_y)), rows(_map(grad_inner))
    passes = call.passes(shared)
    for many in passes:
        launch(
            backward.token_gradients, batch * piece_rows * shared["CHUNKS"],
            *maps, *call.tokens, *call.constants, *statistics, delta,
            partial_tokens, partial_bias, partial_channels, *orders, parts.pieces, piece_rows,
            parts.rows, *call.sizes, MANY=many, **shared,
        )  # fmt: skip
    means = workspace(2, batch, channels)
    _add(call, (partial_tokens, partial_bias, partial_channels), made, parts, means, small, shared)
    tile_rows = made.tiles.shape[1]
    for many in passes:
        launch(
            backward.input_gradient, batch * tile_rows * shared["CHUNKS"],
            *maps, rows(_map(grad_x)), *call.tokens, *call.constants, *statistics, delta,
            _channels(means[0]), _channels(means[1]), *orders, made.tiles, tile_rows,
            *call.sizes, MANY=many, **shared,
        )  # fmt: skip


def _inner(
    call: _Call,
    grad_y: Tensor,
    statistics: tuple[Any, ...],
    grad_x: Tensor,
    made: TilePlan,
    shared: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """The gradient before the activation and ``delta`` where kernels cannot do without.

    With one chunk of channels the former may lie in ``grad_x``: each tile reads it before it
    writes there.
    """
    (batch, _, pixels), heads, chunks = call.x.shape, call.keys.shape[1], shared["CHUNKS"]
    grad_inner = grad_x if chunks == 1 else torch.empty_like(call.x)
    passes = call.passes(shared)
    count = batch * chunks * heads * pixels if True in passes else 0
    delta = call.x.new_empty(count, dtype=torch.float32)
    for many in passes:
        if many or chunks > 1:
            _modulate(call, grad_inner, grad_y, statistics, delta, made, many, shared)
    return grad_inner, delta


def _add(
    call: _Call,
    partial: tuple[Tensor, Tensor, Tensor],
    made: TilePlan,
    parts: Pieces,
    means: Tensor,
    small: list[Tensor | None],
    shared: dict[str, Any],
) -> None:
    """Second stages: the gradients in ``small``, and the two means of the norm's gradient."""
    from scam.kernels.modulation_triton.backward import add_channels, add_tokens
    from scam.kernels.modulation_triton.configs import PARTS

    *of_tokens, grad_default_gamma, grad_default_beta, grad_noise_scale = small
    (batch, channels, pixels), (_, heads, tokens, _) = call.x.shape, call.keys.shape
    block = {"BLOCK": PARTS, "CHUNK": shared["CHUNK"], "CHUNKS": shared["CHUNKS"]}
    launch(
        add_tokens, batch * heads * tokens * shared["CHUNKS"], partial[0], partial[1],
        *of_tokens, parts.spans, made.narrow_order, made.narrow_order.stride(0),
        tokens, parts.rows, heads, channels, **block, warps=4, stages=1,
    )  # fmt: skip
    noise_sums = None if grad_noise_scale is None else torch.empty_like(means[0])
    launch(
        add_channels, batch * shared["CHUNKS"], partial[2], parts.pieces,
        _channels(call.default_gamma), grad_default_gamma, grad_default_beta,
        means[0], means[1], noise_sums, parts.pieces.shape[1], pixels, channels,
        **block, warps=4, stages=1,
    )  # fmt: skip
    if grad_noise_scale is not None and noise_sums is not None:
        grad_noise_scale.copy_(noise_sums.sum(0))
