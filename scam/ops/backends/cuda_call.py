# SPDX-License-Identifier: Apache-2.0
"""Tensors as the CUDA kernels take them: views, packed tokens, plans, results."""

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from scam.ops.backends.triton_plan import TileTables, sort_sides
from scam.ops.sorting import Side
from scam.ops.tiles import PARTIAL_BYTES, PIECES

DTYPES = (torch.bfloat16, torch.float16)
HOW_TO_BUILD = (
    "not built: with nvcc (CUDA >= 12), ninja and pybind11 installed, run "
    "`SCAM_BUILD_CUDA=1 pip install --no-build-isolation -e .` in a checkout of scam"
)


@cache
def load() -> Any:
    """The compiled module; importing it needs neither a GPU nor a driver.

    Raises:
        ImportError: it is not there, or does not load.
    """
    try:
        return importlib.import_module("scam._cuda")
    except ModuleNotFoundError as error:
        raise ImportError(HOW_TO_BUILD) from error


def stream_of(tensor: Tensor) -> int:
    """The current stream of a tensor's device."""
    if tensor.device.type != "cuda":  # the emulator in the tests
        return 0
    return torch.cuda.current_stream(tensor.device).cuda_stream


def view(tensor: Tensor | None, axes: str) -> Any:
    """A tensor as kernels take it: ``axes`` names its own, out of b(atch), h(ead), i(tem), c."""
    if tensor is None:
        return load().View()
    strides = [0, 0, 0, 0]
    for axis, size, stride in zip(axes, tensor.shape, tensor.stride(), strict=True):
        strides["bhic".index(axis)] = stride if size > 1 else 0
    return load().View(tensor.data_ptr(), strides)


def channels_last(x: Tensor) -> bool | None:
    """Memory order of (..., N, C) if it can be read 16 bytes at a time, else None."""
    steps = (stride if size > 1 else 0 for size, stride in zip(x.shape, x.stride(), strict=True))
    *outer, item, channel = steps
    if x.data_ptr() % 16 or any(stride % 8 for stride in outer):
        return None
    if max(item, channel) >= 2**31:
        return None
    if channel == 1 and item % 8 == 0:
        return True
    if item == 1 and channel % 8 == 0 and x.shape[-2] % 8 == 0:
        return False
    return None


def readable(x: Tensor) -> tuple[Tensor, bool]:
    """(..., N, C) in a memory order the kernels read, itself if it can be, and that order."""
    last = channels_last(x)
    return (_copy(x), True) if last is None else (x, last)


def in_order(tensor: Tensor, last: bool) -> Tensor:
    """(..., N, C) in a memory order that is given."""
    if channels_last(tensor) == last:
        return tensor
    return _copy(tensor) if last else _copy(tensor.mT).mT


def aligned(tensor: Tensor) -> Tensor:
    """Contiguous, and where a kernel may read several numbers at once."""
    tensor = tensor.contiguous()
    return _copy(tensor) if tensor.data_ptr() % 16 else tensor


def _copy(tensor: Tensor) -> Tensor:
    """Contiguous memory of its own, aligned; a contiguous tensor may begin anywhere."""
    return tensor.clone(memory_format=torch.contiguous_format)


class Result:
    """Memory for a result (..., N, C) that kernels write in a given order."""

    def __init__(self, wanted: Tensor, last: bool) -> None:
        self.wanted = wanted
        self.written = wanted
        if channels_last(wanted) != last:
            shape = wanted.shape
            self.written = wanted.new_empty(shape if last else (*shape[:-2], shape[-1], shape[-2]))
            self.written = self.written if last else self.written.mT

    def final(self) -> Tensor:
        """The result in the layout that was wanted."""
        return self.wanted if self.written is self.wanted else self.wanted.copy_(self.written)


class Packed:
    """Tokens sorted and packed by a kernel, with the memory they live in.

    Args:
        order: (B, M), the tokens sorted by label.
        rows: (B, heads, M, C) each.
        scalars: (B, heads, M) each, fp32 or of the rows' dtype.
        dot: (B, heads, M, C), whose product with ``rows[1]`` is taken from the last scalar.
    """

    def __init__(
        self,
        order: Tensor,
        rows: tuple[Tensor, ...],
        scalars: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None),
        dot: Tensor | None = None,
    ) -> None:
        batch, heads, count, channels = rows[0].shape
        new = rows[0].new_empty
        self.rows = new((batch, heads, count, len(rows), channels))
        self.scalars = new((batch, heads, count, len(scalars)), dtype=torch.float32)
        self.sources = new((batch, count), dtype=torch.int32)
        self.order = order.contiguous()
        tokens = load().Tokens()
        tokens.heads, tokens.count, tokens.roles = heads, count, len(rows)
        tokens.rows, tokens.scalars = self.rows.data_ptr(), self.scalars.data_ptr()
        tokens.sources = self.sources.data_ptr()
        self.tokens = tokens
        if not self.rows.numel():
            return
        call = load().Pack()
        call.batch, call.channels, call.dtype = batch, channels, DTYPES.index(rows[0].dtype)
        call.tokens, call.order = tokens, self.order.data_ptr()
        call.rows = [view(tensor, "bhic") for tensor in rows]
        call.scalars = [view(tensor, "bhi") for tensor in scalars]
        call.scalar_dtype = [
            -1 if t is None or t.dtype not in DTYPES else DTYPES.index(t.dtype) for t in scalars
        ]
        call.dot = view(dot, "bhic")
        load().pack(call, stream_of(order))


TILE, TILE_OF_OCTETS = 64, 256
"""Pixels of a tile where pixels read: what is gathered at once; where channels come first label
maps leave gaps, and a block gathers several times."""


class Planned:
    """Both sides of a call sorted by label, and how kernels divide the wide one.

    ``memory`` holds what the tables live in.
    """

    def __init__(self, wide: Side, narrow: Side) -> None:
        self.sides = sort_sides(wide, narrow)
        self.narrow_order = self.sides.narrow_order
        self.memory: tuple[Tensor, ...] = ()

    @property
    def _counts(self) -> torch.Size:
        return self.sides.order.shape

    def tiles(self, last: bool) -> Any:
        """Tiles of pixels, as kernels take them; ``last``: whether channels come last."""
        tables = TileTables(self.sides, TILE if last else TILE_OF_OCTETS)
        self.memory = (tables.order.contiguous(), tables.tiles)
        made = load().Plan()
        made.order, made.tiles = (tensor.data_ptr() for tensor in self.memory)
        made.count = tables.tiles.shape[1]
        return made

    def pieces(self, heads: int, width: int) -> tuple[Any, Tensor]:
        """Pieces for sums over pixels, and partial rows of ``width`` numbers.

        The latter are (B, ``heads``, rows, ``width``).
        """
        batch, count = self._counts
        tables = TileTables(self.sides, 64 if count <= 4096 else 256)
        rows = PARTIAL_BYTES // (4 * width * max(1, heads * batch))
        parts = tables.split(-(-PIECES // max(1, batch)), rows)
        self.memory = tuple(t.contiguous() for t in (tables.order, parts.pieces, parts.spans))
        made = load().Plan()
        made.order, made.pieces, made.spans = (tensor.data_ptr() for tensor in self.memory)
        made.count, made.rows = parts.pieces.shape[1], parts.rows
        shape = (batch, heads, parts.rows, width)
        return made, torch.empty(shape, dtype=torch.float32, device=tables.order.device)
