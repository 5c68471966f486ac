# SPDX-License-Identifier: Apache-2.0
"""Two-dimensional sinusoidal positions for feature maps."""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from scam.nn.free_sizes import is_free
from scam.ops.registration import define_constant

# Whatever the defaults are when a code is first asked for: it is kept for others.
_PLAIN: Any = {"dtype": torch.float32, "device": "cpu"}


def position_code(
    channels: int,
    height: int,
    width: int,
    *,
    released: bool = False,
    device: torch.device | str = "cpu",
    channels_last: bool = False,
) -> Tensor:
    """Constant code of shape (channels, height, width), float32.

    The default spans frequencies from half a period across the map up to one period per four
    pixels, so that neighbours can be told apart. ``released=True`` is the code of the published
    system: coordinates in [-1, 1] and frequencies ``10000**(-2i/e)``, at most 1 rad.
    ``channels_last`` lays it out in memory as such feature maps.

    Raises ValueError unless ``channels`` is a multiple of 4 (sine and cosine, two axes).
    """
    if channels % 4:
        raise ValueError(f"channels={channels}: a position code needs a multiple of 4")
    compiled = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
    if compiled or is_free(height) or is_free(width):
        # Traced, it would be computed in every pass of a compiled graph, and bind free sizes.
        where = torch.device(device)
        code: Tensor = _operator(channels, height, width, released, where, channels_last)
        return code
    make = _position_code.__wrapped__ if _is_tracing() else _position_code
    # A tensor made in inference mode could not be used in training later on.
    with torch.inference_mode(False):
        return make(channels, height, width, released, str(device), channels_last)


def _is_tracing() -> bool:
    """Whether tensors made now stand for others: neither to be kept nor mixed with kept ones."""
    return torch.compiler.is_exporting() or type(torch.empty(0, device="cpu")) is not Tensor


@lru_cache(maxsize=256)
def _position_code(
    channels: int, height: int, width: int, released: bool, device: str, channels_last: bool
) -> Tensor:
    count = channels // 4
    if released:
        x_frequencies = y_frequencies = 10000.0 ** (-2 * _arange(count) / (channels // 2))
        x, y = (torch.linspace(-1, 1, size, **_PLAIN) for size in (width, height))
    else:
        x, y = _centres(width), _centres(height)
        x_frequencies, y_frequencies = _frequencies(count, width), _frequencies(count, height)
    x_phase, y_phase = x_frequencies[:, None] * x, y_frequencies[:, None] * y
    # Made on the CPU, equal on every device; only one row and one column travel there.
    x_sin, x_cos = (wave.to(device)[:, None, :] for wave in (x_phase.sin(), x_phase.cos()))
    y_sin, y_cos = (wave.to(device)[:, :, None] for wave in (y_phase.sin(), y_phase.cos()))
    waves = (x_sin, y_sin, x_cos, y_cos)
    code = torch.cat([wave.expand(count, height, width) for wave in waves])
    return code.permute(1, 2, 0).contiguous().permute(2, 0, 1) if channels_last else code


def _centres(size: int) -> Tensor:
    """Pixel centres in [-1, 1]."""
    return (_arange(size) + 0.5) * (2.0 / size) - 1.0


def _frequencies(count: int, size: int) -> Tensor:
    """Geometric from pi/2 (half a period across the map) to pi*size/4 (four pixels a period)."""
    top = max(math.pi * size / 4, math.pi / 2)
    return torch.logspace(math.log10(math.pi / 2), math.log10(top), count, **_PLAIN)


def _arange(count: int) -> Tensor:
    return torch.arange(count, **_PLAIN)


def _copy(
    channels: int,
    height: int,
    width: int,
    released: bool,
    device: torch.device,
    channels_last: bool,
) -> Tensor:
    """The code, in memory that a compiled graph may write to."""
    kept = position_code(
        channels, height, width, released=released, device=device, channels_last=channels_last
    )
    return kept.clone()


def _fake(
    channels: int,
    height: int,
    width: int,
    _released: bool,
    device: torch.device,
    channels_last: bool,
) -> Tensor:
    if channels_last:
        return torch.empty(height, width, channels, device=device).permute(2, 0, 1)
    return torch.empty(channels, height, width, device=device)


_operator = define_constant(
    "position_code(int channels, SymInt height, SymInt width, bool released, Device device, "
    "bool channels_last) -> Tensor",
    _copy,
    _fake,
)
