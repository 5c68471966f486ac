# SPDX-License-Identifier: Apache-2.0
"""What is asked of the op: input checks in words, and the facts a backend decides on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scam.ops.autocast import active_dtype, cast_dtype

ATTENTION = "semantic_cross_attention"
MODULATION = "semantic_modulation"
LABEL_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
EMPTY = ("zero", "uniform")


@dataclass(frozen=True)
class Problem:
    """The facts a backend may decide on, known without looking at any value.

    Sizes are not among them, but for two properties of the widths: a backend serves any number of
    queries, keys, pixels and labels, and a compiled graph does not have to be specialised to the
    sizes it was first seen with.
    """

    device_type: str
    dtype: torch.dtype  # computed in: autocast's dtype where autocast is on
    shared_value: bool = False  # value=None: the keys are the values
    empty: str = "zero"
    op: str = ATTENTION
    aligned: bool = True  # D and Dv, or C of a modulation, are multiples of 16
    beyond_256: bool = False  # one of them is larger than that


def check_problem(
    query: Tensor, key: Tensor, value: Tensor | None, scale: float | None, empty: str
) -> Problem:
    """Check all arguments but the labels.

    Raises:
        TypeError: not a tensor, not floating point, dtypes that differ, ``scale`` not a number.
        ValueError: shapes or devices that do not fit, ``empty`` unknown.
    """
    given = {"query": query, "key": key} | ({} if value is None else {"value": value})
    for name, tensor in given.items():
        _check_tensor(name, tensor, query)
    wanted = active_dtype(query.device.type)
    dtype = cast_dtype(query.dtype, wanted)
    for name, tensor in given.items():
        if cast_dtype(tensor.dtype, wanted) != dtype:
            raise TypeError(f"{name} is {tensor.dtype}, query {query.dtype}: expected one dtype")
    _check_shapes(query, key, value)
    if isinstance(scale, Tensor):
        raise TypeError("scale: expected a number, got a tensor (reading it would wait for it)")
    if scale is not None and not hasattr(scale, "__float__"):
        raise TypeError(f"scale: expected a number, got {scale!r}")
    if empty not in EMPTY:
        raise ValueError(f"empty: expected 'zero' or 'uniform', got {empty!r}")
    return attention_problem(query, value, empty, dtype)


def attention_problem(
    query: Tensor, value: Tensor | None, empty: str, dtype: torch.dtype
) -> Problem:
    """The facts of a checked call that computes in ``dtype``."""
    widths = (query.shape[-1], (query if value is None else value).shape[-1])
    return Problem(query.device.type, dtype, value is None, empty, ATTENTION, *_properties(widths))


def modulation_problem(x: Tensor, dtype: torch.dtype) -> Problem:
    """The facts of a checked modulation of x (B, C, ...) that computes in ``dtype``."""
    return Problem(x.device.type, dtype, False, "zero", MODULATION, *_properties((x.shape[1],)))


def _properties(widths: tuple[int, ...]) -> tuple[bool, bool]:
    """``aligned`` and ``beyond_256``, by branches: a compiled graph then sees constants."""
    aligned, beyond_256 = True, False
    for width in widths:
        if width % 16:
            aligned = False
        if width > 256:
            beyond_256 = True
    return aligned, beyond_256


def _check_tensor(name: str, tensor: Tensor, query: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, got {tensor.dtype}")
    if tensor.dim() != 4:
        raise ValueError(f"{name}: expected shape (B, H, N, D), got {tuple(tensor.shape)}")
    if tensor.device != query.device:
        raise ValueError(f"{name} is on {tensor.device}, query on {query.device}: expected one")


def _check_shapes(query: Tensor, key: Tensor, value: Tensor | None) -> None:
    (batch, heads, _, width), (_, key_heads, keys, _) = query.shape, key.shape
    if heads < 1 or key_heads < 1 or heads % key_heads:
        raise ValueError(
            f"query has {heads} heads, key {key_heads}: expected a positive multiple of key's"
        )
    if width < 1:
        raise ValueError(f"query: expected at least one channel, got shape {tuple(query.shape)}")
    if key.shape[0] != batch or key.shape[3] != width:
        raise ValueError(
            f"key: expected shape ({batch}, Hkv, Nk, {width}) to fit the query, "
            f"got {tuple(key.shape)}"
        )
    if value is None:
        return
    if tuple(value.shape[:3]) != (batch, key_heads, keys) or value.shape[3] < 1:
        raise ValueError(
            f"value: expected shape ({batch}, {key_heads}, {keys}, Dv) to fit the key, "
            f"got {tuple(value.shape)}"
        )


def check_labels(name: str, labels: Tensor, batch: int, count: int, device: torch.device) -> None:
    """Check one label tensor, (``batch``, ``count``) or (``count``,).

    Raises:
        TypeError: not a tensor, or not of an integer dtype in ``LABEL_DTYPES``.
        ValueError: shape or device that does not fit.
    """
    if not isinstance(labels, Tensor):
        raise TypeError(
            f"{name}: expected a tensor or a SemanticLayout, got {type(labels).__name__}"
        )
    if labels.dtype not in LABEL_DTYPES:
        raise TypeError(f"{name}: expected uint8, int8, int16, int32 or int64, got {labels.dtype}")
    if tuple(labels.shape) not in ((batch, count), (count,)):
        raise ValueError(
            f"{name}: expected shape ({batch}, {count}) or ({count},), got {tuple(labels.shape)}"
        )
    if labels.device != device:
        raise ValueError(f"{name} is on {labels.device}, query on {device}: expected one")
