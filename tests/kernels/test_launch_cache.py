# SPDX-License-Identifier: Apache-2.0
"""A launch of what is known hands the driver what a launch through Triton does."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")
sys.path.insert(0, str(Path(__file__).parent))
import aot
import triton
import triton.language as tl

from scam.ops.backends import triton as backend
from scam.ops.backends import triton_launch, triton_plan, triton_pyramid
from scam.ops.backends.triton_launch import launch, rows

Launched = list[tuple[Any, ...]]
OPTIONS = {"warps": 4, "stages": 1, "BLOCK": 32}


@triton.jit(do_not_specialize=("free",))
def kernel(x, logs, out, count, free, factor, FLAG: tl.constexpr, BLOCK: tl.constexpr):
    """Reads every kind of argument that our kernels have."""
    item = tl.arange(0, BLOCK)
    mask = item < count + free
    found = tl.load(x[0] + item * x[3], mask, other=0).to(tl.float32)
    if logs is not None:
        found += tl.load(logs[0] + item, mask) + tl.load(logs[1] + item, mask)
    if FLAG:
        found *= factor
    tl.store(out + item, found, mask)


@pytest.fixture
def launched() -> Iterator[Launched]:
    with aot.launching(90) as found:
        yield found


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """The same grid, kernel and arguments; tensors are one and the same."""
    flat = [list(_flat(each)) for each in (one, other)]
    return len(flat[0]) == len(flat[1]) and all(
        a is b or (not isinstance(a, torch.Tensor) and type(a) is type(b) and bool(a == b))
        for a, b in zip(*flat, strict=True)
    )


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, tuple):
        for one in given:
            yield from _flat(one)
    else:
        yield given


def through_triton(kernel: Any, programs: int, *args: Any, **options: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_launch, "_remembers", lambda: False)
        launch(kernel, programs, *args, **options)


def compare(launched: Launched, *args: Any, **options: Any) -> None:
    """Twice each way: of ours, the first goes through Triton, unless it is known."""
    del launched[:]
    for way in (through_triton, launch, launch):
        way(*args, **options)
    assert all(same(launched[0], other) for other in launched[1:])


def variants() -> Iterator[tuple[Any, ...]]:
    """Of every kind of argument what Triton may compile for: one changes at a time."""
    numbers = torch.zeros(256)
    x = numbers.view(1, 1, 16, 16)
    plain = (rows(x), (numbers, numbers), numbers, 48, 5, 0.5)
    yield plain
    others: dict[int, tuple[Any, ...]] = {
        0: (rows(x.mT), rows(x[:, :, 1:, 1:]), rows(x.half()), rows(x[..., ::2])),
        1: (None, (numbers[1:], numbers), (numbers, numbers.half())),
        2: (numbers[1:], numbers[4:], numbers.bfloat16()),
        3: (1, 0, 17, 32, 2**31, 2**40),
        4: (1, 16, 2**31),
        5: (0.25, 1.0, 1, 2),
    }
    for place, values in others.items():
        for value in values:
            yield *plain[:place], value, *plain[place + 1 :]


def test_all_that_triton_compiles_for(launched: Launched) -> None:
    seen = set()
    for args in variants():
        for flag in (True, False):
            compare(launched, kernel, 3, *args, FLAG=flag, **OPTIONS)
            seen.add(launched[0][1])
    assert len(seen) > 20


def test_values_that_nothing_is_compiled_for_are_known(launched: Launched) -> None:
    numbers = torch.zeros(64)
    x = rows(numbers.view(1, 1, 8, 8))
    for programs, factor in ((1, 0.5), (7, 0.25), (2, 1.0)):
        launch(kernel, programs, x, None, numbers, 5, 5, factor, FLAG=True, **OPTIONS)
        assert len(triton_launch._known) == 1
        assert launched[-1][0] == (programs, 1, 1)
        assert factor in [one for one in _flat(launched[-1]) if isinstance(one, float)]


def test_nothing_is_launched_without_programs(launched: Launched) -> None:
    launch(kernel, 0, None, None, None, 5, 5, 0.5, FLAG=True, **OPTIONS)
    assert launched == []


def test_sizes_that_never_come_back_are_forgotten(
    launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_launch, "MOST_KNOWN", 2)
    numbers = torch.zeros(64)
    for count in (5, 6, 7):
        launch(kernel, 1, (numbers, 1, 1, 1), None, numbers, count, 5, 0.5, FLAG=False, **OPTIONS)
    assert len(triton_launch._known) == 1


def test_our_kernels_are_known_the_second_time(
    launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every argument of every kernel has its place in the key."""
    asked: list[tuple[Any, ...]] = []

    def note(*args: Any, **options: Any) -> None:
        asked.append((args, options))

    from test_triton_aot import call_all

    for module in (backend, triton_plan, triton_pyramid):
        monkeypatch.setattr(module, "launch", note)
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    for _ in range(2):
        call_all(torch.bfloat16, 32)
        triton_pyramid.label_pyramid(torch.zeros(2, 16, 16, dtype=torch.int64), 5, 1, 2)
    keys = [
        triton_launch._key(args[0], warps, stages, args[2:], tile)
        for args, options in asked
        for warps, stages, tile in [_split(**options)]
    ]
    half = len(keys) // 2
    assert keys[:half] == keys[half:]
    assert all(isinstance(hash(key), int) for key in keys)


def _split(warps: int, stages: int, **tile: Any) -> tuple[int, int, dict[str, Any]]:
    return warps, stages, tile
