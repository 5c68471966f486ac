# SPDX-License-Identifier: Apache-2.0
"""The Triton affine by index under the interpreter, run by test_triton_affine.py.

It checks indexing, masks and values in fp32 and fp16; not races.
"""

import os
import random
from dataclasses import replace
from typing import Any

import pytest
import torch

# The module's fixture patches the interpreter once, for all tests.
from interpreted_attention import _patch_once  # noqa: F401

from scam.ops.backends import triton_affine
from scam.ops.problem import LABEL_DTYPES
from scam.testing import (
    MAPS,
    AffineInputs,
    affine_outcome,
    assert_affine_matches_oracle,
    make_affine_inputs,
    poisoned_memory,
)
from scam.testing.affine import INDICES, STATISTICS

assert os.environ.get("TRITON_INTERPRET") == "1"


def check(inputs: AffineInputs, **options: Any) -> None:
    with poisoned_memory():
        assert_affine_matches_oracle(inputs, backend="triton", **options)


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("memory", MAPS)
def test_memory(memory: str, statistics: str | None) -> None:
    check(make_affine_inputs(memory=memory, statistics=statistics))


@pytest.mark.parametrize("channels", [1, 3, 72])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_channels(channels: int, memory: str) -> None:
    check(make_affine_inputs(channels=channels, memory=memory))


@pytest.mark.parametrize("kind", INDICES)
def test_several_tiles_and_pieces(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_affine, "PIECES", 5)
    check(make_affine_inputs(size=(11, 13), kind=kind))


def test_no_partial_rows_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_affine, "PARTIAL_BYTES", 0)
    check(make_affine_inputs(size=(11, 13)))


def test_many_rows() -> None:
    check(make_affine_inputs(rows=90, kind="noise"))


@pytest.mark.parametrize("index_dtype", LABEL_DTYPES, ids=str)
def test_index_dtypes(index_dtype: torch.dtype) -> None:
    inputs = make_affine_inputs(index_dtype=index_dtype, channels=2)
    check(inputs)
    check(replace(inputs, index=inputs.index[0]))


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_fp16(slope: float) -> None:
    check(make_affine_inputs(dtype=torch.float16), negative_slope=slope)


@pytest.mark.parametrize("changes", [{"batch": 0}, {"size": (0, 5)}, {"rows": 0}], ids=str)
def test_nothing(changes: dict[str, Any]) -> None:
    with poisoned_memory():
        found = affine_outcome(make_affine_inputs(**changes), backend="triton")
    assert not any(tensor.any() for tensor in found.values())


@pytest.mark.parametrize("garbage", [torch.inf, torch.nan])
def test_what_no_pixel_reads(garbage: float) -> None:
    """Garbage in other rows changes no bit, nor does that of pixels outside."""
    inputs = make_affine_inputs(rows=9)
    outside = ((inputs.index < 0) | (inputs.index >= 9))[:, None]
    dirty = replace(inputs, x=inputs.x.masked_fill(outside, garbage))
    for name in ("scale", "shift"):
        table = getattr(dirty, name).clone()
        table[8] = garbage
        dirty = replace(dirty, **{name: table})
    wanted = affine_outcome(inputs, backend="triton")
    torch.testing.assert_close(affine_outcome(dirty, backend="triton"), wanted, rtol=0, atol=0)
    assert not wanted["grad_scale"][8].any()


def test_fp64_is_refused() -> None:
    with pytest.raises(ValueError, match="float64 is not supported"):
        affine_outcome(make_affine_inputs(dtype=torch.float64), backend="triton")


@pytest.mark.parametrize("seed", range(6))
def test_random_problems(seed: int) -> None:
    pick = random.Random(seed)
    check(
        make_affine_inputs(
            batch=pick.choice([1, 2]),
            channels=pick.choice([1, 5, 16, 43]),
            size=(pick.randint(1, 9), pick.randint(1, 9)),
            rows=pick.choice([1, 3, 8, 40]),
            kind=pick.choice(INDICES),
            outside=pick.random() < 0.5,
            statistics=pick.choice(STATISTICS),
            memory=pick.choice(MAPS),
            dtype=pick.choice([torch.float32, torch.float16]),
            seed=seed,
        ),
        negative_slope=pick.choice([0.0, 0.2, 1.0]),
    )
