# SPDX-License-Identifier: Apache-2.0
"""Input checks of the ops, in words, and the facts a backend decides on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from scam.ops.autocast import active_dtype, cast_dtype
from scam.ops.constant import constant_when_compiled

ATTENTION = "semantic_cross_attention"
MODULATION = "semantic_modulation"
AFFINE = "indexed_affine"
MINIMUM_CAPABILITY = (8, 0)  # of a GPU, for its kernels
LABEL_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_NAMED = "fp64, fp32, bf16, fp16"
Empty = Literal["zero", "uniform"]
EMPTY: tuple[Empty, ...] = get_args(Empty)
WIDTH_LIMITS = (256, 672, 1024)
"""Widths up to which some backend serves."""
LARGEST = 2**48
"""Numbers of a tensor, which kernels multiply by a few more: then offsets in bytes fit 64 bits."""


@dataclass(frozen=True)
class Problem:
    """The facts a backend may decide on, known without looking at any value.

    Sizes are not among them, but for two properties of the widths: a backend serves any number
    of queries, keys, pixels and labels, and a compiled graph does not have to be specialised to
    the sizes it was first seen with.
    """

    device_type: str
    dtype: torch.dtype  # computed in: autocast's dtype where autocast is on
    shared_value: bool = False  # value=None: the keys are the values
    empty: Empty = "zero"
    op: str = ATTENTION
    aligned: bool = True  # D and Dv, or C of a feature map, are multiples of 16
    width_limit: int | None = 256  # the least of WIDTH_LIMITS that holds them; None: beyond all
    capability: tuple[int, int] | None = None  # as capability_of() the tensors' device
    gpu: str | None = None  # as gpu_of() that device

    def wider_than(self, limit: int) -> bool:
        """Whether some width exceeds ``limit``, one of ``WIDTH_LIMITS``."""
        return self.width_limit is None or self.width_limit > limit


def check_problem(
    query: Tensor, key: Tensor, value: Tensor | None, scale: float | None, empty: Empty
) -> Problem:
    """Check all arguments but the labels.

    Raises:
        TypeError: as :func:`check_tensors`, or ``scale`` not a number.
        ValueError: shapes or devices that do not fit, ``scale`` not finite, ``empty`` unknown.
    """
    given = {"query": query, "key": key} | ({} if value is None else {"value": value})
    dtype = check_tensors(given)
    for name, tensor in given.items():
        if tensor.dim() != 4:
            raise ValueError(f"{name}: expected shape (B, H, N, D), got {tuple(tensor.shape)}")
    _check_shapes(query, key, value)
    widths = (query.shape[3], *(() if value is None else value.shape[3:]))
    check_size(given, query.shape[0], query.shape[1], query.shape[2:3] + key.shape[2:3], widths)
    if scale is not None:
        check_number("scale", scale)
    if empty not in EMPTY:
        raise ValueError(f"empty: expected 'zero' or 'uniform', got {empty!r}")
    return attention_problem(query, value, empty, dtype)


def attention_problem(
    query: Tensor, value: Tensor | None, empty: Empty, dtype: torch.dtype
) -> Problem:
    """The facts of a checked call that computes in ``dtype``."""
    widths = (query.shape[-1], (query if value is None else value).shape[-1])
    where, properties = query.device, _properties(widths)
    facts = *properties, capability_of(where), gpu_of(where)
    return Problem(where.type, dtype, value is None, empty, ATTENTION, *facts)


def map_problem(op: str, x: Tensor, dtype: torch.dtype) -> Problem:
    """The facts of a checked call that computes in ``dtype``, for the ops on a map (B, C, ...)."""
    where, properties = x.device, _properties((x.shape[1],))
    facts = *properties, capability_of(where), gpu_of(where)
    return Problem(where.type, dtype, False, "zero", op, *facts)


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """Compute capability of a tensor's device; None of all but NVIDIA GPUs that are there."""
    return _capability(device.index) if device.type == "cuda" else None


@constant_when_compiled
def _capability(index: int) -> tuple[int, int] | None:
    if torch.version.hip is not None or index >= torch.cuda.device_count():
        return None
    return _known_capability(index)


def gpu_of(device: torch.device) -> str | None:
    """Name of a tensor's device; None of all but NVIDIA GPUs that are there."""
    return _gpu(device.index) if device.type == "cuda" else None


@constant_when_compiled
def _gpu(index: int) -> str | None:
    return None if _capability(index) is None else _name(index)


@cache
def _known_capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


@cache
def _name(index: int) -> str:
    return torch.cuda.get_device_name(index)


def _properties(widths: tuple[int, ...]) -> tuple[bool, int | None]:
    """``aligned`` and ``width_limit``, by branches: a compiled graph then sees constants."""
    aligned, place = True, 0
    for width in widths:
        if width % 16:
            aligned = False
        while place < len(WIDTH_LIMITS) and width > WIDTH_LIMITS[place]:
            place += 1
    return aligned, (*WIDTH_LIMITS, None)[place]


def check_tensors(given: dict[str, Tensor]) -> torch.dtype:
    """Check that all have one device and dtype, as the first; return the dtype computed in.

    Raises:
        TypeError: not a dense tensor, not of a dtype in ``DTYPES``, dtypes that differ.
        ValueError: devices that differ.
    """
    first = next(iter(given))
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name}: expected a floating dtype ({_NAMED}), got {tensor.dtype}")
        if tensor.layout != torch.strided:
            raise TypeError(f"{name}: expected a dense tensor, got {tensor.layout}")
        if tensor.device != given[first].device:
            device = given[first].device
            raise ValueError(
                f"{name} is on {tensor.device}, {first} on {device}: expected one device"
            )
    wanted = active_dtype(given[first].device.type)
    dtype = cast_dtype(given[first].dtype, wanted)
    for name, tensor in given.items():
        if cast_dtype(tensor.dtype, wanted) != dtype:
            found = given[first].dtype
            raise TypeError(f"{name} is {tensor.dtype}, {first} {found}: expected one dtype")
    return dtype


def check_size(
    given: dict[str, Tensor], batch: int, heads: int, items: Sequence[int], widths: Sequence[int]
) -> None:
    """Check that no tensor of the call, given or made, has ``LARGEST`` numbers or more.

    Views of stride 0 may: nothing else would stop them. A size of 0 counts as 1.

    Raises:
        ValueError: naming the shapes.
    """
    if torch.compiler.is_compiling():  # a graph must not be bound to sizes
        return
    sizes = (batch, heads, max(items), max(widths))
    if math.prod(max(1, size) for size in sizes) >= LARGEST:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in given.items())
        raise ValueError(
            f"expected batch * heads * items * channels below 2^{LARGEST.bit_length() - 1}, "
            f"got {shapes}"
        )


def dtype_name(dtype: torch.dtype) -> str:
    """``bfloat16`` of ``torch.bfloat16``."""
    return str(dtype).removeprefix("torch.")


def check_number(name: str, number: Any) -> float:
    """An option that kernels take by value, as a number of Python; numpy's are taken too.

    Raises:
        TypeError: not a number. A tensor is refused, since reading it would wait for it.
        ValueError: not finite.
    """
    if not isinstance(number, Real):
        raise TypeError(f"{name}: expected a number, got {type(number).__name__}")
    plain = float(number)
    if not -math.inf < plain < math.inf:
        raise ValueError(f"{name}: expected a finite number, got {number}")
    return plain


def check_not_negative(name: str, number: Any) -> float:
    """:func:`check_number`, and not below 0.

    Raises:
        TypeError, ValueError: as :func:`check_number`; ValueError where it is negative.
    """
    number = check_number(name, number)
    if number < 0:
        raise ValueError(f"{name}: expected at least 0, got {number}")
    return number


def check_integer(name: str, number: Any) -> int:
    """An integer as Python's; numpy's are taken too.

    Raises:
        TypeError: not an integer, or a bool.
    """
    if torch.compiler.is_compiling():  # it may be a symbol
        return number
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise TypeError(f"{name}: expected an integer, got {type(number).__name__}")
    return int(number)


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


def check_labels(
    name: str,
    labels: Tensor,
    batch: int,
    size: tuple[int, ...],
    device: torch.device,
    of: str,
    *,
    others: tuple[tuple[int, ...], ...] = (),
) -> None:
    """Check one label tensor, (``batch``, *``size``) or ``size``, of the tensor called ``of``.

    ``others`` are shapes that the caller takes as well, for the message.

    Raises:
        TypeError: not a tensor, or not of an integer dtype in ``LABEL_DTYPES``.
        ValueError: shape or device that does not fit.
    """
    if not isinstance(labels, Tensor):
        raise TypeError(
            f"{name}: expected a tensor or a SemanticLayout, got {type(labels).__name__}"
        )
    check_label_dtype(name, labels)
    # By rank first: comparing the batch with other sizes would bind a traced graph to them.
    found = tuple(labels.shape)
    if found != (size if labels.dim() == len(size) else (batch, *size)):
        *first, last = (str(shape) for shape in ((batch, *size), size, *others))
        raise ValueError(f"{name}: expected shape {', '.join(first)} or {last}, got {found}")
    if labels.device != device:
        raise ValueError(f"{name} is on {labels.device}, {of} on {device}: expected one device")


def check_label_dtype(name: str, labels: Tensor) -> None:
    """Check the dtype of labels.

    Raises:
        TypeError: none of ``LABEL_DTYPES``.
    """
    if labels.dtype not in LABEL_DTYPES:
        wanted = expected_label_dtype(labels.dtype)
        raise TypeError(f"{name}: expected {wanted}, got {labels.dtype}")


def expected_label_dtype(found: torch.dtype) -> str:
    """``LABEL_DTYPES`` in words, and how integers of another dtype become one of them."""
    wide = found in (torch.uint16, torch.uint32, torch.uint64)
    return f"uint8, int8, int16, int32 or int64{' (x.long() makes one)' if wide else ''}"
